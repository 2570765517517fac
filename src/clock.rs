//! Wall-clock time for expiry. It never goes back within a process, so that a token that was seen expired stays so
//! when the clock is corrected; ages of cache entries and deadlines use `std::time::Instant` instead.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This moment plus `millis`; stays at the end of time instead of wrapping around to the beginning.
    #[must_use]
    pub fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// RFC 3339 in UTC with whole seconds, as the Kubernetes API writes times.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_second(seconds) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => f.write_str("9999-12-31T23:59:59Z"),
        }
    }
}

/// The latest moment that [`now`] has given out.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// The time now, or the latest time this process has seen if the wall clock was set back since.
pub fn now() -> UnixMillis {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    // A plain load first: the common case, a clock that moves on, then shares no written cache line between reads of
    // the same millisecond.
    if LATEST.load(Ordering::Relaxed) == wall {
        return UnixMillis(wall);
    }
    UnixMillis(LATEST.fetch_max(wall, Ordering::Relaxed).max(wall))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_the_kubernetes_api_does() {
        assert_eq!(UnixMillis(1_767_323_045_999).to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(UnixMillis(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn never_goes_back() {
        let first = now();
        assert!(now() >= first);
        assert_eq!(UnixMillis(u64::MAX).plus(5), UnixMillis(u64::MAX));
    }
}
