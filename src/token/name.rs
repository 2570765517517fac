//! Names of tokens. A name is public (logs, audit, URLs), says what kind of token it is, and ends in five random
//! characters.

use std::fmt;
use std::sync::Arc;

use super::TokenKind;
use crate::identity::UserId;
use crate::random::random_characters;

/// Kubernetes' limit for the name of an object (a DNS-1123 subdomain).
const MAX_NAME_BYTES: usize = 253;

/// A token's name: a DNS-1123 subdomain, so that it can be an object's name in a cluster.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenName(Arc<str>);

/// Why a text is not a token's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a token name: up to {MAX_NAME_BYTES} of a-z, 0-9, '-' and '.', beginning and ending with a letter or digit"
)]
pub struct NameError;

impl TokenName {
    /// A new name for a token of `kind` that belongs to `owner`.
    ///
    /// # Errors
    /// Only when the operating system has no random bytes to give.
    pub fn generate(kind: TokenKind, owner: &UserId) -> Result<Self, getrandom::Error> {
        let suffix = random_characters::<5>()?;
        let suffix = suffix.iter().map(|byte| char::from(*byte));
        let rules = kind.rules();
        let owner = if rules.names_owner { owner.as_str() } else { "" };
        Ok(Self(rules.prefix.chars().chain(owner.chars()).chain(suffix).collect::<String>().into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for TokenName {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, NameError> {
        let bytes = name.as_bytes();
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends_well = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
        let all_legal = bytes.iter().all(|byte| alphanumeric(byte) || matches!(byte, b'-' | b'.'));
        if ends_well && all_legal && bytes.len() <= MAX_NAME_BYTES {
            Ok(Self(name.into()))
        } else {
            Err(NameError)
        }
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_name_is_its_kinds_pattern_and_five_random_letters() {
        let owner = UserId::try_from("user-bcdfg").unwrap();
        for kind in TokenKind::ALL {
            let name = TokenName::generate(kind, &owner).unwrap();
            let (start, random) = name.as_str().split_at(name.as_str().len() - 5);
            assert_eq!(start, kind.rules().pattern.replace("<userId>", "user-bcdfg"), "{kind:?}");
            assert!(random.bytes().all(|byte| crate::random::ALPHABET.contains(&byte)));
            assert_eq!(TokenName::try_from(name.as_str()), Ok(name));
        }
    }

    #[test]
    fn texts_that_could_be_read_in_two_ways_are_no_names() {
        for text in ["", "-a", "a-", ".", "A", "a b", "a:b", "a/b", "ä", "a\u{0}", &"a".repeat(254)] {
            assert_eq!(TokenName::try_from(text), Err(NameError), "{text:?}");
        }
        assert!(TokenName::try_from("a".repeat(253).as_str()).is_ok());
    }
}
