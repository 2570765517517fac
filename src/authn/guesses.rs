//! Slows down guessing of tokens' keys.
//!
//! Wrong keys are counted by where they come from and by the name they are tried on. When there are too many, the answers
//! to further ones are held back. A right key is not looked at here at all, so nobody can lock its holder out: neither
//! by guessing at the same name nor from behind the same address.
//!
//! The counts are in tables of a fixed size, at places that nobody outside can foresee. Whatever shares a place adds up:
//! no count can be pushed out by others, and the worst that a stranger's guesses do is to delay the answer to a wrong key.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::authority::network;
use crate::telemetry::LoadMetrics;
use crate::token::TokenName;

/// Counts of wrong keys.
pub(super) struct Guesses {
    sources: Debts,
    names: Debts,
    hasher: RandomState,
    start: Instant,
    /// One permit each answer that may be held back at the same time.
    room: Semaphore,
}

/// What is to be done with the answer to a wrong key, after it was held back if that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is sent.
    Send,
    /// Too many are held back already: it is sent at once, and the connection closed. A new one costs the other end more
    /// than us.
    Close,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self {
            sources: Debts::new(),
            names: Debts::new(),
            hasher: RandomState::new(),
            start: Instant::now(),
            room: Semaphore::new(MOST_HELD),
        }
    }

    /// Counts a wrong key, and holds its answer back if there were too many.
    pub(super) async fn count(&self, source: IpAddr, name: &TokenName, metrics: &LoadMetrics) -> Answer {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wait = self.wait(source, name, now);
        if wait == Duration::ZERO {
            return Answer::Send;
        }
        let Ok(_room) = self.room.try_acquire() else { return Answer::Close };
        metrics.count_held();
        let _held = metrics.refusals_held.raise();
        tokio::time::sleep(wait).await;
        Answer::Send
    }

    fn wait(&self, source: IpAddr, name: &TokenName, now: u64) -> Duration {
        let (source, name) = (self.hash(&network(source)), self.hash(name));
        self.sources.add(source, now).max(self.names.add(name, now))
    }

    fn hash(&self, of: &impl Hash) -> u64 {
        self.hasher.hash_one(of)
    }
}

/// Per place, the millisecond at which what was counted is made up for. One number says it all: it is never reset, and
/// forgets by itself.
struct Debts(Box<[AtomicU64]>);

impl Debts {
    fn new() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds one to the place of `hash`; says how long its answer is to wait.
    #[expect(clippy::cast_possible_truncation, reason = "any part of a hash is one")]
    fn add(&self, hash: u64, now: u64) -> Duration {
        let Some(place) = self.0.get(hash as usize % PLACES) else { return Duration::ZERO };
        let added = |until: u64| until.max(now).saturating_add(COST).min(now.saturating_add(FREE + LONGEST));
        let before = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| Some(added(until)));
        let debt = added(before.unwrap_or_default()).saturating_sub(now);
        Duration::from_millis(debt.saturating_sub(FREE))
    }
}

/// Milliseconds in which one wrong key is forgotten: ten a second cost nothing.
const COST: u64 = 100;
/// A hundred at once cost nothing either; beyond that each waits for longer than the one before.
const FREE: u64 = 100 * COST;
/// The longest that an answer is held back.
const LONGEST: u64 = 1000;
/// Answers held back at the same time.
const MOST_HELD: usize = 256;
/// 512 KiB of memory a table.
const PLACES: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> TokenName {
        TokenName::try_from(format!("token-{number}").as_str()).unwrap()
    }

    fn millis(guesses: &Guesses, source: &str, number: usize, now: u64) -> u128 {
        guesses.wait(source.parse().unwrap(), &name(number), now).as_millis()
    }

    #[test]
    fn a_guesser_waits_longer_and_longer_and_is_forgotten_with_time() {
        let guesses = Guesses::new();
        assert!((0..100).all(|_| millis(&guesses, "192.0.2.1", 1, 0) == 0));
        let waits: Vec<_> = (0..12).map(|_| millis(&guesses, "192.0.2.1", 1, 0)).collect();
        assert_eq!(waits, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000, 1000]);
        assert_eq!(millis(&guesses, "192.0.2.1", 1, 11_000), 0);
    }

    #[test]
    fn neither_other_names_nor_other_addresses_are_a_way_around() {
        let guesses = Guesses::new();
        for number in 0..200 {
            millis(&guesses, "2001:db8::1", number, 0);
            millis(&guesses, &format!("198.51.100.{number}"), 1000, 0);
        }
        assert_eq!(millis(&guesses, "2001:db8::ffff", 2000, 0), 1000, "another name, the same network");
        assert_eq!(millis(&guesses, "203.0.113.1", 1000, 0), 1000, "another address, the same name");
        assert_eq!(millis(&guesses, "203.0.113.1", 3000, 0), 0, "neither");
    }

    #[test]
    fn a_million_names_push_no_count_out_and_take_no_more_memory() {
        let guesses = Guesses::new();
        for _ in 0..200 {
            millis(&guesses, "192.0.2.1", 1, 0);
        }
        let places = guesses.names.0.len();
        for number in 2..1_000_000 {
            guesses.names.add(guesses.hash(&number), 0);
        }
        assert_eq!(millis(&guesses, "203.0.113.1", 1, 0), 1000);
        assert_eq!(guesses.names.0.len(), places);
    }

    #[tokio::test]
    async fn no_more_answers_are_held_back_than_there_is_room_for() {
        let (guesses, metrics) = (Guesses::new(), LoadMetrics::default());
        let source = "192.0.2.1".parse().unwrap();
        while guesses.wait(source, &name(1), 0) < Duration::from_millis(LONGEST) {}
        let room = guesses.room.try_acquire_many(u32::try_from(MOST_HELD).unwrap()).unwrap();
        assert_eq!(guesses.count(source, &name(1), &metrics).await, Answer::Close);
        drop(room);
        let start = Instant::now();
        assert_eq!(guesses.count(source, &name(1), &metrics).await, Answer::Send);
        assert!(start.elapsed() > Duration::from_millis(LONGEST / 2));
        assert_eq!(metrics.refusals_held.value().load(Ordering::Relaxed), 0);
    }
}
