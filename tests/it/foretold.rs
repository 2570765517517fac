//! What a deletion by a filter says that it would cut is what it cuts.

use serde_json::{Value, json};

use crate::support::live::{PROTOCOLS, Streams};
use crate::support::rig::Rig;

const WATCH: &str = "/api/v1/pods?watch=true";
const LOG: &str = "/api/v1/namespaces/a/pods/b/log?follow=true";

#[tokio::test]
async fn a_deletion_by_a_filter_cuts_what_its_dry_run_has_said_and_nothing_else() {
    let rig = Rig::start().await;
    let (alice, bob) = (rig.account("alice", &[]).await, rig.account("bob", &[]).await);
    let scoped = rig.api("POST", "/v3/tokens", &alice.bearer, &json!({ "clusterId": "local" })).await.json();
    let (unused, _) = rig.token(&alice.bearer, 0).await;
    let streams = Streams::of(&rig.stub, |_| "application/json");
    let mut ending = Vec::new();
    for target in [WATCH, LOG] {
        ending.push(streams.open(&rig, PROTOCOLS[0], target, scoped["token"].as_str().unwrap()).await);
    }
    let mut staying = Vec::new();
    for account in [&alice, &bob] {
        staying.push(streams.open(&rig, PROTOCOLS[1], WATCH, &account.bearer).await);
    }

    let delete = async |bearer: &str, query: &str| {
        let answer = rig.api("DELETE", &format!("/v3/tokens?{query}"), bearer, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let foretold = delete(rig.admin(), "clusterId=local&dryRun=true").await;
    assert_eq!((&foretold["count"], &foretold["openStreams"]["count"]), (&json!(1), &json!(2)));
    assert_eq!(foretold["openStreams"]["byKind"], json!({ "log": 1, "watch": 1 }));
    let first = &foretold["openStreams"]["streams"][0];
    assert_eq!([&first["kind"], &first["clusterId"], &first["client"]], ["watch", "local", "127.0.0.1"]);
    for (bearer, query, count) in [
        (rig.admin(), format!("userId={}&dryRun=true", alice.user_id), 3),
        (rig.admin(), "kind=api-key&dryRun=true".to_owned(), 4),
        // Not the watch by the token that asks, which is not deleted, and nobody else's.
        (&alice.bearer, "kind=api-key&dryRun=true".to_owned(), 2),
        (&bob.bearer, "kind=api-key&dryRun=true".to_owned(), 0),
        (&bob.bearer, format!("userId={}&dryRun=true", alice.user_id), 0),
        (rig.admin(), format!("nameContains={unused}&dryRun=true"), 0),
    ] {
        assert_eq!(delete(bearer, &query).await["openStreams"]["count"], count, "{query}");
    }
    assert!(ending.iter().all(|live| !live.upstream.is_closed()), "nothing was done");

    let done = delete(rig.admin(), "clusterId=local").await;
    assert_eq!((&done["count"], done.get("openStreams")), (&json!(1), None));
    for live in ending {
        live.ended().await;
    }
    for live in &mut staying {
        live.pass(b"{}\n").await;
    }
    assert_eq!(rig.gate.metric("portcullis_stream_cuts_total").await, 2);
}
