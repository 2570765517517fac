//! How the server goes down, in the order that loses nothing: not ready, while it serves as before, until load balancers
//! have noticed; then no new connections, and clients are told to go; what is under way ends by itself, and what would
//! not is ended, watches and logs little by little, everything else at a deadline.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep};

use super::Workers;
use super::signals::StopSignals;
use crate::config::Limits;
use crate::streams::{CutReason, Entry, Registry};
use crate::telemetry::Metrics;

/// How often some of the watches are ended.
const TICK: Duration = Duration::from_millis(100);
/// How long what was ended last may take to say so to its client.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Workers {
    /// Goes down in order, or at once if another signal comes meanwhile.
    pub(super) async fn go_down(
        &self,
        streams: &Registry,
        metrics: &Metrics,
        limits: &Limits,
        signals: &mut StopSignals,
    ) {
        tracing::info!(delay = ?limits.shutdown_delay, "stopping: not ready, and serving as before until the delay is over");
        let in_order = async {
            sleep(limits.shutdown_delay).await;
            tracing::info!("draining");
            let _ = self.draining.send(true);
            tokio::select! {
                () = self.empty() => tracing::info!("all connections have ended"),
                () = end_streams(streams, metrics, limits) => {
                    tracing::warn!("connections were cut at the drain timeout");
                }
            }
        };
        tokio::select! {
            () = in_order => {}
            () = signals.next() => tracing::warn!("connections were cut by a second signal"),
        }
        self.stop();
    }

    /// Cuts whatever there is.
    pub(super) fn stop(&self) {
        let _ = self.stop.send(true);
    }

    /// Waits until nobody listens and every connection has ended.
    async fn empty(&self) {
        let _ = self.listening.acquire_many(self.count).await;
        self.places.empty().await;
    }
}

/// Ends what does not end by itself: watches and logs over their window, the rest at the drain timeout.
async fn end_streams(streams: &Registry, metrics: &Metrics, limits: &Limits) {
    let start = Instant::now();
    let window = limits.watch_drain_window.min(limits.drain_timeout);
    let mut ticks = interval(TICK);
    while start.elapsed() < limits.drain_timeout {
        ticks.tick().await;
        end_some(streams, window.saturating_sub(start.elapsed()));
        metrics.load.streams_draining.set(streams.count().iter().map(|(_, count)| count).sum());
    }
    streams.cut(|_| true, CutReason::Draining);
    sleep(LAST_WORDS).await;
}

/// Ends as many watches and logs as must end now for all of them to have ended when `left` is over. Their clients come back
/// one after the other, and not all at once, to whoever takes our place.
fn end_some(streams: &Registry, left: Duration) {
    let open: usize =
        streams.count().iter().filter(|(kind, _)| kind.ends_between_parts()).map(|(_, count)| count).sum();
    let ticks = usize::try_from(left.as_millis() / TICK.as_millis()).unwrap_or(usize::MAX);
    let share = Cell::new(open.div_ceil(ticks.max(1)));
    let takes_one = || share.get().checked_sub(1).map(|rest| share.set(rest)).is_some();
    let is_due = |entry: &Entry| entry.kind().ends_between_parts() && entry.cut().is_none() && takes_one();
    streams.cut(is_due, CutReason::Draining);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::{Guard, NewStream, Owner, StreamKind};
    use crate::telemetry::Telemetry;

    fn open(streams: &Registry, kind: StreamKind) -> Guard {
        let owner = Owner::ServiceAccount { cluster: "local".into(), reviewed: [0; 32] };
        let (cluster, client, groups) = ("local".into(), "192.0.2.1".parse().unwrap(), [].into());
        streams.register(NewStream { owner, kind, cluster, client, groups, expires_at: None })
    }

    fn cut(streams: &Registry) -> usize {
        let all = Cell::new(0);
        streams.cut(
            |entry| {
                all.set(all.get() + usize::from(entry.cut().is_some()));
                false
            },
            CutReason::Draining,
        );
        all.get()
    }

    #[tokio::test]
    async fn watches_end_little_by_little_and_an_exec_at_the_drain_timeout() {
        let telemetry = Telemetry::without_access_log();
        let streams = Registry::new(telemetry.clone());
        let mut watches: Vec<_> = (0..20).map(|_| open(&streams, StreamKind::Watch)).collect();
        let mut exec = open(&streams, StreamKind::Exec);
        end_some(&streams, 10 * TICK);
        assert_eq!(cut(&streams), 2);
        let late = open(&streams, StreamKind::Log);
        end_some(&streams, TICK);
        assert_eq!(cut(&streams), 21, "all that are left, one that came late among them");
        drop((watches.split_off(0), late));

        let limits = Limits {
            watch_drain_window: Duration::from_secs(9),
            drain_timeout: 2 * TICK,
            ..Limits::default()
        };
        let start = Instant::now();
        let end = tokio::select! {
            cut = exec.cut() => cut,
            () = end_streams(&streams, &telemetry.metrics, &limits) => panic!("the exec was not told"),
        };
        assert_eq!(end.reason, CutReason::Draining);
        assert!(start.elapsed() >= 2 * TICK);
        assert!(telemetry.exposition().contains("portcullis_streams_draining 1\n"));
    }
}
