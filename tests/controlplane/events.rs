//! What reaches the supervisor from outside: commands and the end of its standard input, and signals.

use std::io::{BufRead, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, doing};

/// One thing that happened outside.
pub(crate) enum Event {
    /// A line on standard input.
    Line(String),
    /// The owner ended, or a signal asked us to.
    Stop,
}

/// All events, in order.
pub(crate) struct Events {
    receiver: Receiver<Event>,
    interrupt: Interrupt,
}

/// Set for good once we were told to stop. Everything that waits looks at it.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Events {
    /// Listens for signals and, with `input`, to standard input, whose end means that the owner is gone.
    pub(crate) fn listen(input: bool) -> Result<Self, Error> {
        let (sender, receiver) = channel();
        let interrupt = Interrupt(Arc::new(AtomicBool::new(false)));
        listen_for_signals(sender.clone(), interrupt.clone())?;
        if input {
            let interrupt = interrupt.clone();
            thread::spawn(move || {
                for line in stdin().lock().lines().map_while(Result::ok) {
                    if sender.send(Event::Line(line)).is_err() {
                        return;
                    }
                }
                interrupt.stop(&sender);
            });
        }
        Ok(Self { receiver, interrupt })
    }

    /// The next event, or `None` if `patience` passes first.
    pub(crate) fn next(&self, patience: Duration) -> Option<Event> {
        match self.receiver.recv_timeout(patience) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Event::Stop),
        }
    }

    /// What waits look at.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }
}

impl Interrupt {
    /// Polls `ready` until it says true; false if `patience` passes first.
    pub(crate) fn wait(
        &self,
        patience: Duration,
        mut ready: impl FnMut() -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let deadline = Instant::now() + patience;
        loop {
            if self.0.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            if ready()? {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            thread::sleep(POLL);
        }
    }

    fn stop(&self, sender: &Sender<Event>) {
        self.0.store(true, Ordering::Relaxed);
        let _ = sender.send(Event::Stop);
    }
}

// Blocking the signals and waiting for them would be simpler, but the programs we start would inherit the mask.
fn listen_for_signals(sender: Sender<Event>, interrupt: Interrupt) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(doing("listen for signals"))?;
    let guard = runtime.enter();
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push(signal(kind).map_err(doing("listen for signals"))?);
    }
    drop(guard);
    thread::spawn(move || {
        let [Some(first), Some(second), Some(third)] = [signals.pop(), signals.pop(), signals.pop()] else {
            return;
        };
        runtime.block_on(async move {
            let (mut first, mut second, mut third) = (first, second, third);
            loop {
                tokio::select! {
                    _ = first.recv() => {}
                    _ = second.recv() => {}
                    _ = third.recv() => {}
                }
                interrupt.stop(&sender);
            }
        });
    });
    Ok(())
}

const POLL: Duration = Duration::from_millis(50);
