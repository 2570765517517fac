//! One user's command line: a home of its own, and nothing else in the environment.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::directory::Directory;
use crate::stub::{Answer, Request, Stub, json as answer};
use crate::terminal::Terminal;

/// What a command did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Somebody at a terminal, without the terminal.
pub(crate) struct User {
    directory: Directory,
}

impl User {
    pub(crate) fn new() -> Self {
        Self { directory: Directory::new() }
    }

    /// A user who is logged in to `stub`.
    pub(crate) fn logged_in(stub: &Stub) -> Self {
        let user = Self::new();
        let ca = user.file("stub-ca.crt");
        std::fs::write(&ca, &stub.ca_pem).unwrap();
        let login = ["login", &stub.url(), "--username", "alice", "--password-stdin", "--ca-file"];
        let outcome =
            user.run_with_input(&[&login[..], &[ca.to_str().unwrap()]].concat(), "hunter2 hunter2\n");
        assert_eq!(outcome.code, 0, "{outcome:?}");
        user
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn home(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn profile(&self) -> PathBuf {
        self.file(".config/portcullis/profile.json")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with_input(arguments, "")
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Outcome {
        self.run_in(arguments, input, &[])
    }

    /// With more in the environment than the home.
    pub(crate) fn run_in(&self, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Outcome {
        // In a session of its own there is no terminal, also if the tests were started from one.
        let mut command = self.command("setsid");
        command.arg("--wait").arg(PROGRAM).args(arguments).envs(environment.iter().copied());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input closes the pipe, which is no failure.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Outcome {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl User {
    /// A command, with its redirections, on a terminal of its own.
    pub(crate) fn on_terminal(&self, command_line: &str, environment: &[(&str, &str)]) -> Terminal {
        let mut script = self.command("script");
        script.envs(environment.iter().copied());
        Terminal::start(script, command_line)
    }

    /// A program with this user's home and nothing else in the environment. No signal is ignored, whatever the tests
    /// were started by: under `nohup`, or in a shell's background, a program would inherit that.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("env");
        command.args(["--default-signal", program]);
        command.current_dir(self.home()).env_clear().env("HOME", self.home());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// What is tested.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

/// The bearer of the session that [`stub_with`] gives.
pub(crate) const SESSION: &str = "token-bcdfg:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

/// A stub that lets anybody log in and answers everything else as `then` says.
pub(crate) fn stub_with(then: impl Fn(&Request) -> Answer + Send + 'static) -> Stub {
    Stub::start(move |request| {
        if request.line == "POST /v3-public/localProviders/local?action=login" {
            answer(201, &json!({"type": "token", "id": "token-bcdfg", "token": SESSION, "expiresAt": ""}))
        } else {
            then(request)
        }
    })
}
