//! Writes to tokens. Whatever such a write depends on is looked up in its own transaction.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::effect::Effect;
use super::query::TokenFilter;
use super::write::constraint_error;
use super::{Change, StoreError, clusters, hashing, integer};
use crate::clock::UnixMillis;
use crate::identity::ClusterId;
use crate::token::{LastUse, TokenKey, TokenKind, TokenName, TokenRecord, Ttl};

/// A token to be added.
#[derive(Debug, Clone)]
pub struct Insertion {
    /// The token.
    pub record: TokenRecord,
    /// Its key, which is what is stored while hashing is off; `None` if nothing but the hash is known.
    pub key: Option<TokenKey>,
    /// How many tokens the owner may have with this one, the expired ones and the sessions not counted.
    pub quota: Option<u64>,
}

/// What to change about a token; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct TokenUpdate {
    /// Whether it is switched on.
    pub enabled: Option<bool>,
    /// Free text of its owner.
    pub description: Option<String>,
    /// A shorter life, counted from its creation.
    pub ttl: Option<Ttl>,
    /// A later end of its lease; a token without a lease gets none.
    pub lease_until: Option<UnixMillis>,
}

/// A part of the tokens that a filter lets through, in the order of their names.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// Which.
    pub filter: TokenFilter,
    /// After this one: the last of the part before.
    pub after: Option<TokenName>,
    /// How many at most. Writes wait while one is done, so a part is up to [`MAX_BULK`].
    pub limit: u32,
}

/// When a token was used.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Which token.
    pub token: TokenName,
    /// When, and by whom.
    pub last_use: LastUse,
}

pub(super) fn insert(connection: &Connection, insertion: &Insertion) -> Result<Effect, StoreError> {
    let token = &insertion.record;
    check_quota(connection, token, insertion.quota)?;
    // Those of the configuration are not here: whoever asks has looked there.
    let is_added = |id: &&ClusterId| id.is_generated();
    if let Some(id) = token.cluster.as_ref().filter(is_added)
        && !clusters::exists(connection, id)?
    {
        return Err(StoreError::UnknownCluster);
    }
    let hash = token.hash.to_string();
    // Asked here, in the transaction: no clear key comes after the one that hashed all there were.
    let stored_key = match &insertion.key {
        Some(key) if !hashing::is_on(connection)? => key.expose(),
        _ => &hash,
    };
    connection
        .prepare_cached(
            "INSERT INTO tokens (name, user_id, kind, description, created_at, ttl, enabled, stored_key,
             last_used_at, last_used_address, last_used_user_agent, lease_until, replaced_by, cluster)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            token.name.as_str(),
            token.user_id.as_str(),
            token.kind.as_str(),
            token.description,
            integer(token.created_at.0),
            integer(token.ttl.0),
            token.enabled,
            stored_key,
            token.last_used.as_ref().map(|last_use| integer(last_use.at.0)),
            token.last_used.as_ref().map(|last_use| &last_use.address),
            token.last_used.as_ref().map(|last_use| &last_use.user_agent),
            token.lease_until.map(|end| integer(end.0)),
            token.replaced_by.as_ref().map(TokenName::as_str),
            token.cluster.as_ref().map(ClusterId::as_str),
        ])
        .map_err(constraint_error)?;
    Ok(Effect::of_token(&token.name, 1))
}

pub(super) fn update(
    connection: &Connection,
    name: &TokenName,
    update: &TokenUpdate,
) -> Result<Effect, StoreError> {
    if let Some(ttl) = update.ttl {
        let Some(now) = ttl_of(connection, name)? else { return Ok(Effect::default()) };
        let shorter = now == 0 || ttl.0 <= now;
        if ttl == Ttl(0) && now != 0 || ttl != Ttl(0) && !shorter {
            return Err(StoreError::TtlNotShorter);
        }
    }
    let rows = connection
        .prepare_cached(
            "UPDATE tokens SET enabled = coalesce(?2, enabled), description = coalesce(?3, description),
             ttl = coalesce(?4, ttl), lease_until = iif(lease_until IS NULL, NULL, coalesce(?5, lease_until))
             WHERE name = ?1",
        )?
        .execute(params![
            name.as_str(),
            update.enabled,
            update.description,
            update.ttl.map(|ttl| integer(ttl.0)),
            update.lease_until.map(|end| integer(end.0)),
        ])?;
    Ok(Effect::of_token(name, rows))
}

/// Adds the successor, notes it in the old token, and lets that one live until `ends_at` at most.
pub(super) fn rotate(
    connection: &Connection,
    old: &TokenName,
    successor: &Insertion,
    ends_at: UnixMillis,
) -> Result<Effect, StoreError> {
    let found: Option<Option<String>> = connection
        .prepare_cached("SELECT replaced_by FROM tokens WHERE name = ?1")?
        .query_row([old.as_str()], |row| row.get(0))
        .optional()?;
    match found {
        None => return Ok(Effect::default()),
        Some(Some(_)) => return Err(StoreError::AlreadyReplaced),
        Some(None) => {}
    }
    // A lifetime of 0 would be for ever.
    connection
        .prepare_cached(
            "UPDATE tokens SET replaced_by = ?2,
             ttl = iif(expiry_order <= ?3, ttl, max(1, ?3 - created_at)) WHERE name = ?1",
        )?
        .execute(params![old.as_str(), successor.record.name.as_str(), integer(ends_at.0)])?;
    insert(connection, successor)?;
    Ok(Effect::of_tokens(vec![successor.record.name.clone(), old.clone()]))
}

pub(super) fn delete(connection: &Connection, name: &TokenName) -> Result<Effect, StoreError> {
    let rows = connection.prepare_cached("DELETE FROM tokens WHERE name = ?1")?.execute([name.as_str()])?;
    Ok(Effect::of_token(name, rows))
}

/// The token is gone as any that was deleted. Those who hear of it can tell that it was its holder's wish.
pub(super) fn log_out(connection: &Connection, name: &TokenName) -> Result<Effect, StoreError> {
    let mut effect = delete(connection, name)?;
    effect.changes = effect.committed.tokens.iter().cloned().map(Change::LoggedOut).collect();
    Ok(effect)
}

pub(super) fn delete_many(connection: &Connection, bulk: &Bulk) -> Result<Effect, StoreError> {
    let names = bulk.names(connection, None)?;
    let mut statement = connection.prepare_cached("DELETE FROM tokens WHERE name = ?1")?;
    for name in &names {
        statement.execute([name])?;
    }
    Ok(Effect::of_tokens(parsed(&names)))
}

/// Makes those that live longer than `ttl` live as long as that. Never lengthens one.
pub(super) fn shorten_many(connection: &Connection, bulk: &Bulk, ttl: Ttl) -> Result<Effect, StoreError> {
    let names = bulk.names(connection, Some(ttl))?;
    let mut statement = connection.prepare_cached("UPDATE tokens SET ttl = ?2 WHERE name = ?1")?;
    for name in &names {
        statement.execute(params![name, integer(ttl.0)])?;
    }
    Ok(Effect::of_tokens(parsed(&names)))
}

/// Deletes what expired before `before`, the longest ago first.
pub(super) fn purge_expired(
    connection: &Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<Effect, StoreError> {
    delete_chosen(connection, EXPIRED, before, limit)
}

/// Deletes those whose lease has ended at `now`.
pub(super) fn end_leases(connection: &Connection, now: UnixMillis, limit: u32) -> Result<Effect, StoreError> {
    delete_chosen(connection, LEASE_ENDED, now, limit)
}

/// Notes uses. Nobody need hear of it: no cache decides anything by the last use. Those of tokens that are gone are
/// left out, and so are those that are older than the one that is known.
pub(super) fn note_usage(connection: &Connection, usages: &[Usage]) -> Result<Effect, StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE tokens SET last_used_at = ?2, last_used_address = ?3, last_used_user_agent = ?4
         WHERE name = ?1 AND last_used_order < ?2",
    )?;
    let mut count = 0;
    for Usage { token, last_use } in usages {
        count += statement.execute(params![
            token.as_str(),
            integer(last_use.at.0),
            last_use.address,
            last_use.user_agent
        ])?;
    }
    Ok(Effect::new(Vec::new(), count))
}

impl Bulk {
    /// The names of this part, and only of those that live longer than `longer_than`. As they are stored: what can't
    /// be parsed can be deleted.
    fn names(&self, connection: &Connection, longer_than: Option<Ttl>) -> Result<Vec<String>, StoreError> {
        let mut conditions = self.filter.conditions();
        if let Some(ttl) = longer_than {
            conditions.add("(ttl = 0 OR ttl > ?)", integer(ttl.0));
        }
        if let Some(after) = &self.after {
            conditions.add("name > ?", after.as_str().to_owned());
        }
        let (conditions, mut values) = conditions.sql();
        let limit = self.limit.clamp(1, MAX_BULK);
        values.push(Value::from(limit));
        let sql = format!("SELECT name FROM tokens WHERE {conditions} ORDER BY name LIMIT ?");
        let mut statement = connection.prepare_cached(&sql)?;
        let names = statement.query_map(params_from_iter(values), |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }
}

fn delete_chosen(
    connection: &Connection,
    chosen: &str,
    moment: UnixMillis,
    limit: u32,
) -> Result<Effect, StoreError> {
    let sql = format!("DELETE FROM tokens WHERE rowid IN ({chosen}) RETURNING name");
    let mut statement = connection.prepare_cached(&sql)?;
    let limit = limit.clamp(1, MAX_BULK);
    let names = statement.query_map(params![integer(moment.0), limit], |row| row.get::<_, String>(0))?;
    Ok(Effect::of_tokens(parsed(&names.collect::<Result<Vec<_>, _>>()?)))
}

/// A name that can't be parsed is in no cache.
pub(super) fn parsed(names: &[String]) -> Vec<TokenName> {
    names.iter().filter_map(|name| TokenName::try_from(name.as_str()).ok()).collect()
}

fn ttl_of(connection: &Connection, name: &TokenName) -> Result<Option<u64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT ttl FROM tokens WHERE name = ?1")?;
    let found: Option<i64> = statement.query_row([name.as_str()], |row| row.get(0)).optional()?;
    Ok(found.map(|ttl| u64::try_from(ttl).unwrap_or(0)))
}

/// In the transaction of the insertion, so that no two requests can both be the last one.
fn check_quota(connection: &Connection, token: &TokenRecord, quota: Option<u64>) -> Result<(), StoreError> {
    let Some(quota) = quota else { return Ok(()) };
    let owned: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM tokens
             WHERE user_id = ?1 AND expiry_order > ?2 AND kind <> ?3 LIMIT ?4)",
        )?
        .query_row(
            params![
                token.user_id.as_str(),
                integer(token.created_at.0),
                TokenKind::Session.as_str(),
                integer(quota)
            ],
            |row| row.get(0),
        )?;
    if owned < integer(quota) { Ok(()) } else { Err(StoreError::QuotaReached { quota }) }
}

const EXPIRED: &str = "SELECT rowid FROM tokens WHERE expiry_order < ?1 ORDER BY expiry_order LIMIT ?2";
const LEASE_ENDED: &str = "SELECT rowid FROM tokens WHERE lease_until <= ?1 ORDER BY lease_until LIMIT ?2";

/// Tokens that one write deletes or changes at most.
pub const MAX_BULK: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;
    use crate::store::testing::TempDir;

    #[test]
    fn what_has_ended_is_found_without_reading_the_rest() {
        let dir = TempDir::new();
        let path = schema::prepare_files(dir.path()).unwrap();
        let connection = schema::open_writer(&path, None).unwrap();
        for (chosen, index) in [(EXPIRED, "tokens_by_expiry"), (LEASE_ENDED, "tokens_with_a_lease")] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {chosen}")).unwrap();
            let steps = statement.query_map([1, 1], |row| row.get(3)).unwrap();
            let plan = steps.collect::<Result<Vec<String>, _>>().unwrap().join("; ");
            assert!(plan.starts_with("SEARCH") && plan.contains(index) && !plan.contains("TEMP"), "{plan}");
        }
    }
}
