//! Somebody at a machine of their own: a home, our command line, the real kubectl, and a terminal if need be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::real_gate::{RealGate, run_with_input};
use crate::support::accounts::{self, Account};
use crate::support::directory::Directory;
use crate::support::terminal::Terminal;

/// A user of a gate before a real cluster.
pub(crate) struct Person {
    pub(crate) gate: Arc<RealGate>,
    pub(crate) account: Account,
    home: Directory,
}

impl Person {
    pub(crate) async fn new(gate: &Arc<RealGate>, name: &str, groups: &[&str]) -> Self {
        Self::of(gate, gate.account(name, groups).await)
    }

    /// Somebody who has an account already.
    pub(crate) fn of(gate: &Arc<RealGate>, account: Account) -> Self {
        Self { gate: Arc::clone(gate), account, home: Directory::new() }
    }

    /// A file in their home.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program, with nothing of whoever runs the tests.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let programs =
            [Path::new(PROGRAM), self.gate.cluster.kubectl_path()].map(|path| path.parent().unwrap());
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.home.path()).env_clear().env("HOME", self.home.path());
        command.env("PATH", format!("{}:{}:/usr/bin:/bin", programs[0].display(), programs[1].display()));
        command
    }

    /// Our command line.
    pub(crate) fn portcullis(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(PROGRAM);
        command.args(arguments);
        command
    }

    /// A command, with its redirections, on a terminal of its own.
    pub(crate) fn on_terminal(&self, command_line: &str) -> Terminal {
        Terminal::start(self.command("script"), command_line)
    }

    /// The gate's URL.
    pub(crate) fn server(&self) -> String {
        format!("https://{}", self.gate.gate.endpoint.address)
    }

    /// The file of the authority that signed the gate's certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.gate.gate.data_directory().join("ca.crt")
    }

    /// Logs in with our command line.
    pub(crate) fn log_in(&self) {
        let mut login = self.portcullis(&["login", &self.server(), "--username", &self.account.username]);
        login.arg("--password-stdin").arg("--ca-file").arg(self.ca_file());
        let done = run_with_input(&mut login, format!("{}\n", self.account.password).as_bytes());
        assert!(done.status.success(), "{done:?}");
    }

    /// The names of their tokens that begin so.
    pub(crate) async fn tokens(&self, beginning: &str) -> Vec<String> {
        let bearer = &self.account.bearer;
        let list =
            accounts::api(&self.gate.gate, "GET", "/v3/tokens", bearer, &serde_json::Value::Null).await;
        let list = list.json();
        let names = list["data"].as_array().unwrap().iter().map(|token| token["id"].as_str().unwrap());
        names.filter(|name| name.starts_with(beginning)).map(str::to_owned).collect()
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");
