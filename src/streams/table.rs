//! The streams by owner, and the owners by what is to be done about them next. No lock and no clock of its own.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::{CutReason, End, Entry, Life, Owner, PATIENCE, ReviewKey, StreamId};
use crate::clock::UnixMillis;
use crate::token::TokenName;

/// Who may have several streams that end together.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Token(TokenName),
    ServiceAccount(Arc<str>, ReviewKey),
}

/// The streams of one owner: they share its life, so that ten thousand watches of one token have one place in the order
/// of what is due.
struct Holding {
    serial: u64,
    owner: Owner,
    life: Life,
    unverified_since: Option<UnixMillis>,
    streams: HashMap<StreamId, Arc<Entry>>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Table {
    holdings: HashMap<Holder, Holding>,
    due: BTreeMap<(UnixMillis, u64), Holder>,
    /// Streams that were cut, in the order of that.
    ending: VecDeque<(Instant, Weak<Entry>)>,
    last_serial: u64,
}

/// What is to be done about an owner.
pub(super) enum Due {
    Cut(End, Vec<Arc<Entry>>),
    Judge(Owner),
}

impl Table {
    /// `expires_at` is taken for the end of an owner of whom nothing is known yet.
    pub(super) fn insert(&mut self, entry: Arc<Entry>, expires_at: Option<UnixMillis>) {
        let holder = Holder::from(entry.owner());
        match self.holdings.entry(holder.clone()) {
            Place::Occupied(mut known) => {
                known.get_mut().streams.insert(entry.id(), entry);
            }
            Place::Vacant(place) => {
                self.last_serial += 1;
                let (serial, owner) = (self.last_serial, entry.owner().clone());
                let (life, streams) = (Life::default(), HashMap::from([(entry.id(), entry)]));
                place.insert(Holding { serial, owner, life, unverified_since: None, streams });
                let ends = expires_at.map(|at| End { at, reason: CutReason::Expired });
                self.set_life(&holder, Life { ends, look_again: None });
            }
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, entry: &Entry) -> bool {
        let Place::Occupied(mut place) = self.holdings.entry(entry.owner().into()) else { return false };
        let was_there = place.get_mut().streams.remove(&entry.id()).is_some();
        if place.get().streams.is_empty() {
            let holding = place.remove();
            if let Some(at) = holding.life.next() {
                self.due.remove(&(at, holding.serial));
            }
        }
        was_there
    }

    pub(super) fn set_life(&mut self, holder: &Holder, life: Life) {
        let Some(holding) = self.holdings.get_mut(holder) else { return };
        holding.unverified_since = None;
        let before = std::mem::replace(&mut holding.life, life);
        let serial = holding.serial;
        self.reorder(holder, serial, before.next(), life.next());
    }

    /// Has an owner looked at again at `again`, without forgetting its end. Says since when it could not be verified.
    pub(super) fn postpone(&mut self, holder: &Holder, now: UnixMillis, again: UnixMillis) -> UnixMillis {
        let Some(holding) = self.holdings.get_mut(holder) else { return now };
        let since = *holding.unverified_since.get_or_insert(now);
        let before = holding.life.next();
        holding.life.look_again = Some(again);
        let (serial, next) = (holding.serial, holding.life.next());
        self.reorder(holder, serial, before, next);
        since
    }

    fn reorder(
        &mut self,
        holder: &Holder,
        serial: u64,
        before: Option<UnixMillis>,
        next: Option<UnixMillis>,
    ) {
        if before == next {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, serial));
        }
        if let Some(next) = next {
            self.due.insert((next, serial), holder.clone());
        }
    }

    pub(super) fn next_due(&self) -> Option<UnixMillis> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// What is due at `now`, which is then no longer on the list.
    pub(super) fn take_due(&mut self, now: UnixMillis) -> Vec<Due> {
        let later = self.due.split_off(&(now.plus(1), 0));
        let due = std::mem::replace(&mut self.due, later);
        let mut taken = Vec::with_capacity(due.len());
        for ((_, serial), holder) in due {
            let Some(holding) = self.holdings.get_mut(&holder) else { continue };
            if let Some(end) = holding.life.ends.filter(|end| end.at <= now) {
                holding.life = Life::default();
                taken.push(Due::Cut(end, holding.streams.values().cloned().collect()));
                continue;
            }
            holding.life.look_again = None;
            taken.push(Due::Judge(holding.owner.clone()));
            let next = holding.life.next();
            self.reorder(&holder, serial, None, next);
        }
        taken
    }

    pub(super) fn owner_of(&self, holder: &Holder) -> Option<Owner> {
        self.holdings.get(holder).map(|holding| holding.owner.clone())
    }

    pub(super) fn of_holder(&self, holder: &Holder) -> Vec<Arc<Entry>> {
        let holding = self.holdings.get(holder);
        holding.map_or_else(Vec::new, |holding| holding.streams.values().cloned().collect())
    }

    pub(super) fn owners(&self, which: impl Fn(&Owner) -> bool) -> Vec<Owner> {
        let owners = self.holdings.values().map(|holding| &holding.owner);
        owners.filter(|owner| which(owner)).cloned().collect()
    }

    pub(super) fn find(&self, which: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        self.streams().filter(|entry| which(entry)).cloned().collect()
    }

    pub(super) fn count(&self, which: impl Fn(&Entry) -> bool) -> usize {
        self.streams().filter(|entry| which(entry)).count()
    }

    /// Notes that these were cut just now.
    pub(super) fn watch_ends(&mut self, streams: &[&Arc<Entry>], now: Instant) {
        self.ending.extend(streams.iter().map(|entry| (now, Arc::downgrade(entry))));
    }

    /// Those that were cut too long ago, whether or not they have ended since.
    pub(super) fn take_stuck(&mut self, now: Instant) -> Vec<Weak<Entry>> {
        let late = |(cut, _): &(Instant, Weak<Entry>)| now.saturating_duration_since(*cut) >= PATIENCE;
        let count = self.ending.iter().take_while(|ending| late(ending)).count();
        self.ending.drain(..count).map(|(_, entry)| entry).collect()
    }

    #[cfg(test)]
    pub(super) fn due_len(&self) -> usize {
        self.due.len()
    }

    fn streams(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.holdings.values().flat_map(|holding| holding.streams.values())
    }
}

impl Life {
    fn next(self) -> Option<UnixMillis> {
        [self.ends.map(|end| end.at), self.look_again].into_iter().flatten().min()
    }
}

impl From<&Owner> for Holder {
    fn from(owner: &Owner) -> Self {
        match owner {
            Owner::Token { token, .. } => Self::Token(token.clone()),
            Owner::ServiceAccount { cluster, reviewed } => {
                Self::ServiceAccount(Arc::clone(cluster), *reviewed)
            }
        }
    }
}
