//! Rows put into a gate's database behind its back, as an import from elsewhere would.

use rusqlite::Connection;

use super::gate::Gate;

/// The gate's database.
pub(crate) fn open(gate: &Gate) -> Connection {
    Connection::open(gate.data_directory().join("portcullis.db")).unwrap()
}

/// A copy of the token `original` under another name, as another kind if one is given, with another hash of its key if
/// one is given.
pub(crate) fn copy_token(gate: &Gate, original: &str, name: &str, kind: Option<&str>, hash: Option<&str>) {
    let sql = "INSERT INTO tokens (name, user_id, kind, description, created_at, ttl, enabled, stored_key)
               SELECT ?1, user_id, coalesce(?2, kind), description, created_at, ttl, enabled, coalesce(?3, stored_key)
               FROM tokens WHERE name = ?4";
    assert_eq!(open(gate).execute(sql, (name, kind, hash, original)).unwrap(), 1);
}
