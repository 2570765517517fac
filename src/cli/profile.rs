//! The session that `login` keeps: in `$PORTCULLIS_HOME` or `~/.config/portcullis`, readable by its owner alone.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::CliError;
use super::private_file;
use crate::secret::Secret;

/// Who is logged in where.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// The server's URL.
    pub(super) server: String,
    /// Certificates to trust instead of the system's, PEM.
    pub(super) certificate_authority: Option<String>,
    /// The user's name, as it was typed.
    pub(super) user: String,
    /// The session's bearer.
    pub(super) token: Secret,
}

/// The file's form. Only here does the token leave its `Secret`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    server: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    certificate_authority: Option<String>,
    user: String,
    token: String,
}

impl Profile {
    /// The profile of whoever runs the command.
    pub(super) fn load() -> Result<Self, CliError> {
        let path = path()?;
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CliError::NotLoggedIn),
            Err(error) => return Err(CliError::File(path, error)),
        };
        let document: Document =
            serde_json::from_slice(&text).map_err(|error| CliError::DamagedProfile(path, error))?;
        Ok(Self {
            server: document.server,
            certificate_authority: document.certificate_authority,
            user: document.user,
            token: Secret::new(document.token),
        })
    }

    /// Keeps the profile in place of an earlier one.
    pub(super) fn save(&self) -> Result<(), CliError> {
        let path = path()?;
        if let Some(dir) = path.parent() {
            private_file::create_dir(dir)?;
        }
        let document = Document {
            server: self.server.clone(),
            certificate_authority: self.certificate_authority.clone(),
            user: self.user.clone(),
            token: self.token.expose().to_owned(),
        };
        let text = serde_json::to_string_pretty(&document)
            .map_err(|error| CliError::File(path.clone(), io::Error::other(error)))?;
        private_file::write(&path, text.as_bytes())
    }

    /// Forgets the profile.
    pub(super) fn remove() -> Result<(), CliError> {
        let path = path()?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CliError::File(path, error)),
            _ => Ok(()),
        }
    }
}

/// Where our files are: `$PORTCULLIS_HOME`, or this place below `$HOME`.
pub(super) fn home(below: &str) -> Result<PathBuf, CliError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("PORTCULLIS_HOME").or_else(|| set("HOME").map(|home| home.join(below))).ok_or(CliError::NoHome)
}

fn path() -> Result<PathBuf, CliError> {
    Ok(home(".config/portcullis")?.join("profile.json"))
}
