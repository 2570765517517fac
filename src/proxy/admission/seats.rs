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

/// Seats that are taken.
pub(super) struct Seats {
    /// In all: the metric itself, so that it costs nothing to keep.
    taken: Level,
    most: i64,
    /// By user. Users share a count if chance gives them the same one, which is rare and halves their bound at worst; in
    /// return there is nothing to look up, to clean up or to fill up.
    by_user: Box<[AtomicU32]>,
    most_per_user: u32,
}

impl Seats {
    pub(super) fn new(taken: Level, most: usize, most_per_user: usize) -> Self {
        Self {
            taken,
            most: i64::try_from(most).unwrap_or(i64::MAX),
            by_user: (0..USERS).map(|_| AtomicU32::new(0)).collect(),
            most_per_user: u32::try_from(most_per_user).unwrap_or(u32::MAX),
        }
    }

    /// The index of a user's count.
    #[expect(clippy::cast_possible_truncation, reason = "any part of a hash is one")]
    pub(super) fn user(hash: u64) -> usize {
        hash as usize % USERS
    }

    /// Takes a seat for the user with this index.
    pub(super) fn take(&self, user: usize) -> Result<(), Full> {
        let own = self.by_user.get(user).ok_or(Full::User)?;
        let room = |most: u32| move |taken: u32| (taken < most).then_some(taken + 1);
        own.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room(self.most_per_user))
            .map_err(|_| Full::User)?;
        let all = |taken: i64| (taken < self.most).then_some(taken + 1);
        if self.total().fetch_update(Ordering::SeqCst, Ordering::SeqCst, all).is_err() {
            own.fetch_sub(1, Ordering::SeqCst);
            return Err(Full::All);
        }
        Ok(())
    }

    /// Which bound keeps this user out.
    pub(super) fn full(&self, user: usize) -> Full {
        let own = self.by_user.get(user).map_or(u32::MAX, |own| own.load(Ordering::Relaxed));
        if own >= self.most_per_user { Full::User } else { Full::All }
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
        let seats = Seats::new(Level::default(), 3, 2);
        assert_eq!([seats.take(1), seats.take(1), seats.take(1)], [Ok(()), Ok(()), Err(Full::User)]);
        assert_eq!([seats.take(2), seats.take(2)], [Ok(()), Err(Full::All)]);
        seats.give_back(1);
        assert_eq!([seats.take(2), seats.take(1)], [Ok(()), Err(Full::All)]);
        for user in [1, 2, 2] {
            seats.give_back(user);
        }
        assert_eq!(seats.total().load(Ordering::SeqCst), 0);
        assert!(seats.by_user.iter().all(|own| own.load(Ordering::SeqCst) == 0));
    }
}
