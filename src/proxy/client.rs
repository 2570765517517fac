//! The connection a request came on, as far as the gate has to know it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::Version;
use http::header::{CONNECTION, HeaderMap, HeaderValue, USER_AGENT};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::authn::Origin;
use crate::telemetry::ConnectionGauge;

/// One client connection. A tunnel outlives the HTTP of its connection and keeps this with it.
pub struct Client {
    /// The other end.
    pub address: SocketAddr,
    /// Its address as the value of a header line.
    pub forwarded_for: HeaderValue,
    /// What the reader of the connection found.
    pub messages: Arc<MessageCheck>,
    /// Notified when the connection is to end after the requests it has.
    pub go_away: Notify,
    /// Notified when the connection is to end at once, with whatever is under way on it.
    pub hang_up: Notify,
    warned: AtomicBool,
    _permit: OwnedSemaphorePermit,
    _gauge: ConnectionGauge,
}

impl Client {
    /// A connection that holds its place among those that may be open until this is dropped.
    pub fn new(
        address: SocketAddr,
        messages: Arc<MessageCheck>,
        permit: OwnedSemaphorePermit,
        gauge: ConnectionGauge,
    ) -> Self {
        // No address has a character that a header can't.
        let forwarded_for = HeaderValue::from_str(&address.ip().to_canonical().to_string());
        Self {
            address,
            forwarded_for: forwarded_for.unwrap_or(HeaderValue::from_static("unknown")),
            messages,
            go_away: Notify::new(),
            hang_up: Notify::new(),
            warned: AtomicBool::new(false),
            _permit: permit,
            _gauge: gauge,
        }
    }

    /// Where a request with these headers comes from.
    pub fn origin<'h>(&self, headers: &'h HeaderMap) -> Origin<'h> {
        Origin { address: self.address.ip(), user_agent: headers.get(USER_AGENT) }
    }

    /// Ends the connection after the answer with these headers, and after those that are under way beside it.
    pub fn end_after(&self, version: Version, answer: &mut HeaderMap) {
        if version == Version::HTTP_2 {
            // The field means nothing there; the message is GOAWAY.
            answer.remove(CONNECTION);
            self.go_away.notify_one();
        } else {
            answer.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Whether the client may be warned of something on this connection: true once.
    pub(super) fn may_warn(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }
}

/// What the reader of an HTTP/1 connection found in its bytes before the HTTP library parsed them.
#[derive(Debug)]
pub struct MessageCheck {
    /// The first message to refuse, counted from 0; `u64::MAX` while there is none.
    refuse_from: AtomicU64,
    reason: OnceLock<&'static str>,
    served: AtomicU64,
    tunnel: AtomicBool,
}

impl MessageCheck {
    /// Marks `message` and all after it.
    pub fn refuse_from(&self, message: u64, reason: &'static str) {
        // Only the first reason counts: behind an ambiguous message nothing can be told apart any more.
        if self.reason.set(reason).is_ok() {
            self.refuse_from.store(message, Ordering::Release);
        }
    }

    /// Counts a message, and says whether and why it has to be refused. To be asked once a message.
    pub fn next_message(&self) -> Result<(), &'static str> {
        let message = self.served.fetch_add(1, Ordering::Relaxed);
        if message < self.refuse_from.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(self.reason.get().copied().unwrap_or("ambiguous message"))
    }

    /// From here on the connection is no longer HTTP.
    pub fn becomes_tunnel(&self) {
        self.tunnel.store(true, Ordering::Release);
    }

    /// Whether the connection is no longer HTTP.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Acquire)
    }
}

impl Default for MessageCheck {
    fn default() -> Self {
        Self {
            refuse_from: AtomicU64::new(u64::MAX),
            reason: OnceLock::new(),
            served: AtomicU64::new(0),
            tunnel: AtomicBool::new(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_before_the_ambiguous_one_are_served() {
        let check = MessageCheck::default();
        check.refuse_from(1, "first");
        check.refuse_from(0, "second");
        assert_eq!(check.next_message(), Ok(()));
        assert_eq!(check.next_message(), Err("first"));
        assert_eq!(check.next_message(), Err("first"));
    }
}
