//! Our own credential at the cluster is rotated, and lost, while clients ask and watch.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::expect;
use crate::support::gate::Settings;
use crate::support::load::Load;
use crate::support::mounted::Mounted;
use crate::support::report;
use crate::support::rig::Rig;
use crate::support::streams::{open_watch, still_open, watch_or};
use crate::support::stub::{OWN_CREDENTIAL, Reply, Stub};

const TARGET: &str = "/api/v1/pods";
const ROTATIONS: usize = 20;
const CONNECTIONS: usize = 4;
const AT_ONCE: usize = 16;
const WATCHES: usize = 50;
/// Requests between two rotations.
const BETWEEN: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_is_replaced_and_revoked_at_once_costs_no_request_and_no_watch() {
    let (rig, mounted) = start().await;
    rig.stub.answer_with(|seen| watch_or(seen, Reply::json(200, "{}")));
    let account = rig.account("alice", &[]).await;
    let holder = rig.http2().await;
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push(open_watch(&holder, &account).await);
    }
    let load = Load::start(&rig.gate.endpoint, &account, TARGET, [CONNECTIONS, AT_ONCE]).await;
    for rotation in 0..ROTATIONS {
        let credential = format!("credential-number-{rotation}-of-the-gate");
        rig.gate.keep_secret(&credential);
        mounted.swap(&[("token", &credential)]);
        rig.stub.accept_only(&format!("Bearer {credential}"));
        let enough = load.done() + BETWEEN;
        rig.gate.wait_until("serving", async || load.done() >= enough).await;
    }
    let outcome = load.stop().await;
    outcome.expect_all_served();
    assert_eq!(still_open(watches).await, WATCHES);
    report::write(
        "own-credential",
        &json!({
            "command": "cargo test --test it own_credential::", "rotations": ROTATIONS,
            "requests": outcome.requests, "requests a second": outcome.a_second, "failed": 0, "watches": WATCHES,
            "times": { "a request": report::spread(&outcome.times) },
        }),
    );
}

#[tokio::test]
async fn a_lost_credential_is_not_ready_and_503_and_tells_nobody_who_we_are() {
    let (rig, _mounted) = start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let client = rig.http2().await;
    rig.stub.accept_only("Bearer another");
    let lost = Instant::now();
    for (method, body) in [("GET", ""), ("POST", "{}"), ("GET", "")] {
        let asked = Instant::now();
        let response = client.request(method, TARGET, &lines, body.as_bytes()).await.unwrap();
        let message = expect::status(&response, 503, "ServiceUnavailable");
        assert!(response.header("retry-after").is_some());
        assert!(!message.contains("serviceaccount"), "{message}");
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    }
    rig.gate.wait_until("unready", async || rig.gate.admin_request("/readyz").await.0 == 503).await;
    assert!(lost.elapsed() < Duration::from_secs(5), "{:?}", lost.elapsed());

    rig.stub.accept_only(&format!("Bearer {OWN_CREDENTIAL}"));
    let answer = client.request("GET", TARGET, &lines, b"").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn start() -> (Rig, Mounted) {
    let mounted = Mounted::new(&[("token", OWN_CREDENTIAL)]);
    let stub = Stub::start(&["h2", "http/1.1"]).await;
    let user = format!("tokenFile: '{}'", mounted.path("token").display());
    let settings = Settings { log_level: "info", ..Settings::default() };
    (Rig::in_front_of(stub, &user, &settings).await, mounted)
}
