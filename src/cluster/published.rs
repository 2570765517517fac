//! The access to a cluster as it is now: written by the one who reads it from its source, read by every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use rustls::ClientConfig;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::endpoint::Endpoint;
use super::source::Snapshot;

/// How long a request waits for another credential after the apiserver has refused ours.
const FRESH_LIMIT: Duration = Duration::from_secs(2);

/// Readings of the source from one doubt of a credential to the next of the same: an API behind the apiserver that answers
/// everything with 401 must not hold up all else.
const DOUBT_PAUSE: u64 = 10;

/// What the data plane reads.
pub(super) struct Published {
    current: watch::Sender<Current>,
    /// Grows with every change of endpoints or TLS: connections made before are not to be used for new requests.
    generation: AtomicU64,
    /// How many readings of the source have begun, and the number of the last that has ended.
    begun: AtomicU64,
    ended: AtomicU64,
    /// The reading that is to show whether there is another credential than the one that was refused. 0 for one that was
    /// never refused.
    doubted: AtomicU64,
    refused: Notify,
    again: Notify,
}

/// The access to a cluster at this moment.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) endpoints: Arc<[Arc<Endpoint>]>,
    pub(super) snapshot: Arc<Snapshot>,
    /// The number of the last reading of the source that has ended.
    pub(super) reading: u64,
}

impl Current {
    /// An endpoint that is well, or the first if none is.
    pub(super) fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.endpoints.iter().find(|endpoint| endpoint.health.is_good()).or(self.endpoints.first())
    }
}

impl Published {
    pub(super) fn new(current: Current) -> Self {
        let (refused, again) = (Notify::new(), Notify::new());
        let [generation, begun, ended, doubted] = [0; 4].map(AtomicU64::new);
        let current = watch::Sender::new(current);
        Self { current, generation, begun, ended, doubted, refused, again }
    }

    pub(super) fn read<T>(&self, part: impl FnOnce(&Current) -> T) -> T {
        part(&self.current.borrow())
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The apiserver has refused the credential: it is in doubt until a reading that begins now has ended.
    pub(super) fn refused(&self) {
        let next = self.begun.load(Ordering::Acquire) + 1;
        let doubt = |before| (before == 0 || next >= before + DOUBT_PAUSE).then_some(next);
        let _ = self.doubted.fetch_update(Ordering::AcqRel, Ordering::Acquire, doubt);
        self.refused.notify_one();
    }

    /// Whether the credential was refused a moment ago and is still being read again.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubted.load(Ordering::Acquire) > self.ended.load(Ordering::Acquire)
    }

    /// Waits until it no longer is, or for long enough, and gives the header as it is then.
    pub(super) async fn after_doubt(&self) -> Option<HeaderValue> {
        let mut changes = self.current.subscribe();
        let _ = timeout(FRESH_LIMIT, changes.wait_for(|_| !self.is_in_doubt())).await;
        self.read(|current| current.authorization.clone())
    }

    pub(super) fn read_again(&self) {
        self.again.notify_one();
    }

    /// Waits for an access other than the one with this credential and generation, which the apiserver has refused.
    /// `None` if a reading that begins after this brings no other, or none soon.
    pub(super) async fn fresher_than(
        &self,
        authorization: Option<&HeaderValue>,
        generation: u64,
    ) -> Option<Option<HeaderValue>> {
        let is_other = |current: &Current| {
            current.authorization.as_ref() != authorization || self.generation() != generation
        };
        let mut changes = self.current.subscribe();
        let reading = self.begun.load(Ordering::Acquire) + 1;
        if !is_other(&changes.borrow_and_update()) {
            self.refused();
        }
        let found =
            timeout(FRESH_LIMIT, changes.wait_for(|current| is_other(current) || current.reading >= reading));
        let current = found.await.ok()?.ok()?;
        is_other(&current).then(|| current.authorization.clone())
    }

    /// For tests that wait for a change.
    #[cfg(test)]
    pub(super) fn subscribe(&self) -> watch::Receiver<Current> {
        self.current.subscribe()
    }

    pub(super) fn publish(&self, mut current: Current) {
        self.current.send_modify(|before| {
            let is_same_way =
                Arc::ptr_eq(&before.tls, &current.tls) && Arc::ptr_eq(&before.endpoints, &current.endpoints);
            if !is_same_way || before.authorization != current.authorization {
                self.doubted.store(0, Ordering::Release);
            }
            current.reading = before.reading;
            *before = current;
            if !is_same_way {
                self.generation.fetch_add(1, Ordering::Release);
            }
        });
    }

    /// A reading of the source begins; its number.
    pub(super) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// It has ended, and what it brought is published.
    pub(super) fn end(&self, reading: u64) {
        self.ended.store(reading, Ordering::Release);
        self.current.send_modify(|current| current.reading = reading);
    }

    /// Waits until the source is to be read, which it is within `interval` in any case; says whether it is because our
    /// credential was refused.
    pub(super) async fn wanted_within(&self, interval: Duration) -> bool {
        tokio::select! {
            () = self.refused.notified() => true,
            () = self.again.notified() => false,
            () = sleep(interval) => false,
        }
    }
}
