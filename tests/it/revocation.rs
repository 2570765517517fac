//! A token that was deleted, or whose user was disabled, is good for nothing from the moment the API says so.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::expect;
use crate::support::gate::Settings;
use crate::support::rig::Rig;
use crate::support::wire::Http2;
use crate::support::within;

const TARGET: &str = "/api/v1/pods";
const ROUNDS: usize = 10_000;
const LANES: usize = 8;

/// Nearly every use is a cache miss, so that loads from the store and deletions meet.
async fn forgetful() -> Arc<Rig> {
    let limits = vec![("tokenCacheEntries", "1")];
    Arc::new(
        Rig::with(&["h2", "http/1.1"], &Settings { log_level: "warn", limits, ..Settings::default() }).await,
    )
}

/// Another address each fifty rounds: a hundred refusals from one place are answered at once, further ones are taken for
/// guesses and held back.
fn source(lane: usize, round: usize) -> Ipv4Addr {
    let byte = |number: usize| u8::try_from(number).unwrap();
    Ipv4Addr::new(127, 1, byte(lane), byte(1 + round / 50))
}

#[tokio::test]
async fn no_use_of_a_token_that_begins_after_its_acknowledged_deletion_succeeds() {
    let rig = forgetful().await;
    let owner = rig.account("alice", &[]).await;
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let (rig, owner) = (Arc::clone(&rig), owner.authorization());
        lanes.spawn(async move {
            // A 401 ends an HTTP/2 connection, so each round's last use has one of its own.
            let client = rig.http2().await;
            for round in 0..ROUNDS / LANES {
                let (name, bearer) = create(&client, &owner).await;
                let authorization = format!("Bearer {bearer}");
                let connection = Http2::connect_from(&rig.gate.endpoint, source(lane, round)).await;
                let uses = hammer(connection, authorization.clone());
                let deleted =
                    request(&client, "DELETE", &format!("/v3/tokens/{name}"), &owner, &Value::Null).await;
                uses.acknowledged.store(true, Ordering::SeqCst);
                // Asked a second time, the token is no longer there.
                assert!(matches!(deleted.0, 204 | 404), "{deleted:?}");
                let late = within("the uses to end", uses.task).await.unwrap();
                assert_eq!(late, 401, "a use that began after the acknowledgement of {name}");
            }
        });
    }
    lanes.join_all().await;
}

#[tokio::test]
async fn no_use_of_a_token_that_begins_after_its_user_was_disabled_succeeds() {
    let rig = forgetful().await;
    let account = rig.account("alice", &[]).await;
    let (admin, target) = (format!("Bearer {}", rig.admin()), format!("/v3/users/{}", account.user_id));
    let client = rig.http2().await;
    for _ in 0..ROUNDS / 20 {
        let uses = hammer(rig.http2().await, account.authorization());
        let disabled = request(&client, "PUT", &target, &admin, &json!({ "enabled": false })).await;
        uses.acknowledged.store(true, Ordering::SeqCst);
        assert_eq!(disabled.0, 200, "{}", disabled.1);
        assert_eq!(within("the uses to end", uses.task).await.unwrap(), 401);
        let enabled = request(&client, "PUT", &target, &admin, &json!({ "enabled": true })).await;
        assert_eq!(enabled.0, 200);
        let lines = [("authorization", account.authorization())];
        let lines = [(lines[0].0, lines[0].1.as_str())];
        assert_eq!(rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_change_of_groups_is_in_the_next_request() {
    let rig = Rig::start().await;
    let mut account = rig.account("alice", &["first"]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let user = format!("/v3/users/{}", account.user_id);
    for groups in [vec!["second", "third"], vec![], vec!["fourth"]] {
        let changed = rig.api("PUT", &user, rig.admin(), &json!({ "groups": groups })).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        account.groups = groups.into_iter().map(str::to_owned).collect();
        rig.stub.forget();
        assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
        expect::exactly(&rig.stub.only(), &account, rig.stub.port, &[]);
    }
}

#[tokio::test]
async fn a_deleted_user_takes_the_tokens_along() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    let user = format!("/v3/users/{}", account.user_id);
    assert!(matches!(rig.api("DELETE", &user, rig.admin(), &Value::Null).await.status, 200 | 204));
    expect::unauthorized(&rig.http1().await.request("GET", TARGET, &lines, b"").await);
    expect::unauthorized(&rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap());
}

#[tokio::test]
async fn a_token_is_good_until_its_end_and_not_after() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let (_, bearer) = rig.token(&account.bearer, 1_500).await;
    let authorization = format!("Bearer {bearer}");
    let lines = [("authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    rig.stub.forget();
    expect::unauthorized(&rig.http1().await.request("GET", TARGET, &lines, b"").await);
    assert_eq!(rig.stub.seen().len(), 0);
}

/// Uses of a token, one after the other.
struct Uses {
    acknowledged: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u16>,
}

/// Uses a token until a use that began after the acknowledgement has ended, and gives that one's status. Uses before
/// may end either way.
fn hammer(client: Http2, authorization: String) -> Uses {
    let acknowledged = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&acknowledged);
    let task = tokio::spawn(async move {
        let mut client = client;
        loop {
            let is_after = seen.load(Ordering::SeqCst);
            let lines = [("authorization", authorization.as_str())];
            match client.request("GET", TARGET, &lines, b"").await {
                Ok(response) if is_after => return response.status,
                Ok(response) if response.status == 401 => client = client.again().await,
                Ok(_) => {}
                // The connection of a 401 goes away; what was sent on it too late was not processed.
                Err(_) => client = client.again().await,
            }
        }
    });
    Uses { acknowledged, task }
}

async fn create(client: &Http2, owner: &str) -> (String, String) {
    let (status, body) =
        request(client, "POST", "/v3/tokens", owner, &json!({ "description": "short-lived" })).await;
    assert_eq!(status, 201, "{body}");
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

/// One request to the API. 503 is asked again, as it says: a disk may be slow when many tests run.
async fn request(client: &Http2, method: &str, target: &str, owner: &str, body: &Value) -> (u16, Value) {
    let lines = [("authorization", owner), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    loop {
        let response = client.request(method, target, &lines, body.as_bytes()).await.unwrap();
        if response.status != 503 {
            let json = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
            return (response.status, json);
        }
    }
}
