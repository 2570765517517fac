//! The browser and the API tester, and how the tests in `tests/web` are run with them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::python;

/// The directory with `python`, `schemathesis` and `chromium`, installed by the first test that asks for it.
pub(crate) fn programs() -> Option<&'static Path> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    python::installed(&PROGRAMS, &mut Command::new(format!("{SOURCES}/tools")))
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
