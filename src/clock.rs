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

/// A duration for people, in its two largest units: `6d 23h`, `59m 30s`, `8s`.
pub fn in_words(millis: u64) -> String {
    let parts = [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm'), (SECOND, 's')];
    let first = parts.iter().position(|(unit, _)| millis >= *unit).unwrap_or(parts.len() - 1);
    let mut rest = millis;
    let mut words = Vec::new();
    for (unit, letter) in parts.iter().skip(first).take(2) {
        words.push(format!("{}{letter}", rest / unit));
        rest %= unit;
    }
    words.join(" ")
}

/// Milliseconds of a second, and of the larger units.
pub const SECOND: u64 = 1000;
/// Milliseconds of a minute.
pub const MINUTE: u64 = 60 * SECOND;
/// Milliseconds of an hour.
pub const HOUR: u64 = 60 * MINUTE;
/// Milliseconds of a day.
pub const DAY: u64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_the_kubernetes_api_does() {
        assert_eq!(UnixMillis(1_767_323_045_999).to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(UnixMillis(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn durations_are_said_in_their_two_largest_units() {
        for (millis, words) in [(0, "0s"), (59_999, "59s"), (3_570_000, "59m 30s"), (86_400_000, "1d 0h")] {
            assert_eq!(in_words(millis), words);
        }
    }

    #[test]
    fn never_goes_back() {
        let first = now();
        assert!(now() >= first);
        assert_eq!(UnixMillis(u64::MAX).plus(5), UnixMillis(u64::MAX));
    }
}
