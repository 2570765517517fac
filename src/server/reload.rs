//! When what is on disk is read again: on a clock, and at once on SIGHUP.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use super::ServeError;
use crate::cluster::{Registry, State};

/// Says when it is time. Each of those who read has a clone.
#[derive(Clone)]
pub(super) struct Trigger(watch::Receiver<()>);

impl Trigger {
    /// Listens for SIGHUP on this runtime.
    pub(super) fn listen(control: &Runtime) -> Result<Self, ServeError> {
        let _within = control.enter();
        let failed = |error| ServeError::Io("can't listen for signals", error);
        let mut hangups = signal(SignalKind::hangup()).map_err(failed)?;
        let (sender, receiver) = watch::channel(());
        control.spawn(async move {
            while hangups.recv().await.is_some() {
                tracing::info!("SIGHUP: what is on disk is read again");
                sender.send_replace(());
            }
        });
        Ok(Self(receiver))
    }

    /// Waits until it is time, which it is after `interval` in any case.
    pub(super) async fn next(&mut self, interval: Duration) {
        tokio::select! {
            changed = self.0.changed() => if changed.is_err() { sleep(interval).await },
            () = sleep(interval) => {}
        }
    }
}

/// On SIGHUP every cluster's access is read; by the clock each cluster reads its own.
pub(super) async fn read_clusters_again(clusters: Registry, trigger: Trigger) {
    let mut signalled = trigger.0;
    while signalled.changed().await.is_ok() {
        for member in clusters.members().values() {
            if let State::Ready(cluster) = &member.state {
                cluster.read_again();
            }
        }
    }
}
