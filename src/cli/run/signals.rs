//! Signals that are sent to us and meant for the command.

use std::task::Poll;

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind};

use crate::cli::error::CliError;

/// Those that ask a program to end. Who listens is no longer ended by them.
#[derive(Debug)]
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Listens to those that were not ignored: `nohup` and the shell's `&` mean what they say, for the command as well.
    pub(super) fn listen() -> Result<Self, CliError> {
        let ignored = ignored();
        let all = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
        let meant = all.into_iter().filter(|signal| ignored & (1 << (*signal as u32 - 1)) == 0);
        let listening = meant.map(|signal| Ok((signal, unix::signal(SignalKind::from_raw(signal as i32))?)));
        listening.collect::<Result<_, _>>().map(Self).map_err(CliError::CannotSupervise)
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            let came = |(name, signal): &mut (Signal, unix::Signal)| {
                signal.poll_recv(context).is_ready().then_some(*name)
            };
            self.0.iter_mut().find_map(came).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// One that has come already.
    pub(super) async fn pending(&mut self) -> Option<Signal> {
        tokio::select! {
            biased;
            signal = self.next() => Some(signal),
            () = std::future::ready(()) => None,
        }
    }
}

/// Whether the terminal has sent a signal of its keyboard to the command as well, because both are in front.
pub(super) fn is_from_keyboard(signal: Signal) -> bool {
    matches!(signal, Signal::SIGINT | Signal::SIGQUIT) && in_front().unwrap_or(false)
}

/// Whether our process group is the one in front on its terminal: `tpgid` is `pgrp` in `proc_pid_stat(5)`.
fn in_front() -> Option<bool> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may have blanks and brackets in it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(2);
    let group = fields.next()?;
    Some(fields.nth(2)? == group)
}

/// The signals that were ignored when we were started, by their bits (`proc_pid_status(5)`).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
