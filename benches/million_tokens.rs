//! What a million tokens cost the real binary: its start, its memory, the first use of a token it has not in memory, a
//! page of a list, and the purge of those that have expired.
//!
//! `cargo bench --bench million_tokens`; with `-- 10000` as many tokens as that. Prints a table. What it printed on a
//! known machine stands in docs/performance.md. Start, memory and uses beside stores of other sizes are a scenario of
//! `make bench`.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::print_stderr, clippy::format_push_string)]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portcullis::clock;
use rusqlite::Connection;

mod filling;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "tests need more of it")]
mod support;

use filling::{DAY, Filling};
use support::gate::Settings;
use support::rig::Rig;

const TARGET: &str = "/api/v1/namespaces/default/pods";
const COLD_USES: usize = 1_000;
const PAGES: usize = 50;

fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let tokens = asked.unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(run(tokens));
}

async fn run(tokens: usize) {
    let settings = Settings { log_level: "warn", ..Settings::default() };
    let mut rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    let empty = rig.gate.resident_kib();
    stop(&mut rig).await;
    let begun = Instant::now();
    let database = rig.gate.data_directory().join("portcullis.db");
    let bearers = Filling { tokens, bearers: COLD_USES, has_expired: true }.fill(&database);
    // Cargo builds the bench and the program that it starts in the same way.
    row("build", if cfg!(debug_assertions) { "for development" } else { "optimised" });
    row("tokens in the store", &tokens.to_string());
    row("made in", &seconds(begun.elapsed()));
    row("size of the database", &mebibytes(std::fs::metadata(&database).unwrap().len()));

    let begun = Instant::now();
    rig.gate.restart().await;
    row("start to ready", &seconds(begun.elapsed()));
    row("resident memory of an empty server, after logins", &mebibytes(empty * 1024));
    row("resident memory, ready", &mebibytes(rig.gate.resident_kib() * 1024));

    uses(&rig, "first use of a token", &bearers).await;
    uses(&rig, "second use of a token", &bearers).await;
    row("resident memory, 1,000 tokens used", &mebibytes(rig.gate.resident_kib() * 1024));
    for sort in ["name", "created", "expiresAt", "lastUsedAt"] {
        for limit in [100, 1000] {
            pages(&rig, sort, limit).await;
        }
    }
    row("resident memory, lists read", &mebibytes(rig.gate.resident_kib() * 1024));
    stop(&mut rig).await;
    purge(&mut rig, &bearers).await;
    // The rig looks through every file for secrets at its end.
    std::fs::remove_file(database).unwrap();
}

async fn uses(rig: &Rig, what: &str, bearers: &[String]) {
    percentiles(what, times_of_uses(rig, bearers).await);
}

/// One use of each, one after the other on one connection.
async fn times_of_uses(rig: &Rig, bearers: &[String]) -> Vec<Duration> {
    let client = rig.http2().await;
    let mut times = Vec::new();
    for bearer in bearers {
        let authorization = format!("Bearer {bearer}");
        let lines = [("authorization", authorization.as_str())];
        let begun = Instant::now();
        let response = client.request("GET", TARGET, &lines, b"").await.unwrap();
        times.push(begun.elapsed());
        assert_eq!(response.status, 200, "{}", response.text());
    }
    times
}

/// Pages of the list of all tokens, each from the one before: the first, and those that follow it.
async fn pages(rig: &Rig, sort: &str, limit: usize) {
    let client = rig.http2().await;
    let authorization = format!("Bearer {}", rig.admin());
    let lines = [("authorization", authorization.as_str()), ("accept", "application/json")];
    let mut target = format!("/v3/tokens?sort={sort}&limit={limit}");
    let mut times = Vec::new();
    for _ in 0..PAGES {
        let begun = Instant::now();
        let response = client.request("GET", &target, &lines, b"").await.unwrap();
        times.push(begun.elapsed());
        assert_eq!(response.status, 200, "{}", response.text());
        let page = response.json();
        assert!(page["data"].as_array().unwrap().len() <= limit);
        let Some(next) = page["pagination"]["next"].as_str() else { break };
        target = next.split_once("/v3/").map(|(_, rest)| format!("/v3/{rest}")).unwrap();
    }
    percentiles(&format!("page of {limit} by {sort}"), times);
}

/// What expired long ago is deleted from the start on, in small parts. Tokens are used meanwhile.
async fn purge(rig: &mut Rig, bearers: &[String]) {
    let database = Connection::open(rig.gate.data_directory().join("portcullis.db")).unwrap();
    let now = i64::try_from(clock::now().0).unwrap();
    let sql = "UPDATE tokens SET created_at = created_at - ?1 WHERE expires_at < ?2";
    let expired = database.execute(sql, (3 * DAY, now)).unwrap();
    row("expired tokens to purge", &expired.to_string());
    let begun = Instant::now();
    rig.gate.restart().await;
    row("start to ready, with them", &seconds(begun.elapsed()));
    let left = || {
        let sql = "SELECT EXISTS (SELECT 1 FROM tokens WHERE expiry_order < ?1)";
        database.query_row(sql, [now - DAY], |row| row.get::<_, bool>(0)).unwrap()
    };
    let mut times = Vec::new();
    while left() {
        times.extend(times_of_uses(rig, &bearers[..bearers.len().min(100)]).await);
    }
    row("start to purged", &seconds(begun.elapsed()));
    percentiles("use of a token meanwhile", times);
}

async fn stop(rig: &mut Rig) {
    rig.gate.signal(Signal::SIGTERM);
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

fn percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| milliseconds(times[(times.len() * percent / 100).min(times.len() - 1)]);
    row(what, &format!("p50 {}, p99 {}, most {} ({} times)", at(50), at(99), at(100), times.len()));
}

fn row(what: &str, value: &str) {
    println!("| {what} | {value} |");
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}
