//! Tokens that were handed to kubectl: a file for each (server, cluster, user) that only its owner may read, and beside
//! it a lock, so that of several kubectl at once one asks and the others wait for what it gets.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cli::client::encoded;
use crate::cli::error::CliError;
use crate::cli::{output, private_file, profile};
use crate::clock::UnixMillis;
use crate::secret::Secret;

/// Whose token it is, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// The server's URL.
    pub(super) server: String,
    /// The cluster's id.
    pub(super) cluster: String,
    /// The name on the command line; none for whoever answers the question for it.
    pub(super) user: Option<String>,
}

/// A token, with what decides whether it is handed out again.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The bearer.
    pub(super) token: Secret,
    /// When it was got.
    pub(super) issued_at: UnixMillis,
    /// When it ends, by the clock of this machine; none if it never does.
    pub(super) expires_at: Option<UnixMillis>,
    /// When it was last handed out.
    pub(super) handed_out_at: UnixMillis,
    /// The certificates that its server's was checked against, PEM; none for the system's.
    pub(super) certificate_authority: Option<String>,
}

/// The place of one token, held against other processes for as long as this lives.
#[derive(Debug)]
pub(super) struct Cache {
    key: Key,
    path: PathBuf,
    _lock: File,
}

/// The file's form. Only here does the token leave its `Secret`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(flatten)]
    key: Key,
    token: String,
    issued_at: u64,
    expires_at: Option<u64>,
    handed_out_at: u64,
    certificate_authority: Option<String>,
}

impl Cache {
    /// Takes the place, after whoever has it.
    pub(super) fn open(key: Key) -> Result<Self, CliError> {
        let directory = directory()?;
        private_file::create_dir(&directory)?;
        let path = directory.join(key.file_name());
        let lock = lock(&path.with_extension("lock"))?;
        Ok(Self { key, path, _lock: lock })
    }

    /// What is there. A file that can't be understood, or is another's, is as good as none.
    pub(super) fn read(&self) -> Result<Option<Entry>, CliError> {
        let document = read(&self.path)?.filter(|document| document.key == self.key);
        Ok(document.map(|document| Entry::from(document).1))
    }

    /// Keeps this one and no other.
    pub(super) fn write(&self, entry: &Entry) -> Result<(), CliError> {
        let document = Document {
            key: self.key.clone(),
            token: entry.token.expose().to_owned(),
            issued_at: entry.issued_at.0,
            expires_at: entry.expires_at.map(|moment| moment.0),
            handed_out_at: entry.handed_out_at.0,
            certificate_authority: entry.certificate_authority.clone(),
        };
        let text = serde_json::to_vec_pretty(&document)
            .map_err(|error| CliError::File(self.path.clone(), io::Error::other(error)))?;
        private_file::write(&self.path, &text)
    }

    /// Forgets it.
    pub(super) fn remove(&self) -> Result<(), CliError> {
        remove(&self.path)
    }
}

impl Key {
    /// A file's name is not longer than 255 bytes. Where two keys begin alike for so long, they take turns: what is
    /// in the file says whose it is.
    fn file_name(&self) -> String {
        let host = self.server.trim_start_matches("https://");
        let parts = [host, &self.cluster, self.user.as_deref().unwrap_or_default()];
        let mut name = parts.map(encoded).join("@");
        name.truncate(200);
        format!("{name}.json")
    }
}

impl Entry {
    fn from(document: Document) -> (Key, Self) {
        let entry = Self {
            token: Secret::new(document.token),
            issued_at: UnixMillis(document.issued_at),
            expires_at: document.expires_at.map(UnixMillis),
            handed_out_at: UnixMillis(document.handed_out_at),
            certificate_authority: document.certificate_authority,
        };
        (document.key, entry)
    }
}

/// Forgets the tokens of one server, or of all, and gives them. The locks stay: who waits for one has it open.
pub(super) fn take_all(server: Option<&str>) -> Result<Vec<(Key, Entry)>, CliError> {
    let directory = directory()?;
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CliError::File(directory, error)),
    };
    let mut taken = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| CliError::File(directory.clone(), error))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let found = read(&path)?.map(Entry::from);
        if found.as_ref().is_none_or(|(key, _)| server.is_none_or(|server| key.server == server)) {
            remove(&path)?;
            taken.extend(found);
        }
    }
    Ok(taken)
}

fn directory() -> Result<PathBuf, CliError> {
    Ok(profile::home(".cache/portcullis")?.join("credentials"))
}

fn read(path: &Path) -> Result<Option<Document>, CliError> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::File(path.to_owned(), error)),
    }
}

fn remove(path: &Path) -> Result<(), CliError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CliError::File(path.to_owned(), error)),
        _ => Ok(()),
    }
}

fn lock(path: &Path) -> Result<File, CliError> {
    let failed = |error| CliError::File(path.to_owned(), error);
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    let start = Instant::now();
    let mut told = false;
    // There is no lock that gives up by itself, and who has it may wait for a password that nobody will type.
    while let Err(refused) = file.try_lock() {
        match refused {
            TryLockError::Error(error) => return Err(failed(error)),
            TryLockError::WouldBlock if start.elapsed() > PATIENCE => return Err(CliError::LoginUnderWay),
            TryLockError::WouldBlock => std::thread::sleep(Duration::from_millis(20)),
        }
        if !told && start.elapsed() > Duration::from_secs(1) {
            told = true;
            output::remark("Waiting for another kubectl of yours, which is logging in.");
        }
    }
    Ok(file)
}

/// How long somebody may take to type name and password.
const PATIENCE: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_anything_is_one_file() {
        let key = |server: &str, user: Option<&str>| Key {
            server: server.to_owned(),
            cluster: "local".to_owned(),
            user: user.map(str::to_owned),
        };
        assert_eq!(key("https://gate:8443", Some("alice")).file_name(), "gate%3A8443@local@alice.json");
        assert_eq!(key("https://gate", None).file_name(), "gate@local@.json");
        let hostile = key("https://gate", Some("../../x@y")).file_name();
        assert_eq!(hostile, "gate@local@..%2F..%2Fx%40y.json");
        assert!(key("https://gate", Some(&"ä".repeat(300))).file_name().len() < 255);
    }
}
