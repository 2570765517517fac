//! Whether anything is under way on an HTTP/2 connection. Its library keeps a connection for as long as the client
//! answers pings, which costs the client nothing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    under_way: usize,
    quiet_since: Instant,
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

/// A body whose request is under way until it has passed.
#[derive(Debug)]
pub(super) struct BusyBody<B> {
    body: B,
    _busy: Busy,
}

impl Activity {
    /// Nothing is under way yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { under_way: 0, quiet_since: Instant::now() })))
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.update(|state| state.under_way += 1);
        Busy(Arc::clone(self))
    }

    /// Counts the time without a request from now on.
    pub(super) fn touch(&self) {
        self.update(|state| state.quiet_since = Instant::now());
    }

    /// Waits until there has been no request for `limit`. Costs a timer a `limit`, and nothing a request.
    pub(super) async fn quiet_for(&self, limit: Duration) {
        loop {
            let end = self.quiet_at(limit);
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }

    /// The earliest moment at which there will have been no request for `limit`.
    fn quiet_at(&self, limit: Duration) -> Instant {
        self.update(|state| if state.under_way == 0 { state.quiet_since } else { Instant::now() }) + limit
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // Nothing panics while it holds the lock, and the two figures are whole at every moment.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Busy {
    /// Keeps the request under way for as long as its answer's body lasts.
    pub(super) fn until_passed<B>(self, body: B) -> BusyBody<B> {
        BusyBody { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.update(|state| {
            state.under_way -= 1;
            state.quiet_since = Instant::now();
        });
    }
}

impl<B: Body + Unpin> Body for BusyBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_quiet_only_between_requests() {
        let limit = Duration::from_secs(10);
        let activity = Activity::new();
        let never_used = activity.quiet_at(limit);
        assert_eq!(activity.quiet_at(limit), never_used);
        let busy = activity.begin();
        let other = activity.begin();
        drop(other);
        let begun = Instant::now();
        assert!(activity.quiet_at(limit) >= begun + limit, "not while one is under way");
        drop(busy);
        let ended = activity.quiet_at(limit);
        assert!(ended >= begun + limit);
        assert_eq!(activity.quiet_at(limit), ended, "time runs from the end of the last one");
        activity.touch();
        assert!(activity.quiet_at(limit) > ended);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_time_is_over() {
        Activity::new().quiet_for(Duration::from_millis(1)).await;
    }
}
