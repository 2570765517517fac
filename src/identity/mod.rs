//! Who a request runs as, in types that can't hold what the apiserver would misread.

mod access;
mod cluster_id;
mod user_id;
mod user_info;

use std::fmt;

use http::HeaderValue;

pub use access::Access;
pub use cluster_id::{ClusterId, ClusterIdError};
pub use user_id::{UserId, UserIdError};
pub use user_info::{ExtraKey, UserInfo, header_value};

/// The longest user or group name taken, in bytes. The apiserver takes more; nobody's directory needs more.
const MAX_NAME_BYTES: usize = 256;

/// A user's name as the cluster sees it. Never empty: the apiserver takes an empty `Impersonate-User` as "no
/// impersonation" and would serve the request with our own rights (CVE-2026-23990 in a peer).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Username(HeaderValue);

/// A group's name as the cluster sees it; the same rules as a user's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Group(HeaderValue);

/// The group every authenticated request belongs to. Without it discovery fails (kubernetes#79395).
pub const AUTHENTICATED_GROUP: &str = "system:authenticated";

/// Names that begin so belong to Kubernetes itself: `system:masters`, nodes, service accounts.
pub const RESERVED_PREFIX: &str = "system:";

/// Why a text can't be a user's or group's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing, or nothing but white space.
    #[error("name is empty")]
    Empty,
    /// Longer than 256 bytes.
    #[error("name is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// White space at an end: header parsers trim it, so two names would become one.
    #[error("name begins or ends with white space")]
    OuterSpace,
    /// A control character, which a header line can't carry.
    #[error("name has a control character")]
    Control,
    /// A capital letter where the apiserver would make a small one of it.
    #[error("key has a capital letter")]
    Capital,
}

impl Username {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        text(&self.0)
    }

    /// The name as the value of a header line, ready to be sent (a clone is a reference count).
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }

    /// Whether the name is one of Kubernetes' own (`system:…`).
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with(RESERVED_PREFIX)
    }
}

impl Group {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        text(&self.0)
    }

    /// The name as the value of a header line.
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }

    /// Whether the name is one of Kubernetes' own (`system:…`).
    pub fn is_reserved(&self) -> bool {
        self.as_str().starts_with(RESERVED_PREFIX)
    }
}

impl TryFrom<&str> for Username {
    type Error = IdentityError;

    fn try_from(name: &str) -> Result<Self, IdentityError> {
        parse(name).map(Self)
    }
}

impl TryFrom<&str> for Group {
    type Error = IdentityError;

    fn try_from(name: &str) -> Result<Self, IdentityError> {
        parse(name).map(Self)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Username({:?})", self.as_str())
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:?})", self.as_str())
    }
}

fn parse(name: &str) -> Result<HeaderValue, IdentityError> {
    if name.trim().is_empty() {
        return Err(IdentityError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(IdentityError::TooLong);
    }
    header_line(name)
}

/// The text as the value of a header line, if it would arrive as it is.
fn header_line(text: &str) -> Result<HeaderValue, IdentityError> {
    if text.trim() != text {
        return Err(IdentityError::OuterSpace);
    }
    if text.chars().any(char::is_control) {
        return Err(IdentityError::Control);
    }
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| IdentityError::Control)
}

fn text(value: &HeaderValue) -> &str {
    // Every value here was made from a `str`, so this is that text; the fallback is a name nobody can have.
    std::str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_mean_no_impersonation_is_refused() {
        for name in ["", " ", "\t", "\u{a0}", "\u{2003}\u{2003}"] {
            assert_eq!(Username::try_from(name), Err(IdentityError::Empty), "{name:?}");
        }
    }

    #[test]
    fn names_that_a_header_would_change_are_refused() {
        assert_eq!(Username::try_from(" admin"), Err(IdentityError::OuterSpace));
        assert_eq!(Username::try_from("admin\u{a0}"), Err(IdentityError::OuterSpace));
        assert_eq!(Username::try_from("a\nb"), Err(IdentityError::Control));
        assert_eq!(Username::try_from("a\u{0}b"), Err(IdentityError::Control));
        assert_eq!(Username::try_from("a\u{7f}b"), Err(IdentityError::Control));
        assert_eq!(Group::try_from("x".repeat(257).as_str()), Err(IdentityError::TooLong));
    }

    #[test]
    fn ordinary_and_odd_but_legal_names_survive_unchanged() {
        for name in ["alice", "a b", "a,b", "ä", "oidc:alice@example.com", "system:node:n1"] {
            assert_eq!(Username::try_from(name).unwrap().as_str(), name);
        }
        assert!(Group::try_from("system:masters").unwrap().is_reserved());
        assert!(!Group::try_from("systems").unwrap().is_reserved());
    }
}
