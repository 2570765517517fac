//! Writes: each is one small change, checked where it is made, so that two writers can't undo each other's work.

use rusqlite::{Connection, ErrorCode, params};

use super::{Change, StoreError};
use crate::identity::{Group, UserId};
use crate::token::{TokenName, TokenRecord};
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
}

/// One write.
#[derive(Debug)]
pub(super) enum Write {
    InsertToken(TokenRecord),
    DeleteToken(TokenName),
    InsertUser(UserRecord),
    UpdateUser(UserId, UserUpdate),
    DeleteUser(UserId),
}

impl Write {
    /// Does it within the caller's transaction, and says what changed: nothing, if what it names does not exist.
    pub(super) fn apply(&self, connection: &Connection) -> Result<Vec<Change>, StoreError> {
        match self {
            Self::InsertToken(token) => insert_token(connection, token),
            Self::DeleteToken(name) => delete_token(connection, name),
            Self::InsertUser(user) => insert_user(connection, user),
            Self::UpdateUser(id, update) => update_user(connection, id, update),
            Self::DeleteUser(id) => delete_user(connection, id),
        }
    }
}

fn insert_token(connection: &Connection, token: &TokenRecord) -> Result<Vec<Change>, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO tokens (name, user_id, kind, description, created_at, ttl, enabled, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            token.name.as_str(),
            token.user_id.as_str(),
            token.kind.as_str(),
            token.description,
            integer(token.created_at.0),
            integer(token.ttl.0),
            token.enabled,
            token.hash.to_string(),
        ])
        .map_err(constraint_error)?;
    Ok(vec![Change::Token(token.name.clone())])
}

fn delete_token(connection: &Connection, name: &TokenName) -> Result<Vec<Change>, StoreError> {
    let rows = connection.prepare_cached("DELETE FROM tokens WHERE name = ?1")?.execute([name.as_str()])?;
    Ok((rows > 0).then(|| Change::Token(name.clone())).into_iter().collect())
}

fn insert_user(connection: &Connection, user: &UserRecord) -> Result<Vec<Change>, StoreError> {
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
    Ok(vec![Change::User(user.id.clone())])
}

fn update_user(connection: &Connection, id: &UserId, update: &UserUpdate) -> Result<Vec<Change>, StoreError> {
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
        return Ok(Vec::new());
    }
    if update.admin == Some(false) || update.enabled == Some(false) {
        check_administrator_left(connection)?;
    }
    Ok(vec![Change::User(id.clone())])
}

fn delete_user(connection: &Connection, id: &UserId) -> Result<Vec<Change>, StoreError> {
    // The user first: caches then refuse its tokens from the first change on.
    let mut changes = vec![Change::User(id.clone())];
    let mut statement = connection.prepare_cached("DELETE FROM tokens WHERE user_id = ?1 RETURNING name")?;
    let mut names = statement.query([id.as_str()])?;
    while let Some(row) = names.next()? {
        // A name that can't be parsed is in no cache.
        changes.extend(TokenName::try_from(row.get::<_, String>(0)?.as_str()).map(Change::Token));
    }
    let rows = connection.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([id.as_str()])?;
    if rows == 0 {
        return Ok(Vec::new());
    }
    check_administrator_left(connection)?;
    connection.prepare_cached("INSERT INTO retired_user_ids (id) VALUES (?1)")?.execute([id.as_str()])?;
    Ok(changes)
}

/// In the same transaction as the change, so that two administrators can't switch each other off.
fn check_administrator_left(connection: &Connection) -> Result<(), StoreError> {
    let left: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM users WHERE admin AND enabled)")?
        .query_row([], |row| row.get(0))?;
    if left { Ok(()) } else { Err(StoreError::LastAdministrator) }
}

fn constraint_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error() {
        Some(cause) if cause.code == ErrorCode::ConstraintViolation => {
            let no_owner = cause.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY;
            if no_owner { StoreError::UnknownUser } else { StoreError::Exists }
        }
        _ => error.into(),
    }
}

fn json(groups: &[Group]) -> String {
    groups.iter().map(Group::as_str).collect::<serde_json::Value>().to_string()
}

/// SQLite's integers are signed; a time or lifetime past their end is as good as the end.
fn integer(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}
