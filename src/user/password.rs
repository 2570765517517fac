//! Passwords at rest.

/// An argon2id hash of a password, in PHC text form.
#[derive(Debug, Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The PHC text, as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
