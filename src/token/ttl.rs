//! How long a token may live: what was asked for, what its kind is given by default, and the maximum that bounds both.
//!
//! A lifetime is fixed when the token is made. What is shortened is always reported; nothing is ever made longer.

use super::{DefaultTtl, TokenKind, Ttl};

/// What the settings say, in milliseconds; 0 stands for "no end" everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TtlLimits {
    /// The longest life of a token of a bounded kind.
    pub max: Ttl,
    /// The life of a session.
    pub session: Ttl,
    /// The life of a token in a kubeconfig.
    pub kubeconfig: Ttl,
}

/// A lifetime by policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// How long the token lives.
    pub ttl: Ttl,
    /// That it is shorter than what was asked for.
    pub clamped: Option<Clamp>,
}

/// A wish that the maximum cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clamp {
    /// What was asked for; 0 is "never expires".
    pub asked: Ttl,
    /// What was given.
    pub max: Ttl,
}

/// Why there is no such lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TtlError {
    /// Negative, or longer than any token lives.
    #[error("ttl must be 0 (never expires) or up to {LONGEST_TTL_MILLIS} milliseconds (1000 years)")]
    OutOfRange,
    /// A change that would let a token live longer than it was made for.
    #[error("ttl can only be made shorter than the {0} milliseconds it is now")]
    NotShorter(u64),
    /// A change of a token that never expires into one that never expires is none; into a longer one there is none.
    #[error("ttl of a token that never expires can only be set to a positive number of milliseconds")]
    NotAnEnd,
}

/// The life of a new token of `kind`, for which `asked` milliseconds were asked, or nothing.
///
/// A session is as long as sessions are, whatever is asked for. Asking for more than the maximum, or for a token of a
/// bounded kind that never expires where there is a maximum, gives the maximum and says so.
pub fn grant(kind: TokenKind, asked: Option<i64>, limits: &TtlLimits) -> Result<Granted, TtlError> {
    let asked = asked.map(in_range).transpose()?.filter(|_| kind != TokenKind::Session);
    let wanted = asked.unwrap_or(match kind.rules().default_ttl {
        DefaultTtl::Session => limits.session,
        DefaultTtl::Kubeconfig => limits.kubeconfig,
        DefaultTtl::Maximum => limits.max,
        DefaultTtl::Never => NO_END,
    });
    let ttl = bounded(kind, wanted, limits);
    // Nobody asked for a default: that the maximum holds for it too is no news.
    let clamped = asked.filter(|asked| *asked != ttl).map(|asked| Clamp { asked, max: ttl });
    Ok(Granted { ttl, clamped })
}

/// The life of a token of `kind` that a login gives: a session's, as far as the kind's maximum allows.
pub fn grant_to_login(kind: TokenKind, limits: &TtlLimits) -> Ttl {
    bounded(kind, limits.session, limits)
}

/// The life of a token that lives for `current` and is to live for `asked` milliseconds since its creation.
pub fn shortened(current: Ttl, asked: i64) -> Result<Ttl, TtlError> {
    let asked = in_range(asked)?;
    match (current, asked) {
        (NO_END, NO_END) => Err(TtlError::NotAnEnd),
        (_, asked) if asked == current || is_longer(current, asked) => Ok(asked),
        (current, _) => Err(TtlError::NotShorter(current.0)),
    }
}

/// Whether `a` ends later than `b`.
pub fn is_longer(a: Ttl, b: Ttl) -> bool {
    b != NO_END && (a == NO_END || a.0 > b.0)
}

fn bounded(kind: TokenKind, wanted: Ttl, limits: &TtlLimits) -> Ttl {
    if kind.rules().bounded && is_longer(wanted, limits.max) { limits.max } else { wanted }
}

fn in_range(asked: i64) -> Result<Ttl, TtlError> {
    let millis = u64::try_from(asked).ok().filter(|millis| *millis <= LONGEST_TTL_MILLIS);
    millis.map(Ttl).ok_or(TtlError::OutOfRange)
}

const NO_END: Ttl = Ttl(0);

/// A thousand years, the longest that a setting can say as well: times stay within what RFC 3339 can write.
pub const LONGEST_TTL_MILLIS: u64 = 525_600_000 * 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;

    /// Kind, asked, max, session, kubeconfig → lifetime and what it was cut from.
    type Row = (TokenKind, Option<u64>, u64, u64, u64, u64, Option<u64>);

    #[test]
    fn a_lifetime_is_what_was_asked_for_or_the_kinds_default_within_the_maximum() {
        use TokenKind as K;
        let rows: &[Row] = &[
            // A key: what is asked for, up to the maximum; without a wish the maximum, which may be "never".
            (K::ApiKey, Some(HOUR), 90 * DAY, 16 * HOUR, 30 * DAY, HOUR, None),
            (K::ApiKey, Some(90 * DAY), 90 * DAY, 16 * HOUR, 30 * DAY, 90 * DAY, None),
            (K::ApiKey, Some(90 * DAY + 1), 90 * DAY, 16 * HOUR, 30 * DAY, 90 * DAY, Some(90 * DAY + 1)),
            (K::ApiKey, Some(LONGEST_TTL_MILLIS), DAY, 0, 0, DAY, Some(LONGEST_TTL_MILLIS)),
            (K::ApiKey, Some(0), 90 * DAY, 16 * HOUR, 30 * DAY, 90 * DAY, Some(0)),
            (K::ApiKey, None, 90 * DAY, 16 * HOUR, 30 * DAY, 90 * DAY, None),
            (K::ApiKey, Some(0), 0, 16 * HOUR, 30 * DAY, 0, None),
            (K::ApiKey, None, 0, 16 * HOUR, 30 * DAY, 0, None),
            (K::ApiKey, Some(LONGEST_TTL_MILLIS), 0, 0, 0, LONGEST_TTL_MILLIS, None),
            // A kubeconfig: the same, with a default of its own, which the maximum bounds without a word.
            (K::Kubeconfig, None, 90 * DAY, 16 * HOUR, 30 * DAY, 30 * DAY, None),
            (K::Kubeconfig, None, 10 * DAY, 16 * HOUR, 30 * DAY, 10 * DAY, None),
            (K::Kubeconfig, None, 10 * DAY, 16 * HOUR, 0, 10 * DAY, None),
            (K::Kubeconfig, None, 0, 16 * HOUR, 0, 0, None),
            (K::Kubeconfig, Some(HOUR), 90 * DAY, 16 * HOUR, 30 * DAY, HOUR, None),
            (K::Kubeconfig, Some(60 * DAY), 90 * DAY, 16 * HOUR, 30 * DAY, 60 * DAY, None),
            (K::Kubeconfig, Some(0), 90 * DAY, 16 * HOUR, 30 * DAY, 90 * DAY, Some(0)),
            (K::Kubeconfig, Some(0), 0, 16 * HOUR, 30 * DAY, 0, None),
            // A session: its own setting, whatever is asked for, and no maximum.
            (K::Session, None, HOUR, 16 * HOUR, DAY, 16 * HOUR, None),
            (K::Session, Some(HOUR), 90 * DAY, 16 * HOUR, DAY, 16 * HOUR, None),
            (K::Session, Some(0), HOUR, 16 * HOUR, DAY, 16 * HOUR, None),
            (K::Session, None, HOUR, 0, DAY, 0, None),
        ];
        for row @ (kind, asked, max, session, kubeconfig, ttl, cut_from) in rows {
            let limits = TtlLimits { max: Ttl(*max), session: Ttl(*session), kubeconfig: Ttl(*kubeconfig) };
            let asked = asked.map(|asked| i64::try_from(asked).unwrap());
            let clamped = cut_from.map(|asked| Clamp { asked: Ttl(asked), max: Ttl(*max) });
            assert_eq!(grant(*kind, asked, &limits), Ok(Granted { ttl: Ttl(*ttl), clamped }), "{row:?}");
        }
    }

    #[test]
    fn a_token_of_the_system_lives_for_ever_or_as_long_as_was_asked_whatever_the_maximum() {
        let limits = TtlLimits { max: Ttl(HOUR), session: Ttl(HOUR), kubeconfig: Ttl(HOUR) };
        for kind in TokenKind::ALL.into_iter().filter(|kind| kind.rules().default_ttl == DefaultTtl::Never) {
            for (asked, ttl) in [(None, 0), (Some(0), 0), (Some(86_400_000), DAY)] {
                let granted = Granted { ttl: Ttl(ttl), clamped: None };
                assert_eq!(grant(kind, asked, &limits), Ok(granted), "{kind:?} {asked:?}");
            }
        }
    }

    #[test]
    fn what_is_negative_or_past_the_end_of_time_is_no_lifetime() {
        let past_the_end = i64::try_from(LONGEST_TTL_MILLIS + 1).unwrap();
        for kind in TokenKind::ALL {
            for max in [0, HOUR] {
                for asked in [-1, i64::MIN, past_the_end, i64::MAX] {
                    let limits = TtlLimits { max: Ttl(max), ..TtlLimits::default() };
                    let refused = grant(kind, Some(asked), &limits);
                    assert_eq!(refused, Err(TtlError::OutOfRange), "{kind:?} {asked}");
                }
            }
        }
    }

    #[test]
    fn a_login_gives_a_sessions_life_to_what_it_makes() {
        let limits = |max, session| TtlLimits { max: Ttl(max), session: Ttl(session), kubeconfig: Ttl(DAY) };
        for (max, session, of_session, of_kubeconfig) in [
            (90 * DAY, 16 * HOUR, 16 * HOUR, 16 * HOUR),
            (HOUR, 16 * HOUR, 16 * HOUR, HOUR),
            (HOUR, 0, 0, HOUR),
            (0, 0, 0, 0),
        ] {
            let limits = limits(max, session);
            assert_eq!(grant_to_login(TokenKind::Session, &limits), Ttl(of_session));
            assert_eq!(grant_to_login(TokenKind::Kubeconfig, &limits), Ttl(of_kubeconfig));
        }
    }

    #[test]
    fn a_life_is_made_shorter_and_never_longer() {
        assert_eq!(shortened(Ttl(1000), 999), Ok(Ttl(999)));
        assert_eq!(shortened(Ttl(1000), 1000), Ok(Ttl(1000)), "saying what holds is no mistake");
        assert_eq!(shortened(Ttl(0), 1000), Ok(Ttl(1000)));
        assert_eq!(shortened(Ttl(1000), 1001), Err(TtlError::NotShorter(1000)));
        assert_eq!(shortened(Ttl(1000), 0), Err(TtlError::NotShorter(1000)));
        assert_eq!(shortened(Ttl(0), 0), Err(TtlError::NotAnEnd));
        assert_eq!(shortened(Ttl(0), -1), Err(TtlError::OutOfRange));
    }
}
