//! The two caches of the hot path and the one way they follow the store.
//!
//! Loading an entry and forgetting it go through moka's `and_compute_with`, which serialises both per key. The
//! usual pair `get_with` and `invalidate` would let a load that read the store before a revocation put the revoked
//! record back after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};

use super::{CachedToken, CachedUser, UsageBook};
use crate::identity::UserId;
use crate::store::{Change, ChangeFeed, Store, StoreError};
use crate::streams::{CutReason, Registry};
use crate::telemetry::{CacheOutcome, Telemetry};
use crate::token::TokenName;

/// How long a name that does not exist is remembered, so that junk costs no store reads and displaces no token.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);
/// How many such names are remembered.
const UNKNOWN_ENTRIES: u64 = 10_000;
/// After this long a record is read again. Changes arrive on the store's feed; this only bounds a feed that failed.
const RELOAD_AFTER: Duration = Duration::from_mins(10);
/// Tokens whose last use is kept until it is written, however small the caches are.
pub(super) const MIN_USAGE_ENTRIES: usize = 1000;

/// Tokens and users as the gate sees them: bounded caches in front of the store.
#[derive(Clone)]
pub struct Records {
    store: Store,
    tokens: Cache<TokenName, Arc<CachedToken>>,
    unknown: Cache<TokenName, ()>,
    users: Cache<UserId, Arc<CachedUser>>,
    usage: Arc<UsageBook>,
    streams: Registry,
    telemetry: Arc<Telemetry>,
}

impl Records {
    /// Caches of at most `entries` tokens and as many users in front of `store`.
    pub fn new(store: Store, entries: u64, telemetry: Arc<Telemetry>) -> Self {
        let tokens = Cache::builder().max_capacity(entries).time_to_live(RELOAD_AFTER).build();
        let users = Cache::builder().max_capacity(entries).time_to_live(RELOAD_AFTER).build();
        let unknown = Cache::builder().max_capacity(UNKNOWN_ENTRIES).time_to_live(UNKNOWN_FOR).build();
        let room = usize::try_from(entries).unwrap_or(usize::MAX).max(MIN_USAGE_ENTRIES);
        let usage = Arc::new(UsageBook::new(room, Arc::clone(&telemetry)));
        let streams = Registry::new(Arc::clone(&telemetry));
        Self { store, tokens, unknown, users, usage, streams, telemetry }
    }

    /// The uses of tokens that are not written yet.
    pub fn usage(&self) -> &Arc<UsageBook> {
        &self.usage
    }

    /// The live streams that are open by leave of these records.
    pub fn streams(&self) -> &Registry {
        &self.streams
    }

    /// Applies changes until the feed ends, each acknowledged once it is applied and the streams that it
    /// ends were told. A gate whose feed has ended must
    /// not go on serving: nothing would be revoked any more.
    pub async fn follow(self, mut feed: ChangeFeed) {
        while let Some(delivery) = feed.next().await {
            self.apply(&delivery.change, Instant::now()).await;
        }
    }

    /// The token of that name, or `None` if there is none.
    pub async fn token(&self, name: &TokenName) -> Result<Option<Arc<CachedToken>>, StoreError> {
        if let Some(token) = self.tokens.get(name).await {
            self.telemetry.metrics.count_cache(CacheOutcome::Hit);
            return Ok(Some(token));
        }
        if self.unknown.get(name).await.is_some() {
            self.telemetry.metrics.count_cache(CacheOutcome::Negative);
            return Ok(None);
        }
        self.telemetry.metrics.count_cache(CacheOutcome::Miss);
        Box::pin(self.load_token(name)).await
    }

    /// The user of that id, or `None` if there is none.
    pub async fn user(&self, id: &UserId) -> Result<Option<Arc<CachedUser>>, StoreError> {
        if let Some(user) = self.users.get(id).await {
            return Ok(Some(user));
        }
        Box::pin(self.load_user(id)).await
    }

    async fn load_token(&self, name: &TokenName) -> Result<Option<Arc<CachedToken>>, StoreError> {
        let computed = self.tokens.entry(name.clone()).and_try_compute_with(async |entry| {
            if entry.is_some() {
                return Ok(Op::Nop);
            }
            match self.store.token(name).await? {
                Some(record) => {
                    let used_at = self.usage.last_use(name);
                    Ok(Op::Put(Arc::new(CachedToken::new(record, used_at))))
                }
                None => {
                    // Under the key's lock, as the removal in `apply` is: a token that is being created can't be
                    // remembered as unknown after its creation was acknowledged.
                    self.unknown.insert(name.clone(), ()).await;
                    Ok(Op::Nop)
                }
            }
        });
        computed.await.map(value_of)
    }

    async fn load_user(&self, id: &UserId) -> Result<Option<Arc<CachedUser>>, StoreError> {
        let computed = self.users.entry(id.clone()).and_try_compute_with(async |entry| {
            if entry.is_some() {
                return Ok(Op::Nop);
            }
            let record = self.store.user(id).await?;
            Ok(record.map_or(Op::Nop, |record| Op::Put(Arc::new(CachedUser::new(record)))))
        });
        computed.await.map(value_of)
    }

    /// The cache first and then the streams: one that is entered in between finds nothing in the cache.
    async fn apply(&self, change: &Change, at: Instant) {
        match change {
            Change::Token(name) => {
                self.forget_token(name).await;
                self.judge_token(name, CutReason::Deleted, at).await;
            }
            Change::LoggedOut(name) => {
                self.forget_token(name).await;
                self.judge_token(name, CutReason::LoggedOut, at).await;
            }
            Change::User(id) => {
                self.users.entry(id.clone()).and_compute_with(async |_| Op::Remove).await;
                self.judge_user(id, at).await;
            }
            Change::Cluster(_) | Change::Settings => {}
        }
    }

    async fn forget_token(&self, name: &TokenName) {
        let forget = async |_| {
            self.unknown.invalidate(name).await;
            Op::Remove
        };
        self.tokens.entry(name.clone()).and_compute_with(forget).await;
    }
}

fn value_of<K, V>(result: CompResult<K, V>) -> Option<V> {
    match result {
        CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
            Some(entry.into_value())
        }
        CompResult::Removed(_) | CompResult::StillNone(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UserUpdate;
    use crate::store::testing::{TempDir, token, user};
    use crate::token::TokenRecord;

    fn token_named(name: &TokenName, owner: &UserId) -> TokenRecord {
        TokenRecord { name: name.clone(), ..token(owner).0 }
    }

    /// Records over a store with one user, following its feed.
    async fn records(dir: &std::path::Path) -> (Records, Store, UserId) {
        let store = Store::open(dir, None).unwrap();
        let alice = user("alice", false);
        let id = alice.id.clone();
        store.insert_user(alice).await.unwrap();
        store.insert_user(user("admin", true)).await.unwrap();
        let records = Records::new(store.clone(), 1000, Telemetry::without_access_log());
        tokio::spawn(records.clone().follow(store.subscribe()));
        (records, store, id)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_load_brings_back_a_token_whose_deletion_was_acknowledged() {
        let dir = TempDir::new();
        let (records, store, owner) = records(dir.path()).await;
        for round in 0..1500 {
            let name = TokenName::try_from(format!("token-{round}").as_str()).unwrap();
            store.insert_token(token_named(&name, &owner)).await.unwrap();
            // The first look-up is a miss, so its load is under way while the deletion is.
            let loads: Vec<_> = (0..4)
                .map(|_| {
                    let (records, name) = (records.clone(), name.clone());
                    tokio::spawn(async move { records.token(&name).await.unwrap().is_some() })
                })
                .collect();
            assert!(store.delete_token(&name).await.unwrap());
            assert!(records.token(&name).await.unwrap().is_none(), "round {round}");
            for load in loads {
                load.await.unwrap();
            }
            assert!(records.token(&name).await.unwrap().is_none(), "round {round}, after the loads");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_token_works_at_once_even_if_its_name_was_tried_before() {
        let dir = TempDir::new();
        let (records, store, owner) = records(dir.path()).await;
        for round in 0..200 {
            let name = TokenName::try_from(format!("token-{round}").as_str()).unwrap();
            assert!(records.token(&name).await.unwrap().is_none());
            let probe = tokio::spawn({
                let (records, name) = (records.clone(), name.clone());
                async move { records.token(&name).await.unwrap().is_some() }
            });
            store.insert_token(token_named(&name, &owner)).await.unwrap();
            assert!(records.token(&name).await.unwrap().is_some(), "round {round}");
            probe.await.unwrap();
            assert!(records.token(&name).await.unwrap().is_some(), "round {round}, after the probe");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_user_is_disabled_and_enabled_from_the_acknowledgement_on() {
        let dir = TempDir::new();
        let (records, store, id) = records(dir.path()).await;
        for enabled in [false, true, false, true] {
            let update = UserUpdate { enabled: Some(enabled), ..UserUpdate::default() };
            assert!(store.update_user(&id, update).await.unwrap());
            assert_eq!(records.user(&id).await.unwrap().unwrap().enabled, enabled);
        }
    }
}
