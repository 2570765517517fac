//! The signals that tell the server to stop.

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServeError;

/// SIGTERM and SIGINT, listened to from the start on: of what comes between the first and the wait for a second,
/// nothing is lost.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(super) fn listen(runtime: &Runtime) -> Result<Self, ServeError> {
        let _within = runtime.enter();
        let stream = |kind| signal(kind).map_err(|error| ServeError::Io("can't listen for signals", error));
        Ok(Self { terminate: stream(SignalKind::terminate())?, interrupt: stream(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}
