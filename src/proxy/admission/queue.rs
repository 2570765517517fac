//! Who waits, by user. Users take turns, however many of their requests wait.

use std::collections::{HashMap, VecDeque};

/// What waits, in the order of its turns.
pub(super) struct FairQueue<T> {
    most: usize,
    length: usize,
    tickets: u64,
    /// Whose turn it is next. Everybody here has something that waits.
    turns: VecDeque<usize>,
    waiting: HashMap<usize, VecDeque<(u64, T)>>,
}

/// Where something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    user: usize,
    number: u64,
}

impl<T> FairQueue<T> {
    /// With room for `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { most, length: 0, tickets: 0, turns: VecDeque::new(), waiting: HashMap::new() }
    }

    /// From now on with room for `most`. Nobody has to go for that.
    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Adds what `user` waits with. Where there is no room, the latest of whoever has most in the queue has to go, and is
    /// dropped; if that is `user`, nothing is added.
    pub(super) fn push(&mut self, user: usize, item: T) -> Option<Ticket> {
        if self.length >= self.most {
            let own = self.waiting.get(&user).map_or(0, VecDeque::len);
            let (loudest, most) = self
                .waiting
                .iter()
                .map(|(user, items)| (*user, items.len()))
                .max_by_key(|(_, items)| *items)?;
            if most <= own + 1 {
                return None;
            }
            let latest = self.waiting.get(&loudest)?.back()?.0;
            self.remove(Ticket { user: loudest, number: latest });
        }
        self.tickets += 1;
        self.length += 1;
        let own = self.waiting.entry(user).or_default();
        if own.is_empty() {
            self.turns.push_back(user);
        }
        own.push_back((self.tickets, item));
        Some(Ticket { user, number: self.tickets })
    }

    /// The first of the first user in turn who `may` go on; the user is last in turn then.
    pub(super) fn next(&mut self, mut may: impl FnMut(usize) -> bool) -> Option<(usize, T)> {
        let turn = self.turns.iter().position(|user| may(*user))?;
        let user = self.turns.remove(turn)?;
        let own = self.waiting.get_mut(&user)?;
        let (_, item) = own.pop_front()?;
        self.length -= 1;
        if own.is_empty() {
            self.waiting.remove(&user);
        } else {
            self.turns.push_back(user);
        }
        Some((user, item))
    }

    /// Takes out what waits no longer, if it is still there.
    pub(super) fn remove(&mut self, ticket: Ticket) {
        let Some(own) = self.waiting.get_mut(&ticket.user) else { return };
        let Ok(place) = own.binary_search_by_key(&ticket.number, |(number, _)| *number) else { return };
        own.remove(place);
        self.length -= 1;
        if own.is_empty() {
            self.waiting.remove(&ticket.user);
            self.turns.retain(|user| *user != ticket.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(queue: &mut FairQueue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.next(|_| true).map(|(_, item)| item)).collect()
    }

    #[test]
    fn users_take_turns_however_much_of_theirs_waits() {
        let mut queue = FairQueue::new(10);
        for (user, item) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
            queue.push(user, item).unwrap();
        }
        assert_eq!(drained(&mut queue), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!((queue.len(), queue.turns.len(), queue.waiting.len()), (0, 0, 0));
    }

    #[test]
    fn who_may_not_go_on_keeps_the_place_and_holds_up_nobody() {
        let mut queue = FairQueue::new(10);
        for (user, item) in [(1, "a1"), (2, "b1"), (2, "b2")] {
            queue.push(user, item).unwrap();
        }
        assert_eq!(queue.next(|user| user != 1), Some((2, "b1")));
        assert_eq!(queue.next(|_| false), None);
        assert_eq!(drained(&mut queue), ["a1", "b2"]);
    }

    #[test]
    fn a_full_queue_has_room_for_the_quiet_at_the_cost_of_the_loudest() {
        let mut queue = FairQueue::new(3);
        for item in ["a1", "a2", "a3"] {
            queue.push(1, item).unwrap();
        }
        assert_eq!(queue.push(1, "a4"), None);
        assert!(queue.push(2, "b1").is_some());
        assert_eq!(queue.push(2, "b2"), None, "two and one are as even as three can be shared");
        assert_eq!(queue.len(), 3);
        assert_eq!(drained(&mut queue), ["a1", "b1", "a2"]);
    }

    #[test]
    fn what_waits_no_longer_leaves_nothing_behind() {
        let mut queue = FairQueue::new(3);
        let first = queue.push(1, "a1").unwrap();
        let second = queue.push(1, "a2").unwrap();
        queue.remove(first);
        queue.remove(first);
        assert_eq!(queue.len(), 1);
        queue.remove(second);
        assert_eq!((queue.len(), queue.turns.len(), queue.waiting.len()), (0, 0, 0));
        assert_eq!(queue.next(|_| true), None);
    }
}
