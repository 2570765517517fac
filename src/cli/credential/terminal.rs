//! The questions of a login, asked on the terminal itself: standard input and output belong to kubectl.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::cache::Key;
use crate::cli::error::CliError;
use crate::secret::Secret;

/// The terminal that the process was started from.
#[derive(Debug)]
pub(super) struct Terminal(File);

impl Terminal {
    /// None where there is none, as in CI.
    pub(super) fn open() -> Option<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    /// Asks for the name, unless the key has it, and for the password.
    pub(super) fn credentials(&self, key: &Key) -> Result<(String, Secret), CliError> {
        self.say(&format!("Log in to {} (cluster {}).\n", key.server, key.cluster))?;
        let user = match &key.user {
            Some(user) => user.clone(),
            None => self.username()?,
        };
        let password = password(&format!("Password of {user}: "))?;
        Ok((user, password))
    }

    fn username(&self) -> Result<String, CliError> {
        self.say("Username: ")?;
        let mut line = String::new();
        let read = BufReader::new(&self.0).take(MAX_LINE_BYTES).read_line(&mut line);
        read.map_err(CliError::Terminal)?;
        let name = line.trim_end_matches(['\n', '\r']);
        if name.is_empty() { Err(CliError::NothingTyped("name")) } else { Ok(name.to_owned()) }
    }

    fn say(&self, text: &str) -> Result<(), CliError> {
        (&self.0).write_all(text.as_bytes()).map_err(CliError::Terminal)
    }
}

/// Ctrl-C ends us as it ends other programs, and kubectl with us: else kubectl would try again, and we would ask again.
fn password(prompt: &str) -> Result<Secret, CliError> {
    // The library restores the terminal only after it has raised the signal.
    let interrupt = SigSet::from(Signal::SIGINT);
    interrupt.thread_block().map_err(terminal)?;
    let answer = rpassword::prompt_password(prompt).map(Secret::new);
    if answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
        // To the whole process group, as the terminal does it.
        kill(Pid::from_raw(0), Signal::SIGINT).map_err(terminal)?;
    }
    interrupt.thread_unblock().map_err(terminal)?;
    let password = answer.map_err(CliError::Terminal)?;
    if password.expose().is_empty() { Err(CliError::NothingTyped("password")) } else { Ok(password) }
}

fn terminal(error: nix::Error) -> CliError {
    CliError::Terminal(error.into())
}

const MAX_LINE_BYTES: u64 = 4096;
