//! A gate that is killed in the middle of its work: what it has acknowledged is true after the next start.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gate::Settings;
use crate::support::rig::{Rig, login};
use crate::support::wire::Http2;

const ROUNDS: u64 = 200;
const CREATORS: usize = 4;

/// What was acknowledged: bearers of tokens made, and of tokens deleted.
#[derive(Default)]
struct Acknowledged {
    made: Vec<String>,
    deleted: Vec<String>,
}

#[tokio::test]
async fn every_acknowledged_token_works_after_kill_and_every_deleted_one_stays_dead() {
    let settings = Settings { log_level: "warn", ..Settings::default() };
    let mut rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    let account = rig.account("alice", &[]).await;
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let made = Arc::new(Mutex::new(Acknowledged::default()));
        let session = login(&rig.gate, "alice", &account.password).await;
        let mut creators = JoinSet::new();
        for _ in 0..CREATORS {
            creators.spawn(create_until_it_dies(rig.http2().await, session.clone(), Arc::clone(&made)));
        }
        // A moment that differs from round to round, so that each step of a write is hit in some.
        tokio::time::sleep(Duration::from_micros(2_000 + round * 97 % 20_000)).await;
        rig.gate.signal(Signal::SIGKILL);
        assert_eq!(rig.gate.exit_code().await, None);
        creators.join_all().await;
        rig.gate.restart().await;

        let made = std::mem::take(&mut *made.lock().unwrap());
        acknowledged += made.made.len() + made.deleted.len();
        for bearer in made.made {
            assert_eq!(status(&rig, &bearer).await, 200, "round {round}: an acknowledged token is lost");
        }
        for bearer in made.deleted {
            assert_eq!(status(&rig, &bearer).await, 401, "round {round}: a deleted token is back");
        }
    }
    assert!(acknowledged as u64 > ROUNDS, "only {acknowledged} writes were acknowledged in {ROUNDS} rounds");
    let database = rusqlite::Connection::open(rig.gate.data_directory().join("portcullis.db")).unwrap();
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// Makes tokens, and deletes every third, until the gate no longer answers.
async fn create_until_it_dies(client: Http2, session: String, acknowledged: Arc<Mutex<Acknowledged>>) {
    let authorization = format!("Bearer {session}");
    let lines = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = json!({ "ttl": 0, "description": "made before a crash" }).to_string();
    for number in 0.. {
        let Ok(response) = client.request("POST", "/v3/tokens", &lines, body.as_bytes()).await else {
            return;
        };
        if response.status != 201 || response.broken.is_some() {
            return;
        }
        let token: Value = response.json();
        let bearer = token["token"].as_str().unwrap().to_owned();
        if number % 3 != 2 {
            acknowledged.lock().unwrap().made.push(bearer);
            continue;
        }
        // Until its deletion is acknowledged it may be there or not.
        let target = format!("/v3/tokens/{}", token["id"].as_str().unwrap());
        match client.request("DELETE", &target, &lines, b"").await {
            Ok(response) if response.status == 204 => acknowledged.lock().unwrap().deleted.push(bearer),
            _ => return,
        }
    }
}

async fn status(rig: &Rig, bearer: &str) -> u16 {
    let authorization = format!("Bearer {bearer}");
    rig.http1().await.request("GET", "/api/v1/pods", &[("Authorization", &authorization)], b"").await.status
}
