//! What tests of this room and those above it need of a store.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{
    Committed, Insertion, READERS, Store, StoreError, TokenFilter, TokenQuery, TokenSort, UserQuery,
    UserUpdate, Write, schema,
};
use crate::clock;
use crate::identity::{UserId, Username};
use crate::token::{KeyHash, TokenKey, TokenKind, TokenName, TokenRecord, Ttl};
use crate::user::UserRecord;

/// A directory that is gone when the test ends.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("portcullis-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

impl Store {
    /// Keeps every reader busy, so that reads wait, until what it returns is dropped.
    pub(crate) async fn occupy_readers(&self) -> Vec<mpsc::Sender<()>> {
        let mut held = Vec::new();
        for _ in 0..READERS {
            let (release, released) = mpsc::channel::<()>();
            let (begun, beginning) = tokio::sync::oneshot::channel();
            let job = move |_: &rusqlite::Connection| {
                begun.send(()).unwrap();
                let _released = released.recv();
            };
            self.reads.send(Box::new(job)).await.unwrap();
            beginning.await.unwrap();
            held.push(release);
        }
        held
    }

    pub(crate) async fn insert_user(&self, user: UserRecord) -> Result<(), StoreError> {
        self.done(Write::InsertUser(Box::new(user))).await.map(|_| ())
    }

    pub(crate) async fn insert_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        self.done(Write::InsertToken(insertion(token))).await.map(|_| ())
    }

    pub(crate) async fn delete_token(&self, name: &TokenName) -> Result<bool, StoreError> {
        self.done(Write::DeleteToken(name.clone())).await.map(|committed| committed.changed())
    }

    pub(crate) async fn update_user(&self, id: &UserId, update: UserUpdate) -> Result<bool, StoreError> {
        let write = Write::UpdateUser(id.clone(), Box::new(update));
        self.done(write).await.map(|committed| committed.changed())
    }

    pub(crate) async fn delete_user(&self, id: &UserId) -> Result<bool, StoreError> {
        self.done(Write::DeleteUser(id.clone())).await.map(|committed| committed.changed())
    }

    /// The tokens of `owner`, or everybody's, oldest first.
    pub(crate) async fn tokens_of(&self, owner: Option<&UserId>) -> Vec<TokenRecord> {
        let filter = TokenFilter { owner: owner.cloned(), ..TokenFilter::default() };
        let query = TokenQuery { filter, sort: TokenSort::CreatedAt, ..TokenQuery::default() };
        self.tokens(query).await.unwrap().items
    }

    /// Every user, by name.
    pub(crate) async fn all_users(&self) -> Vec<UserRecord> {
        self.users(UserQuery::default()).await.unwrap().items
    }

    /// Waits until the store in `dir` is closed, which this must be the last of.
    pub(crate) fn close(self, dir: &Path) {
        drop(self);
        drop(schema::lock(dir, Duration::from_secs(5)).unwrap());
    }

    async fn done(&self, write: Write) -> Result<Committed, StoreError> {
        self.commit(write, None).await
    }
}

/// A token of which nothing but the hash is known, without a quota.
pub(crate) fn insertion(record: TokenRecord) -> Box<Insertion> {
    Box::new(Insertion { record, key: None, quota: None })
}

/// Does what no code of ours would to the database in `dir`.
pub(crate) fn edit(dir: &Path, sql: &str) {
    rusqlite::Connection::open(dir.join("portcullis.db")).unwrap().execute_batch(sql).unwrap();
}

/// A store in `dir` that does not hash, with `count` tokens of every kind, and is closed; their names and keys.
pub(crate) async fn clear_tokens(dir: &Path, count: usize) -> Vec<(TokenName, TokenKey)> {
    let store = Store::open(dir, Some(false)).unwrap();
    let alice = user("alice", true);
    store.insert_user(alice.clone()).await.unwrap();
    let (mut tokens, mut writes) = (Vec::new(), JoinSet::new());
    for kind in TokenKind::ALL.into_iter().cycle().take(count) {
        let (record, key) = token(&alice.id);
        let name = TokenName::try_from(format!("{kind:?}-{}", tokens.len()).to_lowercase().as_str()).unwrap();
        tokens.push((name.clone(), key.clone()));
        let record = TokenRecord { name, kind, ..record };
        let insertion = Insertion { record, key: Some(key), quota: None };
        let store = store.clone();
        writes.spawn(async move { store.done(Write::InsertToken(Box::new(insertion))).await.unwrap() });
    }
    writes.join_all().await;
    store.close(dir);
    tokens
}

/// The first token whose key is in a file of `dir`, and the file.
pub(crate) fn find_key(dir: &Path, tokens: &[(TokenName, TokenKey)]) -> Option<(TokenName, PathBuf)> {
    let keys: HashMap<&[u8], &TokenName> =
        tokens.iter().map(|(name, key)| (key.expose().as_bytes(), name)).collect();
    let length = tokens.first()?.1.expose().len();
    dir.read_dir().unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        // A reader that ends later than the writer takes its journal with it.
        let bytes = std::fs::read(&path).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(Vec::new()),
            _ => Err(error),
        });
        let bytes = bytes.unwrap();
        let found = bytes.windows(length).find_map(|window| keys.get(window));
        found.map(|name| ((*name).clone(), path))
    })
}

/// Every one of `tokens` is there, and its key verifies.
pub(crate) async fn verify_all(store: &Store, tokens: &[(TokenName, TokenKey)]) {
    for (name, key) in tokens {
        assert!(store.token(name).await.unwrap().unwrap().hash.verify(key), "{name}");
    }
}

/// A user without groups or password.
pub(crate) fn user(name: &str, admin: bool) -> UserRecord {
    UserRecord {
        id: UserId::generate().unwrap(),
        name: Username::try_from(name).unwrap(),
        groups: Vec::new(),
        admin,
        enabled: true,
        created_at: clock::now(),
        password: None,
    }
}

/// A token of `owner` that never expires, and its key. No two have one name: of a thousand random ones two agree in one
/// run of thirty.
pub(crate) fn token(owner: &UserId) -> (TokenRecord, TokenKey) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let key = TokenKey::generate().unwrap();
    let name = format!("token-numbered-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let record = TokenRecord {
        name: TokenName::try_from(name.as_str()).unwrap(),
        user_id: owner.clone(),
        kind: TokenKind::ApiKey,
        description: String::new(),
        created_at: clock::now(),
        ttl: Ttl(0),
        enabled: true,
        hash: KeyHash::sha256(&key).unwrap(),
        last_used: None,
        lease_until: None,
        replaced_by: None,
        cluster: None,
    };
    (record, key)
}
