//! Moments as they are typed: a day, a time, or how long ago.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::clock::now;
use crate::config;

/// A moment in the past, shown as the API takes it (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The moment that `text` means. A day begins at midnight UTC, in which everything of ours is shown.
pub(super) fn moment(text: &str) -> Result<Moment, &'static str> {
    let ago = || {
        let ago = u64::try_from(config::duration(text)?.as_millis()).ok()?;
        let then = i64::try_from(now().0.checked_sub(ago)?).ok()?;
        Timestamp::from_millisecond(then).ok()
    };
    let day = || {
        let day: Date = text.parse().ok().filter(|_| text.len() == "2026-01-31".len())?;
        day.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp())
    };
    let parsed = ago().or_else(day).or_else(|| text.parse().ok());
    parsed
        .map(Moment)
        .ok_or("expected a day (2026-01-31), a time (2026-01-31T12:00:00Z) or a time ago (30d, 2h)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_a_time_or_some_time_ago() {
        assert_eq!(moment("2026-01-31").unwrap().to_string(), "2026-01-31T00:00:00Z");
        assert_eq!(moment("2026-01-31T12:00:00+01:00").unwrap().to_string(), "2026-01-31T11:00:00Z");
        let ago = moment("2h").unwrap().0.as_millisecond();
        let hours = i64::try_from(now().0).unwrap() - ago;
        assert!((7_200_000..7_260_000).contains(&hours), "{hours}");
        for text in ["", "yesterday", "2026-13-01", "2026-01-31T12:00", "30", "-1d", "99999999999d"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
