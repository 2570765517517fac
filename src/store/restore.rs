//! Putting a backup in the place of a store: all of it or nothing, and never under a server that runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::backup::{
    BackupError, Progress, checksum_path, directory_of, file_error, hexadecimal, open, sync,
};
use super::{DATABASE_FILE, schema};

/// Makes the store in `data_dir` what it was when `file` was made. What was revoked since is good again, so a store that
/// has changed since is left alone unless `force` is given.
pub fn restore(file: &Path, data_dir: &Path, force: bool, progress: Progress<'_>) -> Result<(), BackupError> {
    let expected = expected_checksum(file)?;
    schema::prepare_directory(data_dir)?;
    let _lock = schema::lock(data_dir, Duration::ZERO)?;
    let database = data_dir.join(DATABASE_FILE);
    let incoming = Incoming(data_dir.join("portcullis.db.incoming"));
    incoming.remove().map_err(|error| file_error(&incoming.0, error))?;
    if copy(file, &incoming.0, progress)? != expected {
        return Err(BackupError::ChecksumDiffers(file.to_owned()));
    }
    let made_at = latest_change(&incoming.0).map_err(|error| about(file, error))?;
    let in_place = fs::metadata(&database).is_ok_and(|metadata| metadata.len() > 0);
    if in_place && !force {
        let changed_at = latest_change(&database)?;
        if changed_at > made_at {
            return Err(BackupError::StoreIsNewer(data_dir.to_owned()));
        }
    }
    replace(&database, &incoming.0)
}

/// The copy on its way into place: gone again if anything goes wrong.
struct Incoming(PathBuf);

impl Incoming {
    fn remove(&self) -> io::Result<()> {
        [self.0.clone(), beside(&self.0, "-wal"), beside(&self.0, "-shm"), beside(&self.0, "-journal")]
            .iter()
            .try_for_each(|path| remove_if_any(path))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _best_effort = self.remove();
    }
}

fn expected_checksum(file: &Path) -> Result<String, BackupError> {
    let path = checksum_path(file);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(BackupError::NoChecksum(path)),
        Err(error) => return Err(file_error(&path, error)),
    };
    let digest = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    if digest.len() == 64 { Ok(digest) } else { Err(BackupError::NoChecksum(path)) }
}

/// Copies a file and gives the checksum of what was copied: what is looked at later is what is put in place.
fn copy(file: &Path, incoming: &Path, progress: Progress<'_>) -> Result<String, BackupError> {
    let read_error = |error| file_error(file, error);
    let write_error = |error| file_error(incoming, error);
    let mut source = File::open(file).map_err(read_error)?;
    let total = source.metadata().map_err(read_error)?.len();
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(incoming);
    let mut target = target.map_err(write_error)?;
    let (mut digest, mut done, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = source.read(&mut buffer).map_err(read_error)?;
        if read == 0 {
            break;
        }
        let bytes = buffer.get(..read).unwrap_or_default();
        digest.update(bytes);
        target.write_all(bytes).map_err(write_error)?;
        done += read as u64;
        progress(done, total);
    }
    target.sync_all().map_err(write_error)?;
    Ok(hexadecimal(&digest.finalize()))
}

/// When the store in this file was last changed on purpose. An error if it is not sound, or of a newer version.
fn latest_change(database: &Path) -> Result<i64, BackupError> {
    let unsound = |reason: String| BackupError::Unsound { path: database.to_owned(), reason };
    let connection = open(database).map_err(|error| unsound(error.to_string()))?;
    let found = || -> rusqlite::Result<(String, i64)> {
        // Folds a journal that is left into the file, which then needs none.
        connection.pragma_update(None, "journal_mode", "delete")?;
        let state = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok((state, schema::version(&connection)?))
    };
    let (state, version) = found().map_err(|error| unsound(error.to_string()))?;
    if state != "ok" {
        return Err(unsound(state));
    }
    schema::check_version(version)?;
    let sources: &[_] = if version < 2 { &CHANGES[..2] } else { &CHANGES };
    let latest = |source: &&str| connection.query_row(source, [], |row| row.get::<_, Option<i64>>(0));
    let moments = sources.iter().map(latest).collect::<rusqlite::Result<Vec<_>>>();
    let moments = moments.map_err(|error| unsound(error.to_string()))?;
    Ok(moments.into_iter().flatten().max().unwrap_or(0))
}

/// Speaks of the backup and not of the copy of it that was looked at.
fn about(file: &Path, error: BackupError) -> BackupError {
    match error {
        BackupError::Unsound { reason, .. } => BackupError::Unsound { path: file.to_owned(), reason },
        other => other,
    }
}

fn replace(database: &Path, incoming: &Path) -> Result<(), BackupError> {
    // The old journal would be played onto the new file: it is folded into the old one, or, where that is past it,
    // deleted; and that is on disk before the new file is there.
    if let Ok(old) = open(database) {
        let _unsound = old.pragma_update(None, "journal_mode", "delete");
    }
    for journal in [beside(database, "-wal"), beside(database, "-shm"), beside(database, "-journal")] {
        remove_if_any(&journal).map_err(|error| file_error(&journal, error))?;
    }
    sync(directory_of(database))?;
    fs::rename(incoming, database).map_err(|error| file_error(database, error))?;
    sync(directory_of(database))
}

fn remove_if_any(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Where moments of changes stand; the first two since the first version of the schema.
const CHANGES: [&str; 5] = [
    "SELECT max(created_at) FROM tokens",
    "SELECT max(created_at) FROM users",
    "SELECT max(at) FROM audit_events",
    "SELECT max(updated_at) FROM settings",
    "SELECT max(changed_at) FROM features",
];
