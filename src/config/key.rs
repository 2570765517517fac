//! The shape of one configuration key.

use std::collections::BTreeMap;

use super::source::Host;
use super::value::Expected;
use super::{Config, TlsFiles};
use crate::identity::{Group, Username};

/// One key: where it can be set, what it takes, and how it reaches [`Config`].
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The place in the file, parts joined by dots: `limits.headerTimeout`.
    pub path: &'static str,
    /// The environment variable.
    pub environment: &'static str,
    /// The flag of `serve`, without its dashes, for the few keys that have one.
    pub flag: Option<&'static str>,
    /// What kind of value it takes.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: DefaultValue,
    /// When a value counts that was changed while the server runs.
    pub reload: Reload,
    /// One line of help.
    pub help: &'static str,
    /// Parses the value and stores it.
    pub(super) set: fn(&mut Draft, &Given) -> Result<(), Expected>,
}

/// What kind of value a key takes, as documentation names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An IP address and a port.
    Address,
    /// A file or directory.
    Path,
    /// A text.
    Text,
    /// An `https` URL.
    Url,
    /// A list of texts; in flags and variables, separated by commas.
    List,
    /// A positive whole number.
    Count,
    /// A share between 0 and 1.
    Fraction,
    /// A span of time with its unit: `30s`, `5m`.
    Duration,
    /// A number of bytes with its unit: `128KiB`.
    Size,
    /// `true` or `false`.
    Bool,
}

/// What holds when a key isn't set.
#[derive(Debug, Clone, Copy)]
pub enum DefaultValue {
    /// Nothing: the key is optional.
    Unset,
    /// This text, parsed like any other source's.
    Text(&'static str),
    /// A value that depends on the machine, and how documentation describes it.
    Computed(&'static str, fn(&Host, &BTreeMap<String, String>) -> Option<String>),
}

/// When a changed value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Once the file was read again.
    Live,
    /// From the next start on.
    Restart,
}

/// A value as a source gives it, before it has a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A single value.
    One(String),
    /// A list, as only a file can write it.
    Many(Vec<String>),
}

/// A configuration in the making: both halves of a pair of keys arrive one after the other.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) tls: TlsFiles,
    pub(super) allowed_users: Option<Vec<Username>>,
    pub(super) allowed_groups: Option<Vec<Group>>,
}

impl Kind {
    /// The word for it in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Path => "path",
            Self::Text => "text",
            Self::Url => "URL",
            Self::List => "list",
            Self::Count => "number",
            Self::Fraction => "share",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Bool => "true/false",
        }
    }
}

impl Reload {
    /// The word for it in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

impl DefaultValue {
    /// How documentation writes it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Unset => "",
            Self::Text(text) | Self::Computed(text, _) => text,
        }
    }
}
