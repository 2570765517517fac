//! The command line beside a gate: the same binary, in the hands of somebody with a home of their own.

use std::path::Path;
use std::process::{Command, Stdio};

use super::directory::Directory;

/// Somebody who types commands.
pub(crate) struct CommandLine(Directory);

/// What a command did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

impl CommandLine {
    pub(crate) fn new() -> Self {
        Self(Directory::new())
    }

    pub(crate) fn home(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(arguments)
            .current_dir(self.home())
            .env_clear()
            .env("HOME", self.home())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code(), stderr: text(output.stderr) }
    }
}
