//! What the gate keeps of a token and of a user. All of it lives and dies with the cache's entry.

use std::sync::OnceLock;

use http::HeaderValue;

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
}

/// What a request needs of its user, ready to be sent: each value clones as a reference count.
pub struct CachedUser {
    /// The user's id.
    pub id: UserId,
    /// The name the cluster sees.
    pub name: Username,
    /// One value a group, `system:authenticated` among them.
    pub groups: Vec<HeaderValue>,
    /// The id as the value of a header line, which the cluster sees as the UID.
    pub uid: HeaderValue,
    /// Whether the user may manage other users.
    pub admin: bool,
    /// False while the user is switched off.
    pub enabled: bool,
}

impl CachedToken {
    pub(super) fn new(record: TokenRecord) -> Self {
        Self { name_header: header(record.name.as_str()), remembered: OnceLock::new(), record }
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
        let uid = header(record.id.as_str());
        Self { id: record.id, name: record.name, groups, uid, admin: record.admin, enabled: record.enabled }
    }
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
        assert_eq!(CachedUser::new(record).groups, ["dev", "a,b", "system:authenticated"]);
    }
}
