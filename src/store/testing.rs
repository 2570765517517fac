//! What tests of this room and those above it need of a store.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use super::{
    Committed, Insertion, READERS, Store, StoreError, TokenFilter, TokenQuery, TokenSort, UserQuery,
    UserUpdate, Write,
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

/// A token of `owner` that never expires, and its key.
pub(crate) fn token(owner: &UserId) -> (TokenRecord, TokenKey) {
    let key = TokenKey::generate().unwrap();
    let record = TokenRecord {
        name: TokenName::generate(TokenKind::ApiKey, owner).unwrap(),
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
    };
    (record, key)
}
