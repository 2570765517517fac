//! Our own credential at a real apiserver is rotated, lost and given back while clients ask.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::apiserver::Apiserver;
use crate::cluster::Cluster;
use crate::real_gate::{kubeconfig, settings};
use crate::support::accounts::{self, Account};
use crate::support::expect;
use crate::support::gate::Gate;
use crate::support::load::Load;
use crate::support::mounted::Mounted;
use crate::support::report;
use crate::support::wire::{Http1, Http2, Response};

/// Unlike any other request in the audit log.
const TARGET: &str = "/version?while-tokens-are-rotated";
const ROTATIONS: usize = 4;
/// Ten seconds the apiserver goes by what it has found out about a token; a bit less.
const ALMOST_FORGOTTEN: Duration = Duration::from_millis(9_600);
/// What a probe of readiness and clients are promised.
const LIMIT: Duration = Duration::from_secs(5);
const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";
const EXEC: &str = "/api/v1/namespaces/default/pods/p/exec?command=sh";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_ours_that_are_replaced_and_revoked_cost_no_request_at_a_real_apiserver() {
    let cluster = Cluster::second();
    let apiserver = Apiserver::of(cluster, "rotated");
    let mut token = apiserver.token("rotated-first").await;
    let mounted = Mounted::new(&[("token", &token.bearer)]);
    let mut known = Instant::now();
    let (gate, user) = start(cluster, &mounted).await;
    let load = Load::start(&gate.endpoint, &user, TARGET, [4, 16]).await;
    let mut after_deletion = Vec::new();
    for rotation in 0..ROTATIONS {
        let next = apiserver.token(&format!("rotated-{rotation}")).await;
        gate.keep_secret(&next.bearer);
        // There is nothing to wait for but the moment: just before the apiserver looks at the old token again, so that
        // most likely it refuses it while requests still come with it.
        tokio::time::sleep_until((known + ALMOST_FORGOTTEN).into()).await;
        known = Instant::now();
        assert_eq!(apiserver.status_for(&next.bearer, None).await, 200);
        mounted.swap(&[("token", &next.bearer)]);
        apiserver.revoke(&token).await;
        let revoked = Instant::now();
        gate.wait_until("of a revoked token", async || {
            apiserver.status_for(&token.bearer, None).await == 401
        })
        .await;
        after_deletion.push(revoked.elapsed());
        token = next;
    }
    let enough = load.done() + 1_000;
    gate.wait_until("serving", async || load.done() >= enough).await;
    let outcome = load.stop().await;
    outcome.expect_all_served();
    let audited = fs::read_to_string(cluster.audit_log().unwrap()).unwrap();
    let refused = audited.lines().filter(|line| line.contains(TARGET) && line.contains("\"code\":401"));
    report::write(
        "own-credential-real",
        &json!({
            "command": "cargo test --test it real_own_credential::tokens_of_ours",
            "rotations": ROTATIONS, "requests": outcome.requests, "requests a second": outcome.a_second,
            "refused by the apiserver and sent again by the gate": refused.count(), "failed at clients": 0,
            "times": {
                "a request": report::spread(&outcome.times),
                "until the apiserver refuses a deleted token": report::spread(&after_deletion),
            },
        }),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_right_to_impersonate_is_not_ready_and_503_until_it_is_back() {
    let cluster = Cluster::second();
    let apiserver = Apiserver::of(cluster, "rightless");
    let token = apiserver.token("rightless").await;
    let mounted = Mounted::new(&[("token", &token.bearer)]);
    let (gate, user) = start(cluster, &mounted).await;
    let allowed = async || apiserver.status_for(&token.bearer, Some("somebody")).await == 200;
    let load = Load::start(&gate.endpoint, &user, "/version", [1, 4]).await;
    apiserver.take_right().await;
    gate.wait_until("of an account without the right", async || !allowed().await).await;
    let unready = unready_since_now(&gate).await;
    for response in everything(&gate, &user).await {
        expect_unavailable(&response, "rightless");
    }
    apiserver.give_right().await;
    gate.wait_until("of an account with the right", allowed).await;
    let (served, ready) = back_since_now(&gate, &user).await;
    let outcome = load.stop().await;
    assert!(!outcome.unserved.is_empty());
    outcome.unserved.iter().for_each(|answer| expect_unavailable(answer.as_ref().unwrap(), "rightless"));
    report_loss("own-credential-without-rights", unready, served, ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_token_of_ours_is_not_ready_and_503_until_there_is_another() {
    let cluster = Cluster::second();
    let apiserver = Apiserver::of(cluster, "tokenless");
    let token = apiserver.token("tokenless").await;
    let mounted = Mounted::new(&[("token", &token.bearer)]);
    let (gate, user) = start(cluster, &mounted).await;
    let load = Load::start(&gate.endpoint, &user, "/version", [1, 4]).await;
    apiserver.revoke(&token).await;
    gate.wait_until("of a revoked token", async || apiserver.status_for(&token.bearer, None).await == 401)
        .await;
    let unready = unready_since_now(&gate).await;
    for response in everything(&gate, &user).await {
        expect_unavailable(&response, "tokenless");
    }
    let other = apiserver.token("tokenless-no-more").await;
    gate.keep_secret(&other.bearer);
    mounted.swap(&[("token", &other.bearer)]);
    let (served, ready) = back_since_now(&gate, &user).await;
    let outcome = load.stop().await;
    assert!(!outcome.unserved.is_empty());
    outcome.unserved.iter().for_each(|answer| expect_unavailable(answer.as_ref().unwrap(), "tokenless"));
    report_loss("own-credential-lost", unready, served, ready);
}

/// A gate whose credential is the mounted token, and a user who may do all that is asked for here.
async fn start(cluster: &Cluster, mounted: &Mounted) -> (Gate, Account) {
    let user = json!({ "tokenFile": mounted.path("token") });
    let kubeconfig = kubeconfig(cluster.server(), &fs::read(cluster.ca_file()).unwrap(), &user, "default");
    let gate = Gate::start(&kubeconfig, &settings()).await;
    gate.keep_secret(&mounted.read("token"));
    let admin = accounts::administrator(&gate).await;
    let account = Account::create(&gate, &admin, "alice", &[]).await;
    (gate, account)
}

async fn is_ready(gate: &Gate) -> bool {
    gate.admin_request("/readyz").await.0 == 200
}

async fn unready_since_now(gate: &Gate) -> Duration {
    let lost = Instant::now();
    gate.wait_until("unready", async || !is_ready(gate).await).await;
    assert!(lost.elapsed() < LIMIT, "{:?}", lost.elapsed());
    lost.elapsed()
}

/// From now until requests are served, and until it is ready.
async fn back_since_now(gate: &Gate, user: &Account) -> (Duration, Duration) {
    let back = Instant::now();
    let authorization = user.authorization();
    let lines = [("authorization", authorization.as_str())];
    let client = Http2::connect(&gate.endpoint).await;
    let get = async || client.request("GET", "/version", &lines, b"").await.unwrap().status;
    gate.wait_until("serving", async || get().await == 200).await;
    let served = back.elapsed();
    gate.wait_until("ready", async || is_ready(gate).await).await;
    assert!(served < LIMIT && back.elapsed() < LIMIT, "{served:?} {:?}", back.elapsed());
    (served, back.elapsed())
}

/// The answers to requests of every kind.
async fn everything(gate: &Gate, user: &Account) -> Vec<Response> {
    let authorization = user.authorization();
    let own = ("Authorization", authorization.as_str());
    let client = Http2::connect(&gate.endpoint).await;
    let watch = format!("{CONFIGMAPS}?watch=true");
    let one = format!("{CONFIGMAPS}/one");
    let mut answers = Vec::new();
    for (method, target, accept, body) in [
        ("GET", CONFIGMAPS, "application/json", ""),
        ("GET", CONFIGMAPS, "application/vnd.kubernetes.protobuf", ""),
        ("GET", CONFIGMAPS, "application/json;as=Table;g=meta.k8s.io;v=v1", ""),
        ("GET", &watch, "application/json", ""),
        ("GET", &watch, "application/vnd.kubernetes.protobuf;stream=watch", ""),
        ("HEAD", CONFIGMAPS, "application/json", ""),
        ("POST", CONFIGMAPS, "application/json", r#"{"metadata":{"name":"one"}}"#),
        ("DELETE", &one, "application/json", ""),
        ("GET", "/metrics", "text/plain", ""),
        ("GET", "/openapi/v3", "application/json", ""),
        ("GET", "/nowhere", "*/*", ""),
    ] {
        let lines = [own, ("Accept", accept), ("Accept-Encoding", "gzip")];
        answers.push(client.request(method, target, &lines, body.as_bytes()).await.unwrap());
    }
    for protocol in ["websocket", "SPDY/3.1"] {
        let lines = [own, ("Connection", "Upgrade"), ("Upgrade", protocol)];
        answers.push(Http1::connect(&gate.endpoint).await.request("GET", EXEC, &lines, b"").await);
    }
    answers
}

/// That the answer is about us and does not say who we are.
fn expect_unavailable(response: &Response, account: &str) {
    assert_eq!(response.status, 503, "{}", response.text());
    // HEAD has no body.
    if !response.body.is_empty() {
        expect::status(response, 503, "ServiceUnavailable");
    }
    assert!(response.header("retry-after").is_some(), "{response:?}");
    let all = format!("{:?} {}", response.lines, response.text());
    assert!(!all.contains("serviceaccount") && !all.contains(account), "{all}");
}

fn report_loss(name: &str, unready: Duration, served: Duration, ready: Duration) {
    let [unready, served, ready] = [unready, served, ready].map(|time| json!({ "ms": time.as_millis() }));
    report::write(
        name,
        &json!({
            "command": "cargo test --test it real_own_credential::a_lost",
            "after the apiserver's own refusal or leave": {
                "not ready": unready, "served again": served, "ready again": ready,
            },
        }),
    );
}
