//! How far hashing is, for who waits for it and for who only asks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use crate::store::StoreError;

/// How far hashing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashingState {
    /// Keys are stored in clear.
    #[default]
    Off,
    /// The store is being copied.
    Backup,
    /// Keys are being hashed; until that is committed, all of them are as before.
    Hashing,
    /// Every key is hashed; what they were is being removed from the files.
    Vacuum,
    /// Done.
    On,
}

/// How far hashing is, in detail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HashingStatus {
    /// Which step.
    pub state: HashingState,
    /// How much of the step is done: bytes of a backup, keys that are hashed.
    pub done: u64,
    /// Of how much.
    pub total: u64,
    /// Where the copy is that was made before.
    pub backup: Option<PathBuf>,
    /// What went wrong last.
    pub error: Option<String>,
}

/// The status, which the writer's thread keeps and everybody reads.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Status(Arc<Mutex<HashingStatus>>);

impl HashingState {
    /// The state as it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Backup => "backup",
            Self::Hashing => "hashing",
            Self::Vacuum => "vacuum",
            Self::On => "on",
        }
    }
}

impl Status {
    /// What is stored.
    pub(in crate::store) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT enabled, scrubbed, backup FROM features WHERE name = 'token-hashing'";
        let (on, scrubbed, backup): (bool, bool, Option<String>) =
            connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let state = if on { HashingState::On } else { HashingState::Off };
        let error = (!scrubbed).then(|| "what keys were is still in the files".to_owned());
        let status =
            HashingStatus { state, backup: backup.map(Into::into), error, ..HashingStatus::default() };
        Ok(Self(Arc::new(Mutex::new(status))))
    }

    pub(in crate::store) fn get(&self) -> HashingStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut HashingStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn enter(&self, state: HashingState) {
        self.change(|status| (status.state, status.done, status.total) = (state, 0, 0));
    }

    pub(super) fn progress(&self, done: u64, total: u64) {
        self.change(|status| (status.done, status.total) = (done, total));
    }
}
