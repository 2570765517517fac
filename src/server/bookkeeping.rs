//! What is written down and counted beside the requests: last uses of tokens, and figures that others keep.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::authn::Records;
use crate::authority::Authority;
use crate::store::{HashingState, Store};
use crate::telemetry::Telemetry;

/// How often figures are taken over into the metrics.
const INTERVAL: Duration = Duration::from_mins(1);

/// The tasks of it.
pub(super) struct Bookkeeping {
    stop: watch::Sender<bool>,
    usage: JoinHandle<()>,
}

impl Bookkeeping {
    pub(super) fn start(
        control: &Runtime,
        records: &Records,
        store: &Store,
        authority: &Arc<Authority>,
        telemetry: &Arc<Telemetry>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (book, to) = (Arc::clone(records.usage()), store.clone());
        let usage = control.spawn(async move { book.keep(&to, stopped).await });
        control.spawn(keep_figures(store.clone(), Arc::clone(authority), Arc::clone(telemetry)));
        Self { stop, usage }
    }

    /// Writes what is left, in so far as the store takes it within `patience`.
    pub(super) async fn finish(self, patience: Duration) {
        let _ = self.stop.send(true);
        if timeout(patience, self.usage).await.is_err() {
            tracing::warn!("the last uses of tokens could not be written");
        }
    }
}

async fn keep_figures(store: Store, authority: Arc<Authority>, telemetry: Arc<Telemetry>) {
    let tokens = &telemetry.metrics.tokens;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tokens.set_purged(authority.purged_tokens());
        tokens.set_audit_events_lost(authority.lost_refusals());
        tokens.set_hashed(store.token_hashing().state == HashingState::On);
        match authority.never_expiring().await {
            Ok(counts) => tokens.set_never_expiring(&counts),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "tokens can't be counted");
            }
        }
    }
}
