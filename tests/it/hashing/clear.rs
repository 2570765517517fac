//! A store with keys in clear, as a faithful import from elsewhere leaves it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::signal::Signal;
use portcullis::token::{TokenKey, TokenKind};
use rusqlite::Connection;
use tokio::task::JoinSet;

use super::{in_clear, quiet};
use crate::support::directory::Directory;
use crate::support::gate::Gate;
use crate::support::rig::Rig;
use crate::support::wire::Http2;

const TOKENS: usize = 100_000;
const USERS: usize = 20;

/// Tokens that are tried at the same time.
const AT_ONCE: usize = 64;
const CONNECTIONS: usize = 4;

/// The store of before the switch, and what clients hold.
#[derive(Clone)]
pub(super) struct ClearStore {
    directory: Arc<Directory>,
    pub(super) tokens: Arc<Vec<ClearToken>>,
    /// The bearer of the first administrator.
    pub(super) administrator: String,
}

/// A token as its client has it.
pub(super) struct ClearToken {
    name: String,
    pub(super) key: String,
    kind: TokenKind,
}

/// How keys are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Clear,
    Hashed,
}

impl ClearStore {
    /// A gate that was started without hashing and runs on a full store.
    pub(super) async fn prepare() -> (Rig, Self) {
        let mut rig = Rig::with(&["h2", "http/1.1"], &in_clear()).await;
        let administrator = rig.admin().to_owned();
        rig.gate.signal(Signal::SIGTERM);
        assert_eq!(rig.gate.exit_code().await, Some(0));
        let tokens = Arc::new(fill(&rig.gate));
        let store = Self { directory: Arc::new(Directory::new()), tokens, administrator };
        std::fs::copy(database(&rig.gate), store.copy()).unwrap();
        rig.gate.configure(&quiet());
        rig.gate.restart().await;
        (rig, store)
    }

    /// Puts the store of before the switch in the place of that of a gate that does not run.
    pub(super) fn put_into(&self, gate: &Gate) {
        remove_from(gate);
        std::fs::copy(self.copy(), database(gate)).unwrap();
    }

    fn copy(&self) -> PathBuf {
        self.directory.path().join("clear.db")
    }

    /// How the keys are stored; it is the same for all.
    pub(super) fn state(&self, gate: &Gate) -> State {
        let sql = "SELECT count(*) FILTER (WHERE stored_key LIKE '$2:%'), count(*) FROM tokens";
        let counts = open(&database(gate)).query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (hashed, all): (i64, i64) = counts.unwrap();
        assert!(all >= i64::try_from(self.tokens.len()).unwrap(), "{all} tokens are left");
        match hashed {
            0 => State::Clear,
            hashed => {
                assert_eq!(hashed, all, "some keys are hashed, and some are not");
                State::Hashed
            }
        }
    }

    /// Clients get through with `count` tokens, chosen by chance.
    pub(super) async fn some_are_good(&self, gate: &Gate, count: usize) {
        let chosen = (0..count).map(|_| usize::try_from(random()).unwrap() % self.tokens.len());
        self.are_good(gate, chosen.collect()).await;
    }

    /// Clients get through with every token.
    pub(super) async fn all_are_good(&self, gate: &Gate) {
        self.are_good(gate, (0..self.tokens.len()).collect()).await;
    }

    async fn are_good(&self, gate: &Gate, chosen: Vec<usize>) {
        let chosen = Arc::new(chosen);
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Http2::connect(&gate.endpoint).await);
        }
        let mut tries = JoinSet::new();
        for (lane, client) in clients.into_iter().cycle().take(AT_ONCE).enumerate() {
            let (tokens, chosen) = (Arc::clone(&self.tokens), Arc::clone(&chosen));
            tries.spawn(async move {
                for index in chosen.iter().skip(lane).step_by(AT_ONCE) {
                    try_one(&client, &tokens[*index]).await;
                }
            });
        }
        tries.join_all().await;
    }
}

/// Removes the store of a gate that does not run, with its backups.
pub(super) fn remove_from(gate: &Gate) {
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", database(gate).display());
        // There may be none.
        let _ = std::fs::remove_file(file);
    }
    let _ = std::fs::remove_dir_all(gate.directory().join("data-backups"));
}

async fn try_one(client: &Http2, token: &ClearToken) {
    let authorization = format!("Bearer {}:{}", token.name, token.key);
    // Tokens of this kind open nothing else.
    let target = if token.kind == TokenKind::Telemetry { "/metrics" } else { "/api/v1/pods" };
    let response = client.request("GET", target, &[("authorization", &authorization)], b"").await;
    assert_eq!(response.unwrap().status, 200, "{}", token.name);
}

/// Makes users and tokens of every kind, with keys in clear, in the database of a gate that does not run.
fn fill(gate: &Gate) -> Vec<ClearToken> {
    let database = open(&database(gate));
    database.execute_batch("BEGIN").unwrap();
    for number in 0..USERS {
        let sql = "INSERT INTO users (id, name, groups, admin, enabled, created_at)
             VALUES (?1, ?2, '[\"dev\"]', 0, 1, unixepoch() * 1000)";
        database.execute(sql, (user(number), format!("somebody-{number}"))).unwrap();
    }
    let sql = "INSERT INTO tokens (name, user_id, kind, description, created_at, ttl, enabled, stored_key)
         VALUES (?1, ?2, ?3, 'from elsewhere', unixepoch() * 1000, 0, 1, ?4)";
    let mut insert = database.prepare(sql).unwrap();
    let mut tokens = Vec::with_capacity(TOKENS);
    for number in 0..TOKENS {
        let kind = TokenKind::ALL[number % TokenKind::ALL.len()];
        let rules = kind.rules();
        let owner = user(number % USERS);
        let of_owner = if rules.names_owner { owner.as_str() } else { "" };
        let name = format!("{}{of_owner}{}", rules.prefix, six(number));
        let key = TokenKey::generate().unwrap().expose().to_owned();
        insert.execute((&name, &owner, kind.as_str(), &key)).unwrap();
        tokens.push(ClearToken { name, key, kind });
    }
    drop(insert);
    database.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    tokens
}

fn user(number: usize) -> String {
    format!("user-{}", six(number))
}

/// Five characters as names end in, different for each number.
/// One letter longer than what a gate draws: none of these can be a name that it has drawn.
fn six(number: usize) -> String {
    let alphabet = b"bcdfghjklmnpqrstvwxz2456789";
    let digit = |place: u32| char::from(alphabet[number / alphabet.len().pow(place) % alphabet.len()]);
    (0..6).map(digit).collect()
}

fn open(database: &Path) -> Connection {
    Connection::open(database).unwrap()
}

fn database(gate: &Gate) -> PathBuf {
    gate.data_directory().join("portcullis.db")
}

pub(super) fn random() -> u32 {
    getrandom::u32().unwrap()
}
