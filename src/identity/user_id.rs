//! Ids of users.

use std::fmt;
use std::sync::Arc;

use crate::random::random_characters;

/// A user's id, `user-` and five random characters. It never changes and is never given out twice, so it also serves
/// as the UID that the cluster sees.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(Arc<str>);

/// Why a text is not a user's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a user id: up to 63 of a-z, 0-9 and '-'")]
pub struct UserIdError;

impl UserId {
    /// A new id.
    ///
    /// # Errors
    /// Only when the operating system has no random bytes to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let suffix = random_characters::<5>()?;
        let id: String = "user-".chars().chain(suffix.iter().map(|byte| char::from(*byte))).collect();
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for UserId {
    type Error = UserIdError;

    fn try_from(text: &str) -> Result<Self, UserIdError> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(UserIdError)
        }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_generated_and_read_back() {
        let id = UserId::generate().unwrap();
        assert_eq!((&id.as_str()[..5], id.as_str().len()), ("user-", 10));
        assert_eq!(UserId::try_from(id.as_str()), Ok(id));
        for text in ["", "User-x", "a b", "a:b", "ä", &"a".repeat(64)] {
            assert_eq!(UserId::try_from(text), Err(UserIdError), "{text:?}");
        }
    }
}
