//! The command itself: on our terminal, with our standard streams.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::lease::Lease;
use super::place::Place;
use super::signals::{Signals, is_from_keyboard};
use crate::cli::error::CliError;
use crate::cli::output;

/// Runs it to its end and gives its exit code.
pub(super) async fn run(
    command: &[OsString],
    place: &Place,
    lease: &Arc<Lease>,
    signals: &mut Signals,
) -> Result<u8, CliError> {
    if let Some(signal) = signals.pending().await {
        return Ok(killed_by(signal as i32));
    }
    let Some((program, arguments)) = command.split_first() else { return Ok(NOT_FOUND) };
    let child = Command::new(program).args(arguments).env("KUBECONFIG", place.kubeconfig()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
            output::complain(&CliError::CannotRun(program.clone(), error));
            return Ok(code);
        }
    };
    let keeper = tokio::spawn(Arc::clone(lease).keep());
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            signal = signals.next() => pass_on(&child, signal),
        }
    };
    keeper.abort();
    status.map(code).map_err(CliError::CannotSupervise)
}

/// Twice the same signal means to many programs that they are to give up their clean-up.
fn pass_on(child: &Child, signal: Signal) {
    if is_from_keyboard(signal) {
        return;
    }
    // Without an id it has ended, which the next look at it will tell.
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id {
        let _ = kill(Pid::from_raw(id), signal);
    }
}

/// As shells give it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.unwrap_or_else(|| status.signal().map_or(u8::MAX, killed_by))
}

fn killed_by(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
