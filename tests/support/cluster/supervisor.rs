//! Our end of the pipes to the example `controlplane`, which runs the cluster.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::{Error, Facts, Options, TEST_IMAGE};

/// A running supervisor. It stops its cluster when the pipe to it closes, which the kernel does if we do not.
pub(super) struct Supervisor {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Starts one and waits until its cluster is ready.
    pub(super) fn start(options: &Options) -> Result<(Self, Facts), Error> {
        let mut command = Command::new(program()?);
        command.arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped());
        if !options.node {
            command.arg("--no-node");
        }
        if let Some(directory) = &options.dir {
            command.arg("--dir").arg(directory);
        }
        // A Ctrl-C that ends the tests ends us; it hears of that by the pipe and stops the cluster in order.
        let mut child = command.process_group(0).spawn()?;
        let (Some(commands), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::NotStarted);
        };
        let mut supervisor = Self { child, commands: Some(commands), answers: BufReader::new(answers) };
        let facts = facts(&supervisor.answer()?).ok_or(Error::NotStarted)?;
        Ok((supervisor, facts))
    }

    /// Gives a command and waits for its answer.
    pub(super) fn ask(&mut self, command: &str) -> Result<(), Error> {
        let commands = self.commands.as_mut().ok_or(Error::NotStarted)?;
        writeln!(commands, "{command}")?;
        match self.answer()?.get("error") {
            Some(error) => Err(Error::Refused(error.as_str().unwrap_or_default().to_owned())),
            None => Ok(()),
        }
    }

    /// Has the cluster stopped, and waits until it is.
    pub(super) fn stop(mut self) -> Result<(), Error> {
        drop(self.commands.take());
        self.child.wait()?;
        Ok(())
    }

    fn answer(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|_| Error::NotStarted)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}

// `cargo test` builds examples, `cargo test --test NAME` does not: the old one would be used, or none be found.
fn program() -> Result<PathBuf, Error> {
    let this = std::env::current_exe()?;
    // …/target/PROFILE/deps/this
    let profile = this.ancestors().nth(2).unwrap_or(Path::new("."));
    let program = profile.join("examples/controlplane");
    if let (Some(cargo), Some(name), Some(target)) =
        (std::env::var_os("CARGO"), profile.file_name(), profile.parent())
    {
        let name = match name.to_str() {
            Some("debug") => "dev".as_ref(),
            // Whoever runs optimised is a bench, whose libraries are built already.
            Some("release") => "bench".as_ref(),
            _ => name,
        };
        let mut build = Command::new(cargo);
        build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--example", "controlplane"]);
        build.arg("--profile").arg(name).arg("--target-dir").arg(target).status()?;
    }
    if program.exists() { Ok(program) } else { Err(Error::NotBuilt(program)) }
}

fn facts(line: &Value) -> Option<Facts> {
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    Some(Facts {
        kubeconfig: text("kubeconfig")?.into(),
        kubectl: text("kubectl")?.into(),
        home: Path::new(text("directory")?).join("home"),
        server: text("server")?.to_owned(),
        ca_file: text("ca_file")?.into(),
        audit_log: text("audit_log").map(PathBuf::from),
        host_address: text("host_address")?.parse::<IpAddr>().ok()?,
        image: std::env::var("PORTCULLIS_TEST_IMAGE").unwrap_or_else(|_| TEST_IMAGE.to_owned()),
        no_node: text("no_node").map(str::to_owned),
    })
}
