//! Writes to users. Each is one small change, checked where it is made, so that two writers can't undo each other's
//! work.

use rusqlite::{Connection, params};

use super::effect::Effect;
use super::tokens::parsed;
use super::write::constraint_error;
use super::{Change, StoreError, integer};
use crate::identity::{Group, UserId};
use crate::token::{TokenKind, TokenName};
use crate::user::{PasswordHash, UserRecord};

/// What to change about a user; `None` leaves a field as it is. Fields, not whole records: a record that was read a
/// moment ago would bring back what somebody else has changed since, such as `enabled`.
#[derive(Debug, Clone, Default)]
pub struct UserUpdate {
    /// The groups the cluster sees.
    pub groups: Option<Vec<Group>>,
    /// Whether the user may manage other users.
    pub admin: Option<bool>,
    /// Whether the user is switched on.
    pub enabled: Option<bool>,
    /// What a password is checked against.
    pub password: Option<PasswordHash>,
    /// Which of the user's tokens to delete; none without.
    pub revoke: Option<Revoke>,
    /// The token that is left alone nevertheless.
    pub keep: Option<TokenName>,
}

/// Which tokens end with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoke {
    /// Those that a login has made for a session.
    Sessions,
    /// Every one.
    All,
}

pub(super) fn insert(connection: &Connection, user: &UserRecord) -> Result<Effect, StoreError> {
    let retired: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM retired_user_ids WHERE id = ?1)")?
        .query_row([user.id.as_str()], |row| row.get(0))?;
    if retired {
        return Err(StoreError::Exists);
    }
    connection
        .prepare_cached(
            "INSERT INTO users (id, name, groups, admin, enabled, created_at, password)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            user.id.as_str(),
            user.name.as_str(),
            json(&user.groups),
            user.admin,
            user.enabled,
            integer(user.created_at.0),
            user.password.as_ref().map(PasswordHash::as_str),
        ])
        .map_err(constraint_error)?;
    Ok(Effect::new(vec![Change::User(user.id.clone())], 1))
}

pub(super) fn update(
    connection: &Connection,
    id: &UserId,
    update: &UserUpdate,
) -> Result<Effect, StoreError> {
    let rows = connection
        .prepare_cached(
            "UPDATE users SET groups = coalesce(?2, groups), admin = coalesce(?3, admin),
             enabled = coalesce(?4, enabled), password = coalesce(?5, password) WHERE id = ?1",
        )?
        .execute(params![
            id.as_str(),
            update.groups.as_deref().map(json),
            update.admin,
            update.enabled,
            update.password.as_ref().map(PasswordHash::as_str),
        ])?;
    if rows == 0 {
        return Ok(Effect::default());
    }
    if update.admin == Some(false) || update.enabled == Some(false) {
        check_administrator_left(connection)?;
    }
    let revoked = match update.revoke {
        Some(revoke) => delete_tokens(connection, id, revoke, update.keep.as_ref())?,
        None => Vec::new(),
    };
    Ok(user_and_tokens(id, revoked))
}

pub(super) fn delete(connection: &Connection, id: &UserId) -> Result<Effect, StoreError> {
    let tokens = delete_tokens(connection, id, Revoke::All, None)?;
    let rows = connection.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([id.as_str()])?;
    if rows == 0 {
        return Ok(Effect::default());
    }
    check_administrator_left(connection)?;
    connection.prepare_cached("INSERT INTO retired_user_ids (id) VALUES (?1)")?.execute([id.as_str()])?;
    Ok(user_and_tokens(id, tokens))
}

/// The user first: caches then refuse its tokens from the first change on.
fn user_and_tokens(id: &UserId, tokens: Vec<TokenName>) -> Effect {
    let mut effect = Effect::of_tokens(tokens);
    effect.changes.insert(0, Change::User(id.clone()));
    effect.committed.count += 1;
    effect
}

fn delete_tokens(
    connection: &Connection,
    owner: &UserId,
    revoke: Revoke,
    keep: Option<&TokenName>,
) -> Result<Vec<TokenName>, StoreError> {
    let kind = (revoke == Revoke::Sessions).then_some(TokenKind::Session.as_str());
    let mut statement = connection.prepare_cached(
        "DELETE FROM tokens WHERE user_id = ?1 AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR name <> ?3)
         RETURNING name",
    )?;
    let values = params![owner.as_str(), kind, keep.map(TokenName::as_str)];
    let names = statement.query_map(values, |row| row.get::<_, String>(0))?;
    Ok(parsed(&names.collect::<Result<Vec<_>, _>>()?))
}

/// In the same transaction as the change, so that two administrators can't switch each other off.
fn check_administrator_left(connection: &Connection) -> Result<(), StoreError> {
    let left: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM users WHERE admin AND enabled)")?
        .query_row([], |row| row.get(0))?;
    if left { Ok(()) } else { Err(StoreError::LastAdministrator) }
}

fn json(groups: &[Group]) -> String {
    groups.iter().map(Group::as_str).collect::<serde_json::Value>().to_string()
}
