//! What the task of a stream holds for as long as the stream lives.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::StatusCode;

use super::{CutReason, Entry, Registry};
/// A stream's place in the registry and in the count of open ones. It leaves both when this is dropped, or when it is
/// abandoned.
pub struct Guard {
    registry: Registry,
    entry: Arc<Entry>,
}

/// That a stream is to end now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Why.
    pub reason: CutReason,
    /// When that was known.
    pub at: Instant,
}

impl Guard {
    pub(super) fn new(registry: Registry, entry: Arc<Entry>) -> Self {
        Self { registry, entry }
    }

    /// The stream as the registry knows it.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Ready once the stream is to end, and from then on. Wakes the last task that asked.
    pub fn poll_cut(&mut self, cx: &Context<'_>) -> Poll<Cut> {
        self.entry.poll_cut(cx)
    }

    /// Waits until the stream is to end.
    pub async fn cut(&mut self) -> Cut {
        poll_fn(|cx| self.poll_cut(cx)).await
    }

    /// Why the stream is to end, for the person at the client.
    pub fn explain(&self, cut: Cut) -> String {
        self.entry.explain(cut.reason)
    }

    /// What is to be done if the stream is cut and not dropped soon after: let go of what keeps it open upstream. For
    /// tasks that can be held up by a client that does not read. It runs on another thread, once at most.
    pub fn on_abandonment(&mut self, abandon: impl FnOnce() + Send + 'static) {
        self.entry.set_abandonment(Some(Box::new(abandon)));
    }

    /// The client's side has ended: how long that took since the change that led to it is noted. Dropping does the same.
    pub fn finished(self) {}
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.entry.set_abandonment(None);
        self.registry.leave(&self.entry);
    }
}

impl Cut {
    /// For a change that is known as of now.
    pub fn now(reason: CutReason) -> Self {
        Self { reason, at: Instant::now() }
    }

    /// For one that is known since so many milliseconds.
    pub(super) fn since(reason: CutReason, millis: u64) -> Self {
        let now = Instant::now();
        Self { reason, at: now.checked_sub(Duration::from_millis(millis)).unwrap_or(now) }
    }

    /// What the client is told in the protocol's own terms; `None` where nothing is wrong with the client, who may come
    /// again at once.
    pub fn status(self) -> Option<StatusCode> {
        match self.reason {
            CutReason::Draining | CutReason::Unverified => None,
            CutReason::ClusterRemoved => Some(StatusCode::NOT_FOUND),
            CutReason::AccessLost => Some(StatusCode::FORBIDDEN),
            CutReason::Expired
            | CutReason::Deleted
            | CutReason::Disabled
            | CutReason::Rotated
            | CutReason::LoggedOut
            | CutReason::Idle
            | CutReason::UserDisabled
            | CutReason::UserDeleted
            | CutReason::GroupsLost
            | CutReason::ServiceAccountRefused => Some(StatusCode::UNAUTHORIZED),
        }
    }
}
