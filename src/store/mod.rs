//! Where tokens and users are kept: an embedded SQLite database, and the feed of its changes.
//!
//! Promises: a write that was acknowledged is on disk, and every subscriber of the feed has applied it. A read gives
//! what was committed before it began, or an error within [`READ_TIMEOUT`]; never "there is none" because the store
//! is in trouble. Futures may be awaited on any tokio runtime with a timer; no database work happens on its threads.

mod error;
mod feed;
mod reader;
mod rows;
mod schema;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use error::{Outage, StoreError};
pub use feed::{Change, ChangeFeed, Delivery};
pub use write::UserUpdate;

use crate::identity::{UserId, Username};
use crate::token::{TokenName, TokenRecord};
use crate::user::UserRecord;
use feed::Feeds;
use write::Write;

/// The store. Clones are the same store; it closes when the last is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    writes: mpsc::Sender<writer::Job>,
    reads: mpsc::Sender<reader::Job>,
    feeds: Arc<Feeds>,
}

impl Store {
    /// Opens or makes the store in `dir`. Blocks, up to some seconds if a predecessor still has it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_within(dir, PREDECESSOR_PATIENCE)
    }

    fn open_within(dir: &Path, patience: Duration) -> Result<Self, StoreError> {
        let path = schema::prepare_files(dir)?;
        let lock = schema::lock(dir, patience)?;
        let connection = schema::open_writer(&path)?;
        let feeds = Arc::new(Feeds::default());
        let (writes, write_queue) = mpsc::channel(WRITE_QUEUE);
        let (reads, read_queue) = mpsc::channel(READ_QUEUE);
        let read_queue = Arc::new(Mutex::new(read_queue));
        for number in 0..READERS {
            let (connection, queue) = (schema::open_reader(&path)?, Arc::clone(&read_queue));
            spawn(&format!("store-reader-{number}"), dir, move || reader::run(&connection, &queue))?;
        }
        let publisher = Arc::clone(&feeds);
        spawn("store-writer", dir, move || writer::run(connection, write_queue, &publisher, lock))?;
        Ok(Self { writes, reads, feeds })
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

    /// The tokens of `owner`, or everybody's, oldest first. Corrupt rows are left out and logged.
    pub async fn tokens(&self, owner: Option<&UserId>) -> Result<Vec<TokenRecord>, StoreError> {
        let owner = owner.cloned();
        self.read(move |connection| rows::tokens(connection, owner.as_ref())).await
    }

    /// Adds a token: [`StoreError::Exists`] if its name is taken, [`StoreError::UnknownUser`] without an owner.
    pub async fn insert_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        self.write(Write::InsertToken(token)).await.map(|_| ())
    }

    /// Deletes a token; false if there was none.
    pub async fn delete_token(&self, name: &TokenName) -> Result<bool, StoreError> {
        self.write(Write::DeleteToken(name.clone())).await
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

    /// All users by name. Corrupt rows are left out and logged.
    pub async fn users(&self) -> Result<Vec<UserRecord>, StoreError> {
        self.read(rows::users).await
    }

    /// Whether there is any user at all, corrupt rows counted.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        self.read(rows::has_users).await
    }

    /// Adds a user: [`StoreError::Exists`] if the name or id is taken, or the id ever was.
    pub async fn insert_user(&self, user: UserRecord) -> Result<(), StoreError> {
        self.write(Write::InsertUser(user)).await.map(|_| ())
    }

    /// Changes the given fields of a user; false if there is none. [`StoreError::LastAdministrator`] if nobody would be
    /// left to manage users.
    pub async fn update_user(&self, id: &UserId, update: UserUpdate) -> Result<bool, StoreError> {
        self.write(Write::UpdateUser(id.clone(), update)).await
    }

    /// Deletes a user and all of the user's tokens; false if there is none. [`StoreError::LastAdministrator`] as above.
    pub async fn delete_user(&self, id: &UserId) -> Result<bool, StoreError> {
        self.write(Write::DeleteUser(id.clone())).await
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
        let (reply, answer) = oneshot::channel();
        let job = move |connection: &Connection| {
            // Whoever gave up waiting must not keep the next one waiting too.
            if !reply.is_closed() {
                let _gone = reply.send(read(connection));
            }
        };
        ask(READ_TIMEOUT, &self.reads, Box::new(job), answer).await
    }

    async fn write(&self, write: Write) -> Result<bool, StoreError> {
        let (reply, answer) = oneshot::channel();
        ask(WRITE_TIMEOUT, &self.writes, (write, reply), answer).await
    }
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

/// How long a read may take, its wait in the queue included.
pub const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a writer waits. What it wrote may still be done after that.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a new process waits for the old one to let go of the store.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(5);

const READERS: usize = 2;
const READ_QUEUE: usize = 4096;
const WRITE_QUEUE: usize = 1024;
