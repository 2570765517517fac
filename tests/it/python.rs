//! Python with the packages that tests need of it.

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A program in `tests/clients`, as a command that waits for its arguments; none where Python can't be had.
pub(crate) fn client(program: &str) -> Option<Command> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let programs = installed(&PROGRAMS, Command::new(format!("{tests}/python")).arg("clients"))?;
    let mut command = Command::new(programs.join("python"));
    command.arg(format!("{tests}/clients/{program}")).env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// The directory that `installer` prints, which is run once. Without it a test says what is missing and is skipped;
/// where `CI` is `true` it fails, for there a test that is skipped is a test that nobody runs.
pub(crate) fn installed(
    programs: &'static OnceLock<Option<PathBuf>>,
    installer: &mut Command,
) -> Option<&'static Path> {
    let programs = programs.get_or_init(|| {
        let output = installer.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| PathBuf::from(printed.trim_end()))
    });
    if programs.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "this test needs what is named above");
        // Not `eprintln!`, which the test harness keeps to itself when a test passes.
        let _ = writeln!(stderr(), "SKIPPED: this test needs what is named above");
    }
    programs.as_deref()
}
