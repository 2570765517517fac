//! A user as it is stored.

use super::PasswordHash;
use crate::clock::UnixMillis;
use crate::identity::{Group, UserId, Username};

/// A user. Tokens name their user by id; enabling, disabling and changing groups touch this one record.
#[derive(Debug, Clone)]
pub struct UserRecord {
    /// The id that tokens refer to.
    pub id: UserId,
    /// The name the cluster sees; unique.
    pub name: Username,
    /// The groups the cluster sees, besides `system:authenticated`.
    pub groups: Vec<Group>,
    /// Whether the user may manage other users.
    pub admin: bool,
    /// False while the user is switched off: no login, and none of the user's tokens is good.
    pub enabled: bool,
    /// When the user was made.
    pub created_at: UnixMillis,
    /// What a password is checked against; `None` for a user who can't log in with one.
    pub password: Option<PasswordHash>,
}
