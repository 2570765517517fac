//! Counts of what is under way, in all and by user, without a lock.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use crate::telemetry::Level;

/// Which bound there is no room under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// That of all together.
    All,
    /// That of this user.
    User,
}

/// How many may be taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// In all.
    pub(super) most: usize,
    /// By one user.
    pub(super) most_per_user: usize,
}

/// Seats that are taken.
pub(super) struct Seats {
    /// In all: the metric itself, so that it costs nothing to keep.
    taken: Level,
    most: AtomicI64,
    /// By user. Users share a count if chance gives them the same one, which is rare and halves their bound at worst; in
    /// return there is nothing to look up, to clean up or to fill up.
    by_user: Box<[AtomicU32]>,
    most_per_user: AtomicU32,
}

impl Seats {
    pub(super) fn new(taken: Level, bounds: Bounds) -> Self {
        let by_user = (0..USERS).map(|_| AtomicU32::new(0)).collect();
        let seats = Self { taken, most: AtomicI64::new(0), by_user, most_per_user: AtomicU32::new(0) };
        seats.set_bounds(bounds);
        seats
    }

    /// From now on these bounds count. Nobody loses a seat by that: one is free again once enough were given back.
    pub(super) fn set_bounds(&self, bounds: Bounds) {
        self.most.store(i64::try_from(bounds.most).unwrap_or(i64::MAX), Ordering::SeqCst);
        let most_per_user = u32::try_from(bounds.most_per_user).unwrap_or(u32::MAX);
        self.most_per_user.store(most_per_user, Ordering::SeqCst);
    }

    /// The index of a user's count.
    #[expect(clippy::cast_possible_truncation, reason = "any part of a hash is one")]
    pub(super) fn user(hash: u64) -> usize {
        hash as usize % USERS
    }

    /// Takes a seat for the user with this index.
    pub(super) fn take(&self, user: usize) -> Result<(), Full> {
        let own = self.by_user.get(user).ok_or(Full::User)?;
        let (most, most_per_user) =
            (self.most.load(Ordering::SeqCst), self.most_per_user.load(Ordering::SeqCst));
        let one = |taken: u32| (taken < most_per_user).then_some(taken + 1);
        own.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one).map_err(|_| Full::User)?;
        let all = |taken: i64| (taken < most).then_some(taken + 1);
        if self.total().fetch_update(Ordering::SeqCst, Ordering::SeqCst, all).is_err() {
            own.fetch_sub(1, Ordering::SeqCst);
            return Err(Full::All);
        }
        Ok(())
    }

    /// Which bound keeps this user out.
    pub(super) fn full(&self, user: usize) -> Full {
        let own = self.by_user.get(user).map_or(u32::MAX, |own| own.load(Ordering::Relaxed));
        if own >= self.most_per_user.load(Ordering::Relaxed) { Full::User } else { Full::All }
    }

    /// Gives one back.
    pub(super) fn give_back(&self, user: usize) {
        self.total().fetch_sub(1, Ordering::SeqCst);
        if let Some(own) = self.by_user.get(user) {
            own.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn total(&self) -> &AtomicI64 {
        self.taken.value()
    }
}

/// Among so many counts two of a hundred users meet with a chance of one in thirteen.
const USERS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_bound_is_ever_passed_and_both_come_back() {
        let seats = Seats::new(Level::default(), Bounds { most: 3, most_per_user: 2 });
        assert_eq!([seats.take(1), seats.take(1), seats.take(1)], [Ok(()), Ok(()), Err(Full::User)]);
        assert_eq!([seats.take(2), seats.take(2)], [Ok(()), Err(Full::All)]);
        seats.give_back(1);
        assert_eq!([seats.take(2), seats.take(1)], [Ok(()), Err(Full::All)]);
        for user in [1, 2, 2] {
            seats.give_back(user);
        }
        seats.set_bounds(Bounds { most: 1, most_per_user: 1 });
        assert_eq!([seats.take(1), seats.take(1), seats.take(2)], [Ok(()), Err(Full::User), Err(Full::All)]);
        seats.give_back(1);
        assert_eq!(seats.total().load(Ordering::SeqCst), 0);
        assert!(seats.by_user.iter().all(|own| own.load(Ordering::SeqCst) == 0));
    }
}
