//! The feature `token-hashing`: off, tokens are stored with their keys, as some stores that come from elsewhere are; on,
//! with hashes of them. It can be turned on and never off, and once it is on, no file of the store holds a key.
//!
//! Nobody need hear of it through the feed: what caches hold are hashes before and after, of the same keys.

mod status;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use tokio::sync::oneshot;

pub(super) use status::Status;
pub use status::{HashingState, HashingStatus};

use super::audit::{self, AuditEvent};
use super::{StoreError, backup, integer};
use crate::clock;
use crate::telemetry::with_causes;
use crate::token::{KeyHash, TokenKey};

/// That hashing be turned on.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) backup: PathBuf,
    pub(super) event: Option<AuditEvent>,
    pub(super) reply: oneshot::Sender<Result<(), StoreError>>,
}

/// Whether keys are stored hashed. Within a transaction that writes, it stays so until that ends.
pub(super) fn is_on(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT enabled FROM features WHERE name = 'token-hashing'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Does what was asked for at the start. Only a store that is made now can be one without hashing.
pub(super) fn at_start(
    connection: &Connection,
    is_new: bool,
    wanted: Option<bool>,
) -> Result<(), StoreError> {
    match (wanted, is_new) {
        (Some(false), true) => {
            connection.execute("UPDATE features SET enabled = 0 WHERE name = 'token-hashing'", [])?;
        }
        (Some(false), false) if is_on(connection)? => return Err(StoreError::HashingIsOn),
        _ => {}
    }
    Ok(())
}

/// Turns hashing on: copies the store, hashes every key in one transaction, and removes what they were from the files.
/// Writes wait meanwhile, so that the copy has every key there is. Does nothing if it is on.
pub(super) fn enable(
    connection: &mut Connection,
    status: &Status,
    backup: &Path,
    event: Option<&AuditEvent>,
) -> Result<(), StoreError> {
    status.change(|status| status.error = None);
    let done = enable_by_steps(connection, status, backup, event);
    // Whatever went wrong, one of the two is true of every key.
    let on = is_on(connection).unwrap_or(status.get().state == HashingState::Vacuum);
    status.enter(if on { HashingState::On } else { HashingState::Off });
    if let Err(error) = &done {
        let error = with_causes(error);
        tracing::error!(error, on, "hashing of tokens failed");
        status.change(|status| status.error = Some(error));
    }
    done
}

/// Removes what keys were from the files, if hashing was turned on and that was not done to the end.
pub(super) fn scrub(connection: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM features WHERE NOT scrubbed)";
    if !connection.query_row(sql, [], |row| row.get(0))? {
        return Ok(());
    }
    vacuum(connection)?;
    empty_journal(connection)?;
    connection.execute("UPDATE features SET scrubbed = 1", [])?;
    Ok(())
}

fn enable_by_steps(
    connection: &mut Connection,
    status: &Status,
    backup: &Path,
    event: Option<&AuditEvent>,
) -> Result<(), StoreError> {
    if !is_on(connection)? {
        status.enter(HashingState::Backup);
        status.change(|status| status.backup = None);
        backup::copy(connection, backup, &mut |done, total| status.progress(done, total))
            .map_err(|error| StoreError::Backup(Box::new(error)))?;
        status.change(|status| status.backup = Some(backup.to_owned()));
        status.enter(HashingState::Hashing);
        hash_and_commit(connection, status, backup, event)?;
    }
    status.enter(HashingState::Vacuum);
    scrub(connection)
}

fn hash_and_commit(
    connection: &mut Connection,
    status: &Status,
    backup: &Path,
    event: Option<&AuditEvent>,
) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    hash_all(&transaction, status)?;
    transaction.execute(
        "UPDATE features SET enabled = 1, changed_at = ?1, scrubbed = 0, backup = ?2 WHERE name = 'token-hashing'",
        params![integer(clock::now().0), backup.to_string_lossy()],
    )?;
    if let Some(event) = event {
        audit::record(&transaction, event)?;
    }
    Ok(transaction.commit()?)
}

fn hash_all(connection: &Connection, status: &Status) -> Result<(), StoreError> {
    let total: i64 = connection.query_row(
        "SELECT count(*) FROM tokens WHERE substr(stored_key, 1, 1) <> '$'",
        [],
        |row| row.get(0),
    )?;
    let mut keys = connection.prepare(
        "SELECT rowid, stored_key FROM tokens WHERE rowid > ?1 AND substr(stored_key, 1, 1) <> '$'
         ORDER BY rowid LIMIT ?2",
    )?;
    let mut replace = connection.prepare("UPDATE tokens SET stored_key = ?2 WHERE rowid = ?1")?;
    let (mut last, mut done) = (i64::MIN, 0);
    loop {
        let rows = keys.query_map(params![last, KEYS_AT_ONCE], |row| {
            Ok((row.get(0)?, TokenKey::try_from(row.get_ref(1)?.as_str()?).ok()))
        })?;
        let rows: Vec<(i64, Option<TokenKey>)> = rows.collect::<Result<_, _>>()?;
        if rows.is_empty() {
            return Ok(());
        }
        for (rowid, key) in rows {
            replace.execute(params![rowid, hash_of(key)?.to_string()])?;
            (last, done) = (rowid, done + 1);
        }
        status.progress(done, total.unsigned_abs());
    }
}

/// What is no key of ours never proved anything; it may be a secret all the same, and gets a hash that no key has.
fn hash_of(key: Option<TokenKey>) -> Result<KeyHash, StoreError> {
    let key = key.map_or_else(TokenKey::generate, Ok);
    key.and_then(|key| KeyHash::sha256(&key)).map_err(|_| StoreError::NoRandomness)
}

/// Writes every page anew, so that no old one is left. SQLite wants a temporary file; where there is no place for one,
/// as in a container with a read-only root, memory has to do.
fn vacuum(connection: &Connection) -> Result<(), StoreError> {
    match connection.execute_batch("VACUUM") {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
            connection.pragma_update(None, "temp_store", "memory")?;
            let done = connection.execute_batch("VACUUM");
            connection.pragma_update(None, "temp_store", "default")?;
            Ok(done?)
        }
        done => Ok(done?),
    }
}

/// Moves all that is in the journal into the database, and empties it. Waits for reads that began before.
fn empty_journal(connection: &Connection) -> Result<(), StoreError> {
    for _ in 0..JOURNAL_ATTEMPTS {
        let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if !busy {
            return Ok(());
        }
    }
    Err(StoreError::JournalInUse)
}

/// Keys read into memory at once.
const KEYS_AT_ONCE: u32 = 1000;

/// Each waits for as long as SQLite waits for a lock.
const JOURNAL_ATTEMPTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{TempDir, clear_tokens, find_key, verify_all};
    use crate::store::{Store, schema};

    #[tokio::test]
    async fn a_crash_before_the_commit_leaves_every_key_as_it_was() {
        let dir = TempDir::new();
        let tokens = clear_tokens(dir.path(), 50).await;
        let mut connection = schema::open_writer(&dir.path().join("portcullis.db"), None).unwrap();
        hash_all(&connection.transaction().unwrap(), &Status::default()).unwrap();
        drop(connection);
        let store = Store::open(dir.path(), None).unwrap();
        assert_eq!(store.token_hashing().state, HashingState::Off);
        verify_all(&store, &tokens).await;
    }

    #[tokio::test]
    async fn a_crash_after_the_commit_is_made_good_at_the_next_start() {
        let dir = TempDir::new();
        let tokens = clear_tokens(dir.path(), 50).await;
        let mut connection = schema::open_writer(&dir.path().join("portcullis.db"), None).unwrap();
        hash_and_commit(&mut connection, &Status::default(), Path::new("/backup"), None).unwrap();
        assert!(find_key(dir.path(), &tokens).is_some(), "or this test proves nothing");
        drop(connection);
        let store = Store::open(dir.path(), None).unwrap();
        assert_eq!(find_key(dir.path(), &tokens), None);
        let status = store.token_hashing();
        assert_eq!((status.state, status.error), (HashingState::On, None));
        verify_all(&store, &tokens).await;
    }
}
