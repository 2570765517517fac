//! What the gate keeps of a token and of a user. All of it lives and dies with the cache's entry.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::HeaderValue;

use crate::clock::{MINUTE, SECOND, UnixMillis};
use crate::identity::{AUTHENTICATED_GROUP, UserId, Username};
use crate::token::{KeyHash, TokenKey, TokenRecord};
use crate::user::UserRecord;

/// A token's record with the header value that names it upstream.
pub struct CachedToken {
    /// The record as it is stored.
    pub record: TokenRecord,
    /// The token's name as the value of a header line.
    pub name_header: HeaderValue,
    /// A fast hash of the key of a token that is stored with a slow one, once the key was presented.
    remembered: OnceLock<KeyHash>,
    /// When it was used last, in milliseconds; 0 if it never was.
    used_at: AtomicU64,
    /// When the log was told last that it is used although it was replaced.
    reported_at: AtomicU64,
}

/// What a request needs of its user, ready to be sent: each value clones as a reference count.
pub struct CachedUser {
    /// The user's id.
    pub id: UserId,
    /// The name the cluster sees.
    pub name: Username,
    /// One value a group, `system:authenticated` among them.
    pub groups: Arc<[HeaderValue]>,
    /// The id as the value of a header line, which the cluster sees as the UID.
    pub uid: HeaderValue,
    /// Whether the user may manage other users.
    pub admin: bool,
    /// False while the user is switched off.
    pub enabled: bool,
}

impl CachedToken {
    /// `used_at` is the last use that is known, which the record need not have yet.
    pub(super) fn new(record: TokenRecord, used_at: Option<UnixMillis>) -> Self {
        let stored = record.last_used.as_ref().map(|last_use| last_use.at);
        Self {
            name_header: header(record.name.as_str()),
            remembered: OnceLock::new(),
            used_at: AtomicU64::new(stored.max(used_at).unwrap_or_default().0),
            reported_at: AtomicU64::new(0),
            record,
        }
    }

    /// Since when nobody has used it; one that was never used, since it was made.
    pub(super) fn unused_since(&self) -> UnixMillis {
        self.record.created_at.max(UnixMillis(self.used_at.load(Ordering::Relaxed)))
    }

    /// As if it had never been used.
    #[cfg(test)]
    pub(super) fn forget_use(&self) {
        self.used_at.store(0, Ordering::Relaxed);
    }

    /// Notes a use, and says whether it is the first of a second.
    pub(super) fn begins_a_second_of_use(&self, now: UnixMillis) -> bool {
        claims(&self.used_at, now, SECOND)
    }

    /// Whether the log may be told once more that the token was replaced.
    pub(super) fn may_report(&self, now: UnixMillis) -> bool {
        claims(&self.reported_at, now, MINUTE)
    }

    /// A hash that can be checked on a thread that serves requests, if there is one.
    pub(super) fn fast_hash(&self) -> Option<&KeyHash> {
        if self.record.hash.is_slow() { self.remembered.get() } else { Some(&self.record.hash) }
    }

    /// Keeps a fast hash of `key`, which was found to be this token's. A key has about 256 bits, so the fast hash gives
    /// no more away than the slow one.
    pub(super) fn remember(&self, key: &TokenKey) {
        // Without random bytes for a salt the next check is slow again.
        if let Ok(hash) = KeyHash::sha256(key) {
            let _already = self.remembered.set(hash);
        }
    }
}

impl CachedUser {
    pub(super) fn new(record: UserRecord) -> Self {
        let own = record.groups.iter().filter(|group| group.as_str() != AUTHENTICATED_GROUP);
        let mut groups: Vec<_> = own.map(|group| group.header().clone()).collect();
        groups.push(HeaderValue::from_static(AUTHENTICATED_GROUP));
        let (groups, uid) = (groups.into(), header(record.id.as_str()));
        Self { id: record.id, name: record.name, groups, uid, admin: record.admin, enabled: record.enabled }
    }
}

/// Moves `last` to `now` if it is at least `interval` milliseconds ago. One of many that try at once succeeds.
fn claims(last: &AtomicU64, now: UnixMillis, interval: u64) -> bool {
    let before = last.load(Ordering::Relaxed);
    now.0 >= before.saturating_add(interval)
        && last.compare_exchange(before, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Names and ids are of an alphabet that headers carry, so the fallback is never seen.
fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("invalid"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::user;

    #[test]
    fn system_authenticated_is_among_the_groups_once() {
        let mut record = user("alice", false);
        record.groups =
            ["dev", "system:authenticated", "a,b"].map(|group| group.try_into().unwrap()).to_vec();
        assert_eq!(*CachedUser::new(record).groups, ["dev", "a,b", "system:authenticated"]);
    }
}
