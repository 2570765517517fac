//! Stores with many tokens, made by SQL: over the API a million of them would take an hour.

use std::path::Path;

use portcullis::clock;
use portcullis::token::{KeyHash, TokenKey};
use rusqlite::{Connection, params};

/// What a store is filled with: tokens of many users, half of them for kubeconfigs, most with an expiry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling {
    pub(crate) tokens: usize,
    /// How many of them are to be used, at most; spread over all.
    pub(crate) bearers: usize,
    /// Whether one in ten has expired.
    pub(crate) has_expired: bool,
}

/// The most users that own them.
const USERS: usize = 10_000;
/// One token in so many has expired, if any has.
const EXPIRED: usize = 10;
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1000;

impl Filling {
    /// Fills the database of a store that nobody has open. Gives the bearers that are to be used: of good tokens.
    pub(crate) fn fill(&self, database: &Path) -> Vec<String> {
        let mut database = Connection::open(database).unwrap();
        let now = i64::try_from(clock::now().0).unwrap();
        let transaction = database.transaction().unwrap();
        let users = self.tokens.clamp(1, USERS);
        insert_users(&transaction, users, now);
        let bearers = self.insert_tokens(&transaction, users, now);
        transaction.commit().unwrap();
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        bearers
    }

    fn insert_tokens(&self, database: &Connection, users: usize, now: i64) -> Vec<String> {
        let mut insert = database
            .prepare(
                "INSERT INTO tokens (name, user_id, kind, description, created_at, ttl, enabled, stored_key)
                 VALUES (?1, ?2, ?3, 'made by a bench', ?4, ?5, 1, ?6)",
            )
            .unwrap();
        let mut bearers = Vec::new();
        let every = self.tokens.checked_div(self.bearers).unwrap_or(1).max(1);
        for number in 0..self.tokens {
            let key = TokenKey::generate().unwrap();
            let owner = user_id(number % users);
            let (name, kind) = if number % 2 == 0 {
                (format!("token-n{number:07}"), "api-key")
            } else {
                (format!("kubeconfig-{owner}n{number:07}"), "kubeconfig")
            };
            let age = i64::try_from(number).unwrap() * 1000 % (60 * DAY);
            let is_expired = self.has_expired && number % EXPIRED == 3;
            let (created_at, ttl) = match number % 4 {
                _ if is_expired => (now - DAY - age % DAY, DAY),
                0 => (now - age, 0),
                _ => (now - age, 90 * DAY),
            };
            let hash = KeyHash::sha256(&key).unwrap().to_string();
            insert.execute(params![name, owner, kind, created_at, ttl, hash]).unwrap();
            if number % every == 0 && !is_expired && bearers.len() < self.bearers {
                bearers.push(format!("{name}:{}", key.expose()));
            }
        }
        bearers
    }
}

fn insert_users(database: &Connection, users: usize, now: i64) {
    let mut insert = database
        .prepare(
            "INSERT INTO users (id, name, groups, admin, enabled, created_at)
             VALUES (?1, ?2, '[\"dev\"]', 0, 1, ?3)",
        )
        .unwrap();
    for number in 0..users {
        insert.execute(params![user_id(number), format!("user {number}"), now]).unwrap();
    }
}

fn user_id(number: usize) -> String {
    format!("user-{number:05}")
}
