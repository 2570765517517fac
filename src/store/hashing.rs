//! The feature `token-hashing`: off, tokens are stored with their keys, as some stores that come from elsewhere are; on,
//! with hashes of them. It can be turned on and never off.

use rusqlite::Connection;

use super::StoreError;

/// Whether keys are stored hashed. Within a transaction that writes, it stays so until that ends.
pub(super) fn is_on(connection: &Connection) -> Result<bool, StoreError> {
    let sql = "SELECT enabled FROM features WHERE name = 'token-hashing'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Does what was asked for at the start. Only a store that is made now can be one without hashing.
pub(super) fn at_start(
    connection: &Connection,
    is_new: bool,
    wanted: Option<bool>,
) -> Result<(), StoreError> {
    match (wanted, is_new) {
        (Some(false), true) => {
            connection.execute("UPDATE features SET enabled = 0 WHERE name = 'token-hashing'", [])?;
        }
        (Some(false), false) if is_on(connection)? => return Err(StoreError::HashingIsOn),
        _ => {}
    }
    Ok(())
}
