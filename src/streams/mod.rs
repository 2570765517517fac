//! The live streams: every watch, log, exec, port-forward and other long request that is open, whose it is, and what
//! ends it before its time.
//!
//! Promises: a stream that is registered hears of every cut that begins afterwards. Whoever opens one registers it first
//! and then checks its token again, so that a revocation is seen by the check or by the cut, whichever of the two comes
//! first. A stream that was cut and is not ended by its own task is abandoned after [`PATIENCE`].

mod entry;
mod guard;
mod table;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use crate::telemetry::{CutReason, StreamKind};
pub use entry::{Entry, NewStream, Open, Owner, ReviewKey, StreamId};
pub use guard::{Cut, Guard};

use crate::clock::{SECOND, UnixMillis};
use crate::telemetry::Telemetry;
use crate::token::TokenName;
use table::{Due, Holder, Table};

/// How long a stream that was cut has for its end. A client that does not read must not keep a stream to the cluster.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Milliseconds for which streams go on whose owner can't be looked up.
const UNVERIFIED_FOR: u64 = 30 * SECOND;
/// Milliseconds until it is tried again.
const LOOK_AGAIN_AFTER: u64 = SECOND;

/// All live streams of this process. Clones are the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    /// Never held across an await, nor while anybody is woken.
    table: Mutex<Table>,
    next_id: AtomicU64,
    telemetry: Arc<Telemetry>,
}

/// What is known of how long the streams of one owner may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Life {
    /// When they end whatever happens; `None` for an owner that does not expire.
    pub ends: Option<End>,
    /// When the owner is to be looked at again.
    pub look_again: Option<UnixMillis>,
}

/// A known end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// By the wall clock.
    pub at: UnixMillis,
    /// What it will be the end by.
    pub reason: CutReason,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("open", &self.count()).finish()
    }
}

impl Registry {
    /// A registry without a stream.
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self(Arc::new(Shared { table: Mutex::default(), next_id: AtomicU64::new(0), telemetry }))
    }

    /// Enters a stream. Check its token again before anything is copied: only what changes from here on is heard of.
    pub fn register(&self, stream: NewStream) -> Guard {
        let id = StreamId(self.0.next_id.fetch_add(1, Ordering::Relaxed));
        let (gauge, expires_at) = (self.0.telemetry.metrics.streams.open(stream.kind), stream.expires_at);
        let entry = Arc::new(Entry::new(id, stream, gauge));
        self.table().insert(Arc::clone(&entry), expires_at);
        Guard::new(self.clone(), entry)
    }

    /// Cuts those streams that `which` picks, which must not come back to the registry. Says how many were not cut before.
    pub fn cut(&self, which: impl Fn(&Entry) -> bool, reason: CutReason) -> usize {
        self.cut_at(which, Cut::now(reason))
    }

    /// [`cut`](Self::cut) for a change that was known at `cut.at`.
    pub fn cut_at(&self, which: impl Fn(&Entry) -> bool, cut: Cut) -> usize {
        let found = self.table().find(which);
        self.end(&found, cut)
    }

    /// Cuts one stream.
    pub fn cut_one(&self, stream: &Arc<Entry>, cut: Cut) -> bool {
        self.end(std::slice::from_ref(stream), cut) > 0
    }

    /// Cuts those streams of one owner that `which` picks, without a look at all others.
    pub fn cut_owner(&self, owner: &Owner, which: impl Fn(&Entry) -> bool, cut: Cut) -> usize {
        let mut found = self.table().of_holder(&owner.into());
        found.retain(|entry| which(entry));
        self.end(&found, cut)
    }

    /// The owner that this token is, if it has any stream open. Cheap: for changes of tokens, most of which have none.
    pub fn owner_of_token(&self, token: &TokenName) -> Option<Owner> {
        self.table().owner_of(&Holder::Token(token.clone()))
    }

    /// The owners of open streams that `which` picks, each once.
    pub fn owners(&self, which: impl Fn(&Owner) -> bool) -> Vec<Owner> {
        self.table().owners(which)
    }

    /// The open streams of a token, the oldest first.
    pub fn of_token(&self, token: &TokenName) -> Vec<Open> {
        let found = self.table().of_holder(&Holder::Token(token.clone()));
        let mut open: Vec<_> = found.iter().map(|entry| entry.open()).collect();
        open.sort_unstable_by_key(|open| open.id);
        open
    }

    /// How many streams are open to a cluster.
    pub fn count_of_cluster(&self, cluster: &str) -> usize {
        self.table().count(|entry| **entry.cluster() == *cluster)
    }

    /// How many streams are open, by kind; kinds without any are left out.
    pub fn count(&self) -> Vec<(StreamKind, usize)> {
        let table = self.table();
        let of = |kind| table.count(|entry| entry.kind() == kind);
        StreamKind::ALL.into_iter().map(|kind| (kind, of(kind))).filter(|(_, count)| *count > 0).collect()
    }

    /// What is known of the owner now, in place of what was known before. Of one without a stream nothing is kept.
    pub fn set_life(&self, owner: &Owner, life: Life) {
        self.table().set_life(&owner.into(), life);
    }

    /// The owner's record can't be read. Its streams go on for the moment, as a store that is in trouble must not end
    /// what is probably good; the owner is looked at again soon; and when that has gone on for [`UNVERIFIED_FOR`], the
    /// streams end, as the change that made us look may well have been a revocation.
    pub fn postpone(&self, owner: &Owner, now: UnixMillis) {
        let since = self.table().postpone(&owner.into(), now, now.plus(LOOK_AGAIN_AFTER));
        if now.0.saturating_sub(since.0) >= UNVERIFIED_FOR {
            self.cut_owner(owner, |_| true, Cut::now(CutReason::Unverified));
        }
    }

    /// The earliest moment at which something is to be done.
    pub fn next_due(&self) -> Option<UnixMillis> {
        self.table().next_due()
    }

    /// Does what is due at `now`: cuts what has come to its known end, without asking any cache, and names the owners
    /// that are to be looked at again.
    pub fn expire(&self, now: UnixMillis) -> Vec<Owner> {
        let due = self.table().take_due(now);
        let mut to_judge = Vec::new();
        for due in due {
            match due {
                Due::Judge(owner) => to_judge.push(owner),
                Due::Cut(end, streams) => {
                    self.end(&streams, Cut::since(end.reason, now.0.saturating_sub(end.at.0)));
                }
            }
        }
        to_judge
    }

    /// Gives up those that were cut at least [`PATIENCE`] before `now` and are still there: whatever keeps their
    /// upstream side open is dropped here, as their own tasks don't come to it.
    pub fn abandon_stuck(&self, now: Instant) -> usize {
        let stuck = self.table().take_stuck(now);
        let mut abandoned = 0;
        for entry in stuck.iter().filter_map(std::sync::Weak::upgrade) {
            if let Some(abandon) = entry.take_abandonment() {
                abandon();
                self.leave(&entry);
                abandoned += 1;
            }
        }
        abandoned
    }

    /// Tells the streams. Outside of the lock: what is woken may come back to the registry at once.
    fn end(&self, streams: &[Arc<Entry>], cut: Cut) -> usize {
        let metrics = &self.0.telemetry.metrics.streams;
        let newly: Vec<_> = streams.iter().filter(|entry| entry.signal(cut)).collect();
        for entry in &newly {
            metrics.count_cut(cut.reason, entry.kind());
        }
        if !newly.is_empty() {
            self.table().watch_ends(&newly, Instant::now());
        }
        newly.len()
    }

    /// Takes a stream off the list; only the first time counts.
    fn leave(&self, entry: &Entry) {
        let was_there = self.table().remove(entry);
        entry.close();
        if let Some(cut) = entry.cut().filter(|_| was_there) {
            self.0.telemetry.metrics.streams.observe_cut(entry.kind(), cut.at.elapsed());
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
