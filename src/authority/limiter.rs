//! Slows down guessing of passwords.
//!
//! Failures are counted by name and address together: a guesser blocks himself, not the owner of the name, who comes
//! from elsewhere. The memory is bounded by forgetting the longest quiet pair. Pushing one's own count out that way
//! takes [`MAX_PAIRS`] failed logins, each a slow hash, for a handful of new guesses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::identity::Username;

/// Counts of failed logins.
#[derive(Debug, Default)]
pub(super) struct FailureLimiter(HashMap<Attempt, Failures>);

/// Who tries which name. All texts that can't be a name count as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    source: IpAddr,
    name: Option<Username>,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Attempt {
    pub(super) fn new(source: IpAddr, name: Option<Username>) -> Self {
        Self { source: network(source), name }
    }
}

impl FailureLimiter {
    /// How long `attempt` still has to wait; zero if it may go on.
    pub(super) fn wait(&self, attempt: &Attempt, now: Instant) -> Duration {
        self.0.get(attempt).map_or(Duration::ZERO, |failures| {
            failures.penalty().saturating_sub(now.saturating_duration_since(failures.last))
        })
    }

    /// Counts a wrong password.
    pub(super) fn failed(&mut self, attempt: Attempt, now: Instant) {
        if self.0.len() >= MAX_PAIRS && !self.0.contains_key(&attempt) {
            self.make_room(now);
        }
        let failures = self.0.entry(attempt).or_insert(Failures { count: 0, last: now });
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// A right password: what was counted against it is forgotten.
    pub(super) fn succeeded(&mut self, attempt: &Attempt) {
        self.0.remove(attempt);
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, failures| now.saturating_duration_since(failures.last) < FORGOTTEN_AFTER);
        if self.0.len() >= MAX_PAIRS {
            let quietest =
                self.0.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| key.clone());
            quietest.and_then(|attempt| self.0.remove(&attempt));
        }
    }
}

impl Failures {
    /// Nothing for the first few, then a second, doubled with every failure up to a minute.
    fn penalty(&self) -> Duration {
        let Some(beyond) = self.count.checked_sub(FREE_FAILURES) else { return Duration::ZERO };
        Duration::from_secs(1_u64.checked_shl(beyond).unwrap_or(u64::MAX)).min(MAX_PENALTY)
    }
}

/// Who counts as one source: a host has a whole /64 of IPv6 to itself.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

const FREE_FAILURES: u32 = 5;
const MAX_PENALTY: Duration = Duration::from_mins(1);
const FORGOTTEN_AFTER: Duration = Duration::from_mins(15);
const MAX_PAIRS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(source: &str, name: &str) -> Attempt {
        Attempt::new(source.parse().unwrap(), Username::try_from(name).ok())
    }

    #[test]
    fn a_guesser_waits_longer_and_longer_and_the_owner_elsewhere_does_not() {
        let mut limiter = FailureLimiter::default();
        let (guesser, start) = (attempt("192.0.2.1", "alice"), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..13 {
            limiter.failed(guesser.clone(), start);
            waits.push(limiter.wait(&guesser, start).as_secs());
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(limiter.wait(&attempt("192.0.2.2", "alice"), start), Duration::ZERO);
        assert_eq!(limiter.wait(&attempt("192.0.2.1", "bob"), start), Duration::ZERO);
        assert_eq!(limiter.wait(&guesser, start + Duration::from_mins(1)), Duration::ZERO);
        limiter.succeeded(&guesser);
        assert_eq!(limiter.wait(&guesser, start), Duration::ZERO);
    }

    #[test]
    fn other_addresses_of_the_same_host_are_no_way_around() {
        let mut limiter = FailureLimiter::default();
        let now = Instant::now();
        for last in 0..10 {
            limiter.failed(attempt(&format!("2001:db8::{last}"), "alice"), now);
        }
        assert_ne!(limiter.wait(&attempt("2001:db8::ffff", "alice"), now), Duration::ZERO);
        assert_eq!(limiter.wait(&attempt("2001:db8:0:1::1", "alice"), now), Duration::ZERO);
        for _ in 0..10 {
            limiter.failed(attempt("::ffff:192.0.2.9", "alice"), now);
        }
        assert_ne!(limiter.wait(&attempt("192.0.2.9", "alice"), now), Duration::ZERO);
    }

    #[test]
    fn memory_is_bounded_and_the_busiest_guesser_is_not_the_one_forgotten() {
        let mut limiter = FailureLimiter::default();
        let start = Instant::now();
        let guesser = attempt("192.0.2.1", "alice");
        for number in 0..MAX_PAIRS + 100 {
            let now = start + Duration::from_millis(number as u64);
            limiter.failed(attempt("192.0.2.1", &format!("user-{number}")), now);
            limiter.failed(guesser.clone(), now);
        }
        assert_eq!(limiter.0.len(), MAX_PAIRS);
        let end = start + Duration::from_millis((MAX_PAIRS + 100) as u64);
        assert_ne!(limiter.wait(&guesser, end), Duration::ZERO);
    }
}
