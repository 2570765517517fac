//! Settings as they were set: names and texts. What they mean, and which are valid, is known above.

use rusqlite::{Connection, params};

use super::effect::Effect;
use super::{Change, StoreError, integer};
use crate::clock::{self, UnixMillis};

/// A setting that was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSetting {
    /// Which.
    pub name: String,
    /// What it was set to.
    pub value: String,
    /// When.
    pub updated_at: UnixMillis,
}

/// All that were set, by name.
pub(super) fn all(connection: &Connection) -> Result<Vec<StoredSetting>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT name, value, updated_at FROM settings ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        let updated_at: i64 = row.get(2)?;
        let updated_at = UnixMillis(u64::try_from(updated_at).unwrap_or(0));
        Ok(StoredSetting { name: row.get(0)?, value: row.get(1)?, updated_at })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sets those that have a value, and forgets those that have none.
pub(super) fn set(
    connection: &Connection,
    values: &[(String, Option<String>)],
) -> Result<Effect, StoreError> {
    let mut count = 0;
    for (name, value) in values {
        count += match value {
            Some(value) => connection
                .prepare_cached(
                    "INSERT INTO settings (name, value, updated_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (name) DO UPDATE SET value = ?2, updated_at = ?3",
                )?
                .execute(params![name, value, integer(clock::now().0)])?,
            None => connection.prepare_cached("DELETE FROM settings WHERE name = ?1")?.execute([name])?,
        };
    }
    let changes = (count > 0).then_some(Change::Settings).into_iter().collect();
    Ok(Effect::new(changes, count))
}
