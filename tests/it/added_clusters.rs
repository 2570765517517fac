//! Clusters that are added while the gate runs: used at once, closed and deleted with their streams and tokens, and their
//! credentials seen by nobody.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::service_accounts::{good, jwt};
use crate::support::added::Added;
use crate::support::expect;
use crate::support::live::{PROTOCOLS, Streams};

/// From the acknowledgement of a change to the end of a stream at the client.
const LIMIT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_deleted_cluster_takes_its_streams_and_the_tokens_for_it_alone() {
    let added = Added::start().await;
    let account = added.rig.account("alice", &[]).await;
    assert_eq!(added.get(&account.bearer).await, 200);
    let body = json!({ "clusterId": added.id });
    let scoped = added.rig.api("POST", "/v3/tokens", &account.bearer, &body).await.json();
    let bearer = scoped["token"].as_str().unwrap();
    assert_eq!(added.get(bearer).await, 200);

    let streams = Streams::of(&added.stub, |_| "application/json");
    let mut live = Vec::new();
    for protocol in PROTOCOLS {
        let target = added.path("/api/v1/pods?watch=true");
        live.push(streams.open(&added.rig, protocol, &target, &account.bearer).await);
    }
    added.change("DELETE", &Value::Null).await;
    let deleted = Instant::now();
    for live in live {
        let ended = live.ended().await;
        assert!(ended.at.saturating_duration_since(deleted) < LIMIT, "{ended:?}");
        let told = String::from_utf8_lossy(&ended.body).into_owned();
        assert!(told.contains(&format!("cluster {} was removed", added.id)), "{told}");
    }
    assert_eq!(added.get(&account.bearer).await, 404);
    let path = added.path("/api");
    let authorization = format!("Bearer {bearer}");
    let refused =
        added.rig.http1().await.request("GET", &path, &[("authorization", &authorization)], b"").await;
    expect::unauthorized(&refused);
    let is_let_go = async || added.stub.connections().iter().all(|connection| connection.is_closed());
    added.rig.gate.wait_until("letting go of the connections to a deleted cluster", is_let_go).await;
}

#[tokio::test]
async fn who_may_use_a_cluster_no_more_loses_the_streams_there_and_others_keep_theirs() {
    let added = Added::start().await;
    let (alice, bob) = (added.rig.account("alice", &["dev"]).await, added.rig.account("bob", &["ops"]).await);
    let streams = Streams::of(&added.stub, |_| "application/json");
    let target = added.path("/api/v1/pods?watch=true");
    let mut kept = streams.open(&added.rig, PROTOCOLS[0], &target, &alice.bearer).await;
    let lost = streams.open(&added.rig, PROTOCOLS[1], &target, &bob.bearer).await;
    added.change("PUT", &json!({ "access": { "everybody": false, "groups": ["dev"] } })).await;
    let changed = Instant::now();
    let ended = lost.ended().await;
    assert!(ended.at.saturating_duration_since(changed) < LIMIT, "{ended:?}");
    let told = String::from_utf8_lossy(&ended.body).into_owned();
    assert!(told.contains("may no longer use cluster"), "{told}");
    assert_eq!(added.get(&bob.bearer).await, 403);
    kept.pass(b"{}\n").await;
}

#[tokio::test]
async fn an_added_cluster_that_denies_service_accounts_ends_their_streams_and_no_others() {
    let added = Added::start().await;
    let alice = added.rig.account("alice", &[]).await;
    let token = jwt("one", None);
    added.rig.gate.keep_secret(&token);
    added.stub.answer_questions_with(|_| good(|_| {}).into());
    let streams = Streams::of(&added.stub, |_| "application/json");
    let target = added.path("/api/v1/pods?watch=true");
    let mut kept = streams.open(&added.rig, PROTOCOLS[0], &target, &alice.bearer).await;
    let theirs = streams.open(&added.rig, PROTOCOLS[1], &target, &token).await;
    added.change("PUT", &json!({ "serviceAccounts": "deny" })).await;
    let changed = Instant::now();
    let ended = theirs.ended().await;
    assert!(ended.at.saturating_duration_since(changed) < LIMIT, "{ended:?}");
    let told = String::from_utf8_lossy(&ended.body).into_owned();
    assert!(told.contains("may no longer use cluster"), "{told}");
    assert_eq!(added.get(&token).await, 401);
    kept.pass(b"{}\n").await;
}
