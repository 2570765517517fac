//! Where tokens, users, clusters, settings and the audit log are kept: an embedded SQLite database, and the feed of its changes.
//!
//! Promises: a write that was acknowledged is on disk, and every subscriber of the feed has applied it. A read gives
//! what was committed before it began, or an error within [`READ_TIMEOUT`] (a list: five times that); never "there is
//! none" because the store is in trouble. Futures may be awaited on any tokio runtime with a timer; no database work
//! happens on its threads.

mod audit;
mod backup;
mod clusters;
mod effect;
mod error;
mod feed;
mod hashing;
mod page;
mod query;
mod reader;
mod restore;
mod rows;
mod schema;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod users;
mod write;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use audit::{AuditEvent, AuditFilter, AuditOutcome, AuditQuery, AuditRecord};
pub use backup::{BackupError, Progress, backup};
pub use clusters::{ClusterUpdate, MAX_CLUSTERS};
pub use effect::Committed;
pub use error::{Outage, StoreError};
pub use feed::{Change, ChangeFeed, Delivery};
pub use hashing::{HashingState, HashingStatus};
pub use page::{MAX_PAGE, Marker, MarkerError, Page};
pub use query::{TokenFilter, TokenQuery, TokenSort, UserFilter, UserQuery};
pub use restore::restore;
pub use settings::StoredSetting;
pub use tokens::{Bulk, Insertion, MAX_BULK, TokenUpdate, Usage};
pub use users::{Revoke, UserUpdate};
pub use write::Write;

use crate::cluster::ClusterRecord;
use crate::identity::{ClusterId, UserId, Username};
use crate::token::{TokenKind, TokenName, TokenRecord};
use crate::user::UserRecord;
use feed::Feeds;
use write::Request;

/// The store. Clones are the same store; it closes when the last is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    writes: mpsc::Sender<writer::Job>,
    reads: mpsc::Sender<reader::Job>,
    lists: mpsc::Sender<reader::Job>,
    feeds: Arc<Feeds>,
    hashing: hashing::Status,
}

impl Store {
    /// Opens or makes the store in `dir`. Blocks, up to some seconds if a predecessor still has it.
    ///
    /// `first_start_hashing` says whether a store that is made now hashes its tokens, as it does by default. One that
    /// does is never opened with `Some(false)`: [`StoreError::HashingIsOn`].
    pub fn open(dir: &Path, first_start_hashing: Option<bool>) -> Result<Self, StoreError> {
        Self::open_within(dir, first_start_hashing, PREDECESSOR_PATIENCE)
    }

    fn open_within(
        dir: &Path,
        first_start_hashing: Option<bool>,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let path = schema::prepare_files(dir)?;
        let lock = schema::lock(dir, patience)?;
        let connection = schema::open_writer(&path, first_start_hashing)?;
        let hashing = hashing::Status::load(&connection)?;
        let feeds = Arc::new(Feeds::default());
        let (writes, write_queue) = mpsc::channel(WRITE_QUEUE);
        let reads = readers("store-reader", READERS, dir, &path)?;
        // Lists may take long, and no look-up of a token waits behind one.
        let lists = readers("store-lister", LISTERS, dir, &path)?;
        let work = writer::Writer::new(connection, Arc::clone(&feeds), hashing.clone(), lock);
        spawn("store-writer", dir, move || work.run(write_queue))?;
        Ok(Self { writes, reads, lists, feeds, hashing })
    }

    /// Every change from now on, in commit order. Whoever subscribes must keep reading, as writes wait for it, and must
    /// not write while it holds a [`Delivery`], as that write would wait for itself.
    pub fn subscribe(&self) -> ChangeFeed {
        self.feeds.subscribe()
    }

    /// The token of this name.
    pub async fn token(&self, name: &TokenName) -> Result<Option<TokenRecord>, StoreError> {
        let name = name.clone();
        self.read(move |connection| rows::token(connection, &name)).await
    }

    /// A page of tokens.
    pub async fn tokens(&self, query: TokenQuery) -> Result<Page<TokenRecord>, StoreError> {
        self.list(move |connection| query.run(connection)).await
    }

    /// How many tokens a filter lets through, corrupt rows counted.
    pub async fn count_tokens(&self, filter: TokenFilter) -> Result<u64, StoreError> {
        self.list(move |connection| rows::count_tokens(connection, &filter)).await
    }

    /// How many tokens of each kind never expire; kinds without any are left out.
    pub async fn never_expiring_tokens(&self) -> Result<Vec<(TokenKind, u64)>, StoreError> {
        self.list(rows::never_expiring).await
    }

    /// The user of this id.
    pub async fn user(&self, id: &UserId) -> Result<Option<UserRecord>, StoreError> {
        let id = id.clone();
        self.read(move |connection| rows::user(connection, &id)).await
    }

    /// The user of this name.
    pub async fn user_by_name(&self, name: &Username) -> Result<Option<UserRecord>, StoreError> {
        let name = name.clone();
        self.read(move |connection| rows::user_by_name(connection, &name)).await
    }

    /// A page of users.
    pub async fn users(&self, query: UserQuery) -> Result<Page<UserRecord>, StoreError> {
        self.list(move |connection| query.run(connection)).await
    }

    /// Whether there is any user at all, corrupt rows counted.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        self.read(rows::has_users).await
    }

    /// The cluster of this id, of those that were added.
    pub async fn cluster(&self, id: &ClusterId) -> Result<Option<ClusterRecord>, StoreError> {
        let id = id.clone();
        self.read(move |connection| clusters::one(connection, &id)).await
    }

    /// All clusters that were added, by id.
    pub async fn clusters(&self) -> Result<Vec<ClusterRecord>, StoreError> {
        self.list(clusters::all).await
    }

    /// The settings that were set, by name.
    pub async fn settings(&self) -> Result<Vec<StoredSetting>, StoreError> {
        self.read(settings::all).await
    }

    /// A page of the audit log.
    pub async fn audit_events(&self, query: AuditQuery) -> Result<Page<AuditRecord>, StoreError> {
        self.list(move |connection| query.run(connection)).await
    }

    /// Does `write` and writes `event` down, both or neither. An event of a write that changed nothing is not written;
    /// one that deletes or shortens tokens by a filter has the event once for each token, with its name; one of a user
    /// has an event `token.delete` besides for each token that ends with it.
    pub async fn commit(&self, write: Write, event: Option<AuditEvent>) -> Result<Committed, StoreError> {
        self.write(Request { write: Some(write), event }).await
    }

    /// Writes an event down that comes with no change, such as a refusal.
    pub async fn record(&self, event: AuditEvent) -> Result<(), StoreError> {
        self.write(Request { write: None, event: Some(event) }).await.map(|_| ())
    }

    /// Whether keys are stored hashed, and how far it is if they are about to be.
    pub fn token_hashing(&self) -> HashingStatus {
        self.hashing.get()
    }

    /// Turns hashing of tokens on, for good: copies the store to `backup`, outside of the data directory, hashes every
    /// key, and removes the keys from every file of the store. `event` is written with the hashes. Returns when all of
    /// that is done; it is done whether or not somebody waits, and other writes wait for it.
    pub async fn enable_token_hashing(
        &self,
        backup: PathBuf,
        event: Option<AuditEvent>,
    ) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = writer::Job::EnableHashing(hashing::Order { backup, event, reply });
        let closed = || StoreError::Unreachable(Outage::Closed);
        self.writes.send(job).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Whether the store answers reads and still has its writer.
    pub async fn check(&self) -> Result<(), StoreError> {
        if self.writes.is_closed() {
            return Err(StoreError::Unreachable(Outage::Closed));
        }
        self.has_users().await.map(|_| ())
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        ask_reader(READ_TIMEOUT, &self.reads, read).await
    }

    async fn list<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        ask_reader(LIST_TIMEOUT, &self.lists, read).await
    }

    async fn write(&self, request: Request) -> Result<Committed, StoreError> {
        let (reply, answer) = oneshot::channel();
        ask(WRITE_TIMEOUT, &self.writes, writer::Job::Write(request, reply), answer).await
    }
}

/// Starts `count` threads that read, and gives the queue they share.
fn readers(
    name: &str,
    count: usize,
    dir: &Path,
    path: &Path,
) -> Result<mpsc::Sender<reader::Job>, StoreError> {
    let (jobs, queue) = mpsc::channel(READ_QUEUE);
    let queue = Arc::new(Mutex::new(queue));
    for number in 0..count {
        let (connection, queue) = (schema::open_reader(path)?, Arc::clone(&queue));
        spawn(&format!("{name}-{number}"), dir, move || reader::run(&connection, &queue))?;
    }
    Ok(jobs)
}

async fn ask_reader<T: Send + 'static>(
    patience: Duration,
    queue: &mpsc::Sender<reader::Job>,
    read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (reply, answer) = oneshot::channel();
    let job = move |connection: &Connection| {
        // Whoever gave up waiting must not keep the next one waiting too.
        if !reply.is_closed() {
            let _gone = reply.send(read(connection));
        }
    };
    ask(patience, queue, Box::new(job), answer).await
}

async fn ask<J, T>(
    patience: Duration,
    queue: &mpsc::Sender<J>,
    job: J,
    answer: oneshot::Receiver<Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answered = timeout(patience, async {
        queue.send(job).await.map_err(|_| StoreError::Unreachable(Outage::Closed))?;
        answer.await.unwrap_or(Err(StoreError::Unreachable(Outage::Closed)))
    });
    answered.await.unwrap_or(Err(StoreError::Unreachable(Outage::Timeout)))
}

fn spawn(name: &str, dir: &Path, body: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map(|_| ()).map_err(|source| StoreError::Open { path: dir.to_owned(), source: Arc::new(source) })
}

/// SQLite's integers are signed; a time or lifetime past their end is as good as the end.
fn integer(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// How long a read may take, its wait in the queue included.
pub const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a list may take: of a million tokens, none but the last may be what a filter is after.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a writer waits. What it wrote may still be done after that.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a new process waits for the old one to let go of the store.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(5);

/// In the data directory.
const DATABASE_FILE: &str = "portcullis.db";

const READERS: usize = 2;
const LISTERS: usize = 2;
const READ_QUEUE: usize = 4096;
const WRITE_QUEUE: usize = 1024;
