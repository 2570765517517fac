//! Ids of clusters.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::random::random_characters;

/// A cluster's id as it stands in paths and in tokens: a DNS label, so that nothing in it is ever encoded. Who is added
/// while we run gets `c-` and five random characters, never given out twice; other ids are the operator's to choose.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterId(Arc<str>);

/// Why a text is not a cluster's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cluster id: up to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit")]
pub struct ClusterIdError;

const DEFAULT: &str = "local";

/// What ids begin with that were given out while we ran.
const GENERATED_PREFIX: &str = "c-";

impl ClusterId {
    /// A new id.
    ///
    /// # Errors
    /// Only when the operating system has no random bytes to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let suffix = random_characters::<5>()?;
        let id: String =
            GENERATED_PREFIX.chars().chain(suffix.iter().map(|byte| char::from(*byte))).collect();
        Ok(Self(id.into()))
    }

    /// The id of the default cluster, the one that paths without `/k8s/clusters/<id>` mean.
    pub fn of_default() -> Self {
        Self(DEFAULT.into())
    }

    /// Whether it is the default cluster's.
    pub fn is_default(&self) -> bool {
        &*self.0 == DEFAULT
    }

    /// Whether it is of the form that is given out while we run, which no operator can choose.
    pub fn is_generated(&self) -> bool {
        self.0.starts_with(GENERATED_PREFIX)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as text that is shared.
    pub fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl TryFrom<&str> for ClusterId {
    type Error = ClusterIdError;

    fn try_from(text: &str) -> Result<Self, ClusterIdError> {
        let bytes = text.as_bytes();
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends_well = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
        let all_legal = bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-');
        if ends_well && all_legal && bytes.len() <= 63 { Ok(Self(text.into())) } else { Err(ClusterIdError) }
    }
}

impl TryFrom<String> for ClusterId {
    type Error = ClusterIdError;

    fn try_from(text: String) -> Result<Self, ClusterIdError> {
        Self::try_from(text.as_str())
    }
}

impl From<ClusterId> for String {
    fn from(id: ClusterId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dns_labels_and_generated_ones_are_told_by_their_beginning() {
        let id = ClusterId::generate().unwrap();
        assert_eq!((&id.as_str()[..2], id.as_str().len(), id.is_generated()), ("c-", 7, true));
        assert_eq!(ClusterId::try_from(id.as_str()), Ok(id));
        assert!(!ClusterId::try_from("local").unwrap().is_generated());
        for text in ["", "-a", "a-", "A", "a b", "a.b", "a/b", "%61", "ä", &"a".repeat(64)] {
            assert_eq!(ClusterId::try_from(text), Err(ClusterIdError), "{text:?}");
        }
    }
}
