//! The browser and the API tester, and how the tests in `tests/web` are run with them.

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The directory with `python`, `schemathesis` and `chromium`, installed by the first test that asks for it. Without
/// them a test says what is missing and is skipped; where `CI` is `true` it fails, for there a test that is skipped is
/// a test that nobody runs.
pub(crate) fn programs() -> Option<&'static Path> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| {
        let mut tools = Command::new(format!("{SOURCES}/tools"));
        let output = tools.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
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

/// Runs one of the programs in `tests/web`; a failure shows all that it has said. Nothing is written beside the source.
pub(crate) fn run(command: &mut Command) {
    command.current_dir(SOURCES).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
}

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web");
