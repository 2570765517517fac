//! One long-running program of the cluster: its process, its log, and how it is stopped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::error::{Error, doing};
use crate::events::Interrupt;

/// A running program. It is killed when this is dropped.
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program that logs to `NAME.log` in `logs`. Call it on the main thread only: the kernel ends the
    /// program together with the thread that started it.
    pub(crate) fn start(name: &'static str, command: &Command, logs: &Path) -> Result<Self, Error> {
        let log = logs.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).map_err(doing(log.display()))?;
        let errors = output.try_clone().map_err(doing(log.display()))?;
        let child = dying_with_us(command)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // A Ctrl-C at the terminal is for us: we stop the programs, in order.
            .process_group(0)
            .spawn()
            .map_err(doing(format!("start {name}")))?;
        Ok(Self { name, child, log })
    }

    /// Its process, which leads a group of its own.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The error of a program that ended or is not ready.
    pub(crate) fn failure(&self, what: impl Into<String>) -> Error {
        Error::Daemon { name: self.name, what: what.into(), tail: tail(&self.log) }
    }

    /// Waits until `ready` says true. A program that ends before, or takes longer than `patience`, is an error.
    pub(crate) fn wait_ready(
        &mut self,
        interrupt: &Interrupt,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let done = interrupt.wait(patience, || match self.exited() {
            Some(status) => Err(self.failure(format!("ended with {status}"))),
            None => Ok(ready()),
        })?;
        if done { Ok(()) } else { Err(self.failure(format!("is not ready after {} s", patience.as_secs()))) }
    }

    /// Sends a signal to it alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill(as_pid(self.pid()), signal);
    }

    /// Asks it to end, and kills it if it has not after a few seconds.
    pub(crate) fn stop(&mut self) {
        if self.exited().is_none() {
            self.signal(Signal::SIGTERM);
            // One that is frozen would not hear it.
            self.signal(Signal::SIGCONT);
        }
        let deadline = Instant::now() + PATIENCE;
        while self.exited().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end and gives its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let line = line_of(command);
    let output = command.stdin(Stdio::null()).output().map_err(doing(format!("run `{line}`")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(Error::Command { command: line, output: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// Runs a command that may take long, with its errors on ours. It is ended when we are told to stop or `check` fails.
pub(crate) fn run_watched(
    command: &mut Command,
    interrupt: &Interrupt,
    mut check: impl FnMut() -> Result<(), Error>,
) -> Result<String, Error> {
    let line = line_of(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(doing(format!("run `{line}`")))?;
    let ended = interrupt.wait(DAY, || {
        check()?;
        Ok(!matches!(child.try_wait(), Ok(None)))
    });
    if let Err(error) = ended {
        let _ = killpg(as_pid(child.id()), Signal::SIGTERM);
        let _ = child.wait();
        return Err(error);
    }
    let output = child.wait_with_output().map_err(doing(format!("run `{line}`")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(Error::Command { command: line, output: format!("{}, see above", output.status) })
}

/// A process number as the system calls want it.
pub(crate) fn as_pid(pid: u32) -> Pid {
    // Process numbers fit: the kernel's own type is signed.
    Pid::from_raw(pid.cast_signed())
}

// With `setpriv` (util-linux) the kernel ends the program when we die, however we die. Where it does not exist, the
// next start finds the program in the record of this run and ends it.
fn dying_with_us(command: &Command) -> Command {
    let has_setpriv = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut wrapped = if has_setpriv {
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL"]).arg(command.get_program());
        wrapped
    } else {
        Command::new(command.get_program())
    };
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

fn line_of(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

const TAIL_LINES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_hours(24);
