//! Token keys: the secret half of a bearer.

use crate::random::{is_in_alphabet, random_characters};
use crate::secret::Secret;

/// Characters in a key. 54 of an alphabet of 27 are about 256 bits (Rancher's keys are the same).
const KEY_CHARACTERS: usize = 54;

/// The secret half of a token. It exists in full only in the answer that creates it and in what a client presents.
#[derive(Debug, Clone)]
pub struct TokenKey(Secret);

/// A text that no key has ever looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token key")]
pub struct KeyError;

impl TokenKey {
    /// A new key from the operating system's random bytes.
    ///
    /// # Errors
    /// Only when the operating system has no random bytes to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let text = random_characters::<KEY_CHARACTERS>()?;
        Ok(Self(Secret::new(String::from_utf8_lossy(&text))))
    }

    /// The key as text: for hashing and for the one answer that shows it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl TryFrom<&str> for TokenKey {
    type Error = KeyError;

    fn try_from(text: &str) -> Result<Self, KeyError> {
        let well_formed = text.len() == KEY_CHARACTERS && text.bytes().all(is_in_alphabet);
        if well_formed { Ok(Self(Secret::new(text))) } else { Err(KeyError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_have_nothing_in_common() {
        let (a, b) = (TokenKey::generate().unwrap(), TokenKey::generate().unwrap());
        assert_eq!(a.expose().len(), 54);
        let same = a.expose().bytes().zip(b.expose().bytes()).filter(|(x, y)| x == y).count();
        assert!(same < 16, "{same} of 54 places agree: chance gives 2");
        assert!(TokenKey::try_from(a.expose()).is_ok());
    }

    #[test]
    fn what_no_key_looks_like_is_refused_before_any_lookup() {
        for text in ["", "b", &"b".repeat(53), &"b".repeat(55), &"a".repeat(54), &"ä".repeat(27)] {
            assert_eq!(TokenKey::try_from(text).err(), Some(KeyError), "{text:?}");
        }
    }
}
