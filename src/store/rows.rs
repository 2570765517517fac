//! Rows to records. A row is untrusted input: a backup, an editor or a bad disk may have been at it.

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::StoreError;
use crate::clock::UnixMillis;
use crate::identity::{Group, UserId, Username};
use crate::token::{KeyHash, TokenKind, TokenName, TokenRecord, Ttl};
use crate::user::{PasswordHash, UserRecord};

/// The token of this name.
pub(super) fn token(connection: &Connection, name: &TokenName) -> Result<Option<TokenRecord>, StoreError> {
    let sql = format!("SELECT {TOKEN_COLUMNS} FROM tokens WHERE name = ?1");
    one(connection.prepare_cached(&sql)?.query_row([name.as_str()], |row| Ok(read_token(row))))
}

/// The tokens of `owner`, or all, oldest first. Rows that are corrupt are left out and logged.
pub(super) fn tokens(
    connection: &Connection,
    owner: Option<&UserId>,
) -> Result<Vec<TokenRecord>, StoreError> {
    let sql = format!(
        "SELECT {TOKEN_COLUMNS} FROM tokens WHERE ?1 IS NULL OR user_id = ?1 ORDER BY created_at, name"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([owner.map(UserId::as_str)], |row| Ok(read_token(row)))?;
    sound_rows(rows)
}

/// The user of this id.
pub(super) fn user(connection: &Connection, id: &UserId) -> Result<Option<UserRecord>, StoreError> {
    let sql = format!("SELECT {USER_COLUMNS} FROM users WHERE id = ?1");
    one(connection.prepare_cached(&sql)?.query_row([id.as_str()], |row| Ok(read_user(row))))
}

/// The user of this name.
pub(super) fn user_by_name(
    connection: &Connection,
    name: &Username,
) -> Result<Option<UserRecord>, StoreError> {
    let sql = format!("SELECT {USER_COLUMNS} FROM users WHERE name = ?1");
    one(connection.prepare_cached(&sql)?.query_row([name.as_str()], |row| Ok(read_user(row))))
}

/// All users by name. Rows that are corrupt are left out and logged.
pub(super) fn users(connection: &Connection) -> Result<Vec<UserRecord>, StoreError> {
    let sql = format!("SELECT {USER_COLUMNS} FROM users ORDER BY name");
    let mut statement = connection.prepare_cached(&sql)?;
    sound_rows(statement.query_map([], |row| Ok(read_user(row)))?)
}

/// Whether there is any user, sound or corrupt.
pub(super) fn has_users(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM users)")?.query_row([], |row| row.get(0))?)
}

fn one<T>(row: rusqlite::Result<Result<T, StoreError>>) -> Result<Option<T>, StoreError> {
    row.optional()?.transpose()
}

fn sound_rows<T>(
    rows: impl Iterator<Item = rusqlite::Result<Result<T, StoreError>>>,
) -> Result<Vec<T>, StoreError> {
    let mut sound = Vec::new();
    for row in rows {
        match row? {
            Ok(record) => sound.push(record),
            Err(corrupt) => tracing::warn!(error = %corrupt, "left out of a listing"),
        }
    }
    Ok(sound)
}

const TOKEN_COLUMNS: &str = "name, user_id, kind, description, created_at, ttl, enabled, hash";
const USER_COLUMNS: &str = "id, name, groups, admin, enabled, created_at, password";

fn read_token(row: &Row<'_>) -> Result<TokenRecord, StoreError> {
    let columns = Columns::of(row, "token");
    Ok(TokenRecord {
        name: columns.parsed(0, "name", |text| TokenName::try_from(text).ok())?,
        user_id: columns.parsed(1, "user id", |text| UserId::try_from(text).ok())?,
        kind: columns.parsed(2, "kind", TokenKind::from_text)?,
        description: columns.value(3, "description")?,
        created_at: UnixMillis(columns.millis(4, "creation time")?),
        ttl: Ttl(columns.millis(5, "lifetime")?),
        enabled: columns.value(6, "enabled")?,
        hash: columns.parsed(7, "hash", |text| KeyHash::try_from(text).ok())?,
    })
}

fn read_user(row: &Row<'_>) -> Result<UserRecord, StoreError> {
    let columns = Columns::of(row, "user");
    let password: Option<String> = columns.value(6, "password hash")?;
    Ok(UserRecord {
        id: columns.parsed(0, "id", |text| UserId::try_from(text).ok())?,
        name: columns.parsed(1, "name", |text| Username::try_from(text).ok())?,
        groups: columns.parsed(2, "groups", groups)?,
        admin: columns.value(3, "admin")?,
        enabled: columns.value(4, "enabled")?,
        created_at: UnixMillis(columns.millis(5, "creation time")?),
        password: password
            .map(|text| PasswordHash::try_from(text.as_str()).map_err(|_| columns.corrupt("password hash")))
            .transpose()?,
    })
}

fn groups(json: &str) -> Option<Vec<Group>> {
    let names: Vec<String> = serde_json::from_str(json).ok()?;
    names.iter().map(|name| Group::try_from(name.as_str()).ok()).collect()
}

/// A row under suspicion: reading a column either gives its value or says which row is corrupt, and where.
struct Columns<'r> {
    row: &'r Row<'r>,
    what: &'static str,
}

impl<'r> Columns<'r> {
    fn of(row: &'r Row<'r>, what: &'static str) -> Self {
        Self { row, what }
    }

    fn value<T: FromSql>(&self, index: usize, column: &str) -> Result<T, StoreError> {
        self.row.get(index).map_err(|_| self.corrupt(column))
    }

    fn parsed<T>(&self, index: usize, column: &str, parse: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text: String = self.value(index, column)?;
        parse(&text).ok_or_else(|| self.corrupt(column))
    }

    fn millis(&self, index: usize, column: &str) -> Result<u64, StoreError> {
        u64::try_from(self.value::<i64>(index, column)?).map_err(|_| self.corrupt(column))
    }

    /// Names the row by its key (the first column) and the column by `column`, and shows no other value: a hash
    /// belongs in no log.
    fn corrupt(&self, column: &str) -> StoreError {
        let key: String = self.row.get(0).unwrap_or_else(|_| "of unreadable key".to_owned());
        let key: String = key.escape_debug().take(64).collect();
        StoreError::Corrupt {
            row: format!("{} {key}", self.what),
            reason: format!("its {column} is not valid"),
        }
    }
}
