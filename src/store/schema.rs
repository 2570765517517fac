//! Opening the database file: who may read it, its settings, and its tables in the newest form.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::{DATABASE_FILE, StoreError, hashing};

/// Makes `dir` (0700) and the database in it (0600), and returns the database's path.
pub(super) fn prepare_files(dir: &Path) -> Result<PathBuf, StoreError> {
    prepare_directory(dir)?;
    let path = dir.join(DATABASE_FILE);
    // SQLite gives its journal files the mode of the database, so the database must have ours before it opens.
    let file = open_private(&path)?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(|error| open_error(&path, error))?;
    Ok(path)
}

/// Makes `dir` (0700).
pub(super) fn prepare_directory(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| open_error(dir, error))?;
    // A directory that was there before stays as it is: it may be the operator's, or all of /tmp.
    let mode = dir.metadata().map_err(|error| open_error(dir, error))?.permissions().mode();
    if mode & 0o002 != 0 {
        tracing::warn!(dir = %dir.display(), "everybody can replace files in the data directory");
    }
    Ok(())
}

/// Takes the store for this process, waiting up to `patience` for a predecessor to finish. Held while the file is open.
pub(super) fn lock(dir: &Path, patience: Duration) -> Result<File, StoreError> {
    let path = dir.join("portcullis.lock");
    let file = open_private(&path)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => sleep(Duration::from_millis(20)),
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(open_error(&path, error)),
        }
    }
}

/// The one connection that writes, with all migrations done. `first_start_hashing` is for a store that is made now.
pub(super) fn open_writer(path: &Path, first_start_hashing: Option<bool>) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // FULL, not NORMAL: an acknowledged token must survive a power cut, and a revocation all the more.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // What is deleted is overwritten, or keys and hashes would stay in the file for who reads the disk.
    connection.pragma_update(None, "secure_delete", true)?;
    migrate(&mut connection, first_start_hashing)?;
    if let Err(error) = hashing::scrub(&connection) {
        // Every key is hashed: that is no reason not to serve.
        tracing::error!(error = &error as &dyn std::error::Error, "what keys were is still in the files");
    }
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, first_start_hashing: Option<bool>) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT",
    )?;
    let found = version(&transaction)?;
    check_version(found)?;
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        transaction.execute_batch(sql)?;
        transaction.execute(
            "INSERT INTO schema_migrations (version, applied_at) VALUES (?1, unixepoch() * 1000)",
            [version],
        )?;
    }
    hashing::at_start(&transaction, found == 0, first_start_hashing)?;
    Ok(transaction.commit()?)
}

/// The version of the schema: 0 in a database without tables.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(version), 0) FROM schema_migrations", [], |row| row.get(0))
}

/// Refuses what a newer version has written.
pub(super) fn check_version(found: i64) -> Result<(), StoreError> {
    let known = MIGRATIONS.last().map_or(0, |(version, _)| *version);
    if found > known { Err(StoreError::NewerSchema { found, known }) } else { Ok(()) }
}

fn open_private(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| open_error(path, error))
}

fn open_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Open { path: path.to_owned(), source: Arc::new(source) }
}

/// How long SQLite waits for a lock. Only an operator's own tool beside us ever takes one.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Each step once, in order, never edited after a release: a later one corrects an earlier one.
pub(super) const MIGRATIONS: [(i64, &str); 3] = [
    (1, include_str!("migrations/1.sql")),
    (2, include_str!("migrations/2.sql")),
    (3, include_str!("migrations/3.sql")),
];
