//! What can go wrong with the store.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::backup::BackupError;
use super::clusters::MAX_CLUSTERS;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It can't be read or written now; asking again later may help. Says nothing about what was asked for.
    #[error("token store is unreachable")]
    Unreachable(#[source] Outage),
    /// There is one of this name or id already.
    #[error("it exists already")]
    Exists,
    /// A token's owner does not exist (any more).
    #[error("there is no such user")]
    UnknownUser,
    /// The change would leave nobody who can manage users.
    #[error("no enabled administrator would be left")]
    LastAdministrator,
    /// The owner of a token has as many as one may have.
    #[error("user has {quota} tokens, which is the quota")]
    QuotaReached {
        /// How many that are.
        quota: u64,
    },
    /// A token is for a cluster that does not exist (any more).
    #[error("there is no such cluster")]
    UnknownCluster,
    /// There are as many clusters as can be added.
    #[error("there are {MAX_CLUSTERS} clusters, which is the most that can be added")]
    TooManyClusters,
    /// A token's life can be made shorter only.
    #[error("token would live longer than it does")]
    TtlNotShorter,
    /// A token is replaced once; its successor can be replaced then.
    #[error("token was replaced already")]
    AlreadyReplaced,
    /// A marker that another list, or another order of it, has given.
    #[error("marker is not of this list")]
    ForeignMarker,
    /// Hashing of tokens is on, which can't be undone.
    #[error("token-hashing is on in this store and can't be turned off")]
    HashingIsOn,
    /// Hashing was not turned on: without a copy of the store, nothing is changed that can't be undone.
    #[error("no backup could be made")]
    Backup(#[source] Box<BackupError>),
    /// Keys are hashed, but somebody who reads keeps what they were in the journal. It is tried again at the next start.
    #[error("the database's journal is in use by another program")]
    JournalInUse,
    /// The operating system has no random bytes.
    #[error("no random bytes")]
    NoRandomness,
    /// A stored row can't be what we wrote; it is not used.
    #[error("stored {row} is corrupt: {reason}")]
    Corrupt {
        /// Which row, as `token token-abcde` or `user user-abcde`.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer Portcullis wrote this store.
    #[error(
        "store has schema {found}, this version knows none newer than {known}: use the newer Portcullis or a backup"
    )]
    NewerSchema {
        /// What the store has.
        found: i64,
        /// What we know.
        known: i64,
    },
    /// Another process has the store open; two would not hear of each other's revocations.
    #[error("store {0} is in use by another process")]
    InUse(PathBuf),
    /// The data directory or a file in it can't be made or opened.
    #[error("can't open {path}")]
    Open {
        /// Which path.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
}

/// Why the store can't be reached.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Outage {
    /// No answer in time. A write may still be done later.
    #[error("it did not answer in time")]
    Timeout,
    /// Its threads have ended.
    #[error("it is closed")]
    Closed,
    /// SQLite refused: disk full, I/O error, damaged file. A write was not done.
    #[error("database error")]
    Database(#[source] Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreachable(Outage::Database(Arc::new(error)))
    }
}
