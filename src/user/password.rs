//! Passwords: what may become one, and how it rests.
//!
//! Hashing is slow on purpose (tens of milliseconds and 19 MiB): [`PasswordHash::of`], [`PasswordHash::verify`] and
//! [`verify_against_nothing`] block, so run them off the threads that serve requests, and few at a time.

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};

use crate::secret::Secret;

/// The longest password taken, in bytes. Argon2 takes more; a bound keeps the work of a login the same for everybody.
pub const MAX_PASSWORD_BYTES: usize = 256;

/// A password that somebody may be given: long enough and not too long.
#[derive(Debug, Clone)]
pub struct NewPassword(Secret);

/// An argon2id hash of a password, in PHC text form.
#[derive(Clone)]
pub struct PasswordHash(String);

/// Why a password can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Shorter than the least length, counted in characters.
    #[error("password is shorter than {0} characters")]
    TooShort(usize),
    /// Longer than [`MAX_PASSWORD_BYTES`].
    #[error("password is longer than {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
    /// No random bytes, or no memory, for hashing it.
    #[error("password can't be hashed now")]
    Unhashable,
}

/// A stored text that is not a hash we would check a password against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an argon2id hash of bearable cost")]
pub struct PasswordHashError;

impl NewPassword {
    /// Takes `password` if it has at least `min_characters` characters.
    pub fn new(password: Secret, min_characters: usize) -> Result<Self, PasswordError> {
        let text = password.expose();
        if text.len() > MAX_PASSWORD_BYTES {
            return Err(PasswordError::TooLong);
        }
        if text.chars().count() < min_characters {
            return Err(PasswordError::TooShort(min_characters));
        }
        Ok(Self(password))
    }

    /// The password as text, for comparing it with what it must not be.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl PasswordHash {
    /// Hashes `password` with a new salt. Blocks.
    pub fn of(password: &NewPassword) -> Result<Self, PasswordError> {
        let hash: phc::PasswordHash =
            argon2id().hash_password(password.expose().as_bytes()).map_err(|_| PasswordError::Unhashable)?;
        Ok(Self(hash.to_string()))
    }

    /// Whether `password` is the one that was hashed. Blocks.
    pub fn verify(&self, password: &Secret) -> bool {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return false;
        }
        phc::PasswordHash::new(&self.0)
            .is_ok_and(|hash| argon2id().verify_password(password.expose().as_bytes(), &hash).is_ok())
    }

    /// The PHC text, as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Does the work of checking `password` where there is no hash to check it against, so that the time taken does not
/// tell whether a user exists. Blocks.
pub fn verify_against_nothing(password: &Secret) {
    let _never = PasswordHash(DECOY.to_owned()).verify(password);
}

impl TryFrom<&str> for PasswordHash {
    type Error = PasswordHashError;

    /// Stored rows are untrusted input: the cost is bounded, so that one row can't take all memory.
    fn try_from(text: &str) -> Result<Self, PasswordHashError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| PasswordHashError)?;
        let params = Params::try_from(&hash).map_err(|_| PasswordHashError)?;
        let bearable = params.m_cost() <= 4 * MEMORY_KIB && params.t_cost() <= 8 && params.p_cost() <= 4;
        let complete = hash.salt.is_some() && hash.hash.is_some();
        if hash.algorithm.as_str() == "argon2id" && bearable && complete {
            Ok(Self(text.to_owned()))
        } else {
            Err(PasswordHashError)
        }
    }
}

/// Hashes are not shown: they belong in the store and nowhere else.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

fn argon2id() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The first choice of OWASP's password storage cheat sheet: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Looks like every hash we write, and is the hash of nothing known.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cG9ydGN1bGxpcy1kZWNveQ$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

#[cfg(test)]
mod tests {
    use super::*;

    fn new_password(text: &str) -> Result<NewPassword, PasswordError> {
        NewPassword::new(Secret::new(text), 12)
    }

    #[test]
    fn only_the_password_that_was_hashed_verifies() {
        let hash = PasswordHash::of(&new_password("correct horse").unwrap()).unwrap();
        assert!(hash.verify(&Secret::new("correct horse")));
        for wrong in ["", "correct horsf", "correct horse ", "Correct horse", &"x".repeat(257)] {
            assert!(!hash.verify(&Secret::new(wrong)), "{wrong:?}");
        }
        let read_back = PasswordHash::try_from(hash.as_str()).unwrap();
        assert!(read_back.verify(&Secret::new("correct horse")));
        assert!(!format!("{hash:?}").contains("argon2"), "a hash is not shown");
    }

    #[test]
    fn length_is_counted_in_characters_and_bounded_in_bytes() {
        assert!(new_password("twelve chars").is_ok());
        assert!(new_password("zwölf-zeichn").is_ok());
        assert_eq!(new_password("eleven char").err(), Some(PasswordError::TooShort(12)));
        assert_eq!(
            new_password("öööööö").err(),
            Some(PasswordError::TooShort(12)),
            "twelve bytes are not enough"
        );
        assert!(new_password(&"x".repeat(256)).is_ok());
        assert_eq!(new_password(&"x".repeat(257)).err(), Some(PasswordError::TooLong));
    }

    #[test]
    fn the_decoy_costs_what_a_real_hash_costs() {
        let real = PasswordHash::of(&new_password("correct horse").unwrap()).unwrap();
        let parameters = |text: &str| text.rsplitn(3, '$').last().map(str::to_owned);
        assert_eq!(parameters(real.as_str()), parameters(DECOY));
        assert_eq!(real.as_str().len(), DECOY.len());
        assert!(PasswordHash::try_from(DECOY).is_ok());
    }

    #[test]
    fn a_stored_hash_that_would_eat_all_memory_is_refused() {
        let with = |from: &str, to: &str| DECOY.replace(from, to);
        let wrong = [
            String::new(),
            "plain".into(),
            with("m=19456", "m=4194304"),
            with("t=2", "t=1000"),
            with("p=1", "p=64"),
            with("argon2id", "argon2d"),
            with("argon2id", "pbkdf2-sha256"),
            DECOY.rsplit_once('$').unwrap().0.into(),
        ];
        for text in wrong {
            assert_eq!(PasswordHash::try_from(text.as_str()).err(), Some(PasswordHashError), "{text}");
        }
    }
}
