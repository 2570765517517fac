//! Copies of the store: consistent, whole, and with a checksum beside them, made while the server runs.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};

use super::{DATABASE_FILE, StoreError, schema};

/// Why a backup was not made, or not restored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackupError {
    /// Nothing is ever overwritten by a backup.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// What happens to the data directory would happen to the backup.
    #[error("{0} is in the data directory, a backup belongs elsewhere")]
    InDataDirectory(PathBuf),
    /// There is nothing to copy.
    #[error("there is no store in {0}")]
    NoStore(PathBuf),
    /// The file was not finished, or is no backup of ours.
    #[error("there is no checksum in {0}")]
    NoChecksum(PathBuf),
    /// The file is not the one that was written.
    #[error("{0} is not what its checksum says")]
    ChecksumDiffers(PathBuf),
    /// What is in the file can't be used.
    #[error("{path} is not a sound store: {reason}")]
    Unsound {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What happened since the backup would be lost.
    #[error("the store in {0} has changed since the backup was made")]
    StoreIsNewer(PathBuf),
    /// A file can't be read or written.
    #[error("can't read or write {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The store can't be read, or is in use, or is of a newer version.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hears how many bytes of how many are done.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// Copies the store in `data_dir`, whether or not a server runs on it, to `file` (0600), which must not be there yet,
/// and its SHA-256 to `<file>.sha256`, as `sha256sum` writes it.
pub fn backup(data_dir: &Path, file: &Path, progress: Progress<'_>) -> Result<(), BackupError> {
    let database = data_dir.join(DATABASE_FILE);
    // SQLite would make one.
    if fs::metadata(&database).map_or(true, |metadata| metadata.len() == 0) {
        return Err(BackupError::NoStore(data_dir.to_owned()));
    }
    let source = open(&database)?;
    source.execute_batch("BEGIN").map_err(StoreError::from)?;
    copy(&source, file, progress)
}

/// Copies what `source` sees, in one snapshot if it is in a transaction or the only one that writes.
pub(super) fn copy(source: &Connection, file: &Path, progress: Progress<'_>) -> Result<(), BackupError> {
    check_place(source, file)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    drop(made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
        _ => file_error(file, error),
    })?);
    let copied = copy_pages(source, file, progress).and_then(|()| write_checksum(file));
    if copied.is_err() {
        let _best_effort = fs::remove_file(file);
    }
    copied
}

/// Where the checksum of `file` is.
pub(super) fn checksum_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".sha256");
    path.into()
}

/// Makes `path` or a file in it durable.
pub(super) fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| file_error(path, error))
}

/// The directory that `file` is in.
pub(super) fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

pub(super) fn file_error(path: &Path, source: io::Error) -> BackupError {
    BackupError::File { path: path.to_owned(), source: Arc::new(source) }
}

/// Opens a database that is there. For writing, as SQLite tidies up only behind those that may.
pub(super) fn open(database: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(schema::BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// A SHA-256 as text.
pub(super) fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn check_place(source: &Connection, file: &Path) -> Result<(), BackupError> {
    let canonical = |path: &Path| path.canonicalize().map_err(|error| file_error(path, error));
    let data_dir = canonical(directory_of(Path::new(source.path().unwrap_or_default())))?;
    if canonical(directory_of(file))?.starts_with(data_dir) {
        return Err(BackupError::InDataDirectory(file.to_owned()));
    }
    Ok(())
}

fn copy_pages(source: &Connection, file: &Path, progress: Progress<'_>) -> Result<(), BackupError> {
    let mut target = open(file)?;
    let page: i64 =
        source.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(StoreError::from)?;
    // Half a copy is no copy, and the whole one is made durable at the end.
    target.pragma_update(None, "synchronous", "off").map_err(StoreError::from)?;
    copy_steps(source, &mut target, page.unsigned_abs(), progress).map_err(StoreError::from)?;
    // The copy is one file, that needs no journal to be read.
    target.pragma_update(None, "journal_mode", "delete").map_err(StoreError::from)?;
    target.close().map_err(|(_, error)| StoreError::from(error))?;
    sync(file)
}

fn copy_steps(
    source: &Connection,
    target: &mut Connection,
    page: u64,
    progress: Progress<'_>,
) -> rusqlite::Result<()> {
    let backup = Backup::new(source, target)?;
    loop {
        let step = backup.step(PAGES_AT_ONCE)?;
        let pages = backup.progress();
        let bytes = |pages: i32| u64::from(pages.unsigned_abs()) * page;
        progress(bytes(pages.pagecount - pages.remaining), bytes(pages.pagecount));
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Somebody else's lock on a file that only we should know of, or on one that is not ours.
            _ => std::thread::sleep(schema::BUSY_TIMEOUT / 10),
        }
    }
}

fn write_checksum(file: &Path) -> Result<(), BackupError> {
    let digest = checksum(file)?;
    let path = checksum_path(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).to_owned();
    let written = options.open(&path).and_then(|mut sums| {
        io::Write::write_all(&mut sums, format!("{digest}  {name}\n").as_bytes())?;
        sums.sync_all()
    });
    written.map_err(|error| file_error(&path, error))?;
    sync(directory_of(file))
}

fn checksum(file: &Path) -> Result<String, BackupError> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut reader = File::open(file).map_err(|error| file_error(file, error))?;
    loop {
        let read = reader.read(&mut buffer).map_err(|error| file_error(file, error))?;
        if read == 0 {
            return Ok(hexadecimal(&digest.finalize()));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
    }
}

/// 1 MiB with SQLite's pages: a step short enough to report progress smoothly.
const PAGES_AT_ONCE: i32 = 256;
