//! Rows to records. A row is untrusted input: a backup, an editor or a bad disk may have been at it.

use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::StoreError;
use super::query::TokenFilter;
use crate::clock::UnixMillis;
use crate::identity::{ClusterId, Group, UserId, Username};
use crate::token::{KeyHash, LastUse, TokenKey, TokenKind, TokenName, TokenRecord, Ttl};
use crate::user::{PasswordHash, UserRecord};

/// The token of this name.
pub(super) fn token(connection: &Connection, name: &TokenName) -> Result<Option<TokenRecord>, StoreError> {
    let sql = format!("SELECT {TOKEN_COLUMNS} FROM tokens WHERE name = ?1");
    one(connection.prepare_cached(&sql)?.query_row([name.as_str()], |row| Ok(read_token(row))))
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

/// How many tokens a filter lets through.
pub(super) fn count_tokens(connection: &Connection, filter: &TokenFilter) -> Result<u64, StoreError> {
    let (conditions, values) = filter.conditions().sql();
    let sql = format!("SELECT count(*) FROM tokens WHERE {conditions}");
    let count: i64 =
        connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// How many tokens of each kind never expire. A kind without any, or that is not known, is left out.
pub(super) fn never_expiring(connection: &Connection) -> Result<Vec<(TokenKind, u64)>, StoreError> {
    let sql = "SELECT kind, count(*) FROM tokens WHERE ttl = 0 GROUP BY kind";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let counts = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(counts
        .into_iter()
        .filter_map(|(kind, count)| Some((TokenKind::from_text(&kind)?, count.unsigned_abs())))
        .collect())
}

/// Whether there is any user, sound or corrupt.
pub(super) fn has_users(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM users)")?.query_row([], |row| row.get(0))?)
}

fn one<T>(row: rusqlite::Result<Result<T, StoreError>>) -> Result<Option<T>, StoreError> {
    row.optional()?.transpose()
}

/// What [`read_token`] reads.
pub(super) const TOKEN_COLUMNS: &str = "name, user_id, kind, description, created_at, ttl, enabled, stored_key, \
    last_used_at, last_used_address, last_used_user_agent, lease_until, replaced_by, cluster, \
    (SELECT enabled FROM features WHERE name = 'token-hashing')";

/// What [`read_user`] reads.
pub(super) const USER_COLUMNS: &str = "id, name, groups, admin, enabled, created_at, password";

pub(super) fn read_token(row: &Row<'_>) -> Result<TokenRecord, StoreError> {
    let columns = Columns::of(row, "token");
    Ok(TokenRecord {
        name: columns.parsed(0, "name", |text| TokenName::try_from(text).ok())?,
        user_id: columns.parsed(1, "user id", |text| UserId::try_from(text).ok())?,
        kind: columns.parsed(2, "kind", TokenKind::from_text)?,
        description: columns.value(3, "description")?,
        created_at: UnixMillis(columns.millis(4, "creation time")?),
        ttl: Ttl(columns.millis(5, "lifetime")?),
        enabled: columns.value(6, "enabled")?,
        hash: columns.parsed(
            7,
            "key",
            if columns.value(14, "store's hashing")? { hash } else { hash_of_key },
        )?,
        last_used: last_use(&columns)?,
        lease_until: columns.millis_if_any(11, "lease")?.map(UnixMillis),
        replaced_by: columns.parsed_if_any(12, "successor", |text| TokenName::try_from(text).ok())?,
        cluster: columns.parsed_if_any(13, "cluster", |text| ClusterId::try_from(text).ok())?,
    })
}

pub(super) fn read_user(row: &Row<'_>) -> Result<UserRecord, StoreError> {
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

/// Once hashing is on, a key in clear is nothing that we wrote.
fn hash(text: &str) -> Option<KeyHash> {
    KeyHash::try_from(text).ok()
}

/// A key that is stored in clear is hashed here, so that nothing beyond this room ever holds one.
fn hash_of_key(text: &str) -> Option<KeyHash> {
    hash(text).or_else(|| KeyHash::sha256(&TokenKey::try_from(text).ok()?).ok())
}

fn last_use(columns: &Columns<'_>) -> Result<Option<LastUse>, StoreError> {
    let Some(at) = columns.millis_if_any(8, "time of use")? else { return Ok(None) };
    let address: Option<String> = columns.value(9, "client's address")?;
    let user_agent: Option<String> = columns.value(10, "client's user agent")?;
    let (address, user_agent) = (address.unwrap_or_default(), user_agent.unwrap_or_default());
    Ok(Some(LastUse { at: UnixMillis(at), address, user_agent }))
}

fn groups(json: &str) -> Option<Vec<Group>> {
    let names: Vec<String> = serde_json::from_str(json).ok()?;
    names.iter().map(|name| Group::try_from(name.as_str()).ok()).collect()
}

/// A row under suspicion: reading a column either gives its value or says which row is corrupt, and where.
pub(super) struct Columns<'r> {
    row: &'r Row<'r>,
    what: &'static str,
}

impl<'r> Columns<'r> {
    pub(super) fn of(row: &'r Row<'r>, what: &'static str) -> Self {
        Self { row, what }
    }

    pub(super) fn value<T: FromSql>(&self, index: usize, column: &str) -> Result<T, StoreError> {
        self.row.get(index).map_err(|_| self.corrupt(column))
    }

    pub(super) fn parsed<T>(
        &self,
        index: usize,
        column: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text: String = self.value(index, column)?;
        parse(&text).ok_or_else(|| self.corrupt(column))
    }

    pub(super) fn millis(&self, index: usize, column: &str) -> Result<u64, StoreError> {
        u64::try_from(self.value::<i64>(index, column)?).map_err(|_| self.corrupt(column))
    }

    pub(super) fn parsed_if_any<T>(
        &self,
        index: usize,
        column: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.value(index, column)?;
        text.map(|text| parse(&text).ok_or_else(|| self.corrupt(column))).transpose()
    }

    fn millis_if_any(&self, index: usize, column: &str) -> Result<Option<u64>, StoreError> {
        let millis: Option<i64> = self.value(index, column)?;
        millis.map(|millis| u64::try_from(millis).map_err(|_| self.corrupt(column))).transpose()
    }

    /// Names the row by its key (the first column) and the column by `column`, and shows no other value: a hash
    /// belongs in no log.
    fn corrupt(&self, column: &str) -> StoreError {
        let key = match self.row.get_ref(0) {
            Ok(ValueRef::Text(key)) => String::from_utf8_lossy(key).into_owned(),
            Ok(ValueRef::Integer(key)) => key.to_string(),
            _ => "of unreadable key".to_owned(),
        };
        let key: String = key.escape_debug().take(64).collect();
        StoreError::Corrupt {
            row: format!("{} {key}", self.what),
            reason: format!("its {column} is not valid"),
        }
    }
}
