//! What can be wrong with a configuration. Errors are collected: who fixes one wants to know of all.

use std::fmt;
use std::path::PathBuf;

use super::source::Origin;
use crate::setting::SettingError;

/// One mistake, with the key and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}: cannot be read: {_1}", _0.display())]
    Unreadable(PathBuf, std::io::Error),
    /// A file or variable that is not UTF-8.
    #[error("{_0}: not UTF-8 text")]
    NotText(Origin),
    /// The file is no YAML.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// `apiVersion` or `kind` is missing or not ours.
    #[error("{field} (file {}): expected {expected}", path.display())]
    Header {
        /// Which of the two.
        field: &'static str,
        /// What it must say.
        expected: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A key that nobody knows.
    #[error("{key} ({origin}): unknown{}", suggest(suggestion.as_deref()))]
    Unknown {
        /// The key as it was written.
        key: String,
        /// Where it was written.
        origin: Origin,
        /// A known key that looks like it.
        suggestion: Option<String>,
    },
    /// A value its key can't take.
    #[error("{key} ({origin}): expected {expected}{}", found(given.as_deref()))]
    Invalid {
        /// The key.
        key: String,
        /// Where the value was written.
        origin: Origin,
        /// What was written, if it is a single value.
        given: Option<String>,
        /// What the key takes.
        expected: String,
    },
    /// A cluster of the list that can't be one.
    #[error("{place} ({origin}): {reason}")]
    Cluster {
        /// Which of them.
        place: String,
        /// Where the list was written.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// A key without a value and without a default on this machine.
    #[error("{key}: has no default here, set it ({environment}): {help}")]
    Missing {
        /// The key.
        key: &'static str,
        /// The variable that sets it.
        environment: &'static str,
        /// What it is for.
        help: &'static str,
    },
    /// Two keys that can't go together as they are.
    #[error("{keys}: {reason}")]
    Conflict {
        /// The keys.
        keys: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// Two settings of the environment that can't go together.
    #[error("environment: {0}")]
    Settings(SettingError),
}

/// All mistakes of a configuration; never empty. Prints one a line.
#[derive(Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The mistakes, in the order of the table of keys.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// An error if there is a mistake.
    pub(super) fn check(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

fn suggest(suggestion: Option<&str>) -> String {
    suggestion.map(|known| format!(", did you mean {known}?")).unwrap_or_default()
}

fn found(given: Option<&str>) -> String {
    given.map(|text| format!(", not {text:.80?}")).unwrap_or_default()
}
