//! The command line beside a gate: the same binary, in the hands of somebody with a home of their own.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::directory::Directory;
use super::gate::Gate;

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

    /// The first administrator, logged in.
    pub(crate) fn administrator(gate: &Gate) -> Self {
        let user = Self::new();
        let password = std::fs::read_to_string(gate.data_directory().join("admin-password")).unwrap();
        let authority = user.home().join("ca.crt");
        std::fs::write(&authority, gate.endpoint.ca_pem.as_bytes()).unwrap();
        let url = format!("https://{}", gate.endpoint.address);
        let login = ["login", &url, "--username", "admin", "--password-stdin", "--ca-file"];
        user.succeed(&[&login[..], &[authority.to_str().unwrap()]].concat(), &password);
        user
    }

    pub(crate) fn home(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with_input(arguments, "")
    }

    /// Runs what has to succeed.
    pub(crate) fn succeed(&self, arguments: &[&str], input: &str) -> Outcome {
        let outcome = self.run_with_input(arguments, input);
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
        outcome
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(arguments)
            .current_dir(self.home())
            .env_clear()
            .env("HOME", self.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input closes the pipe, which is no failure.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code(), stderr: text(output.stderr) }
    }
}
