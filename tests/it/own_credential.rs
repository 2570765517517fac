//! Our own credential at the cluster is rotated, and lost, while clients ask and watch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::directory::Directory;
use crate::support::expect;
use crate::support::gate::Settings;
use crate::support::report;
use crate::support::rig::{Account, Rig};
use crate::support::streams::{open_watch, still_open, watch_or};
use crate::support::stub::{OWN_CREDENTIAL, Reply, Stub};
use crate::support::wire::Http2;

const TARGET: &str = "/api/v1/pods";
const ROTATIONS: usize = 20;
const CLIENTS: usize = 8;
const WATCHES: usize = 50;
/// Requests between two rotations.
const BETWEEN: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_is_replaced_and_revoked_at_once_costs_no_request_and_no_watch() {
    let (rig, file, _directory) = start().await;
    rig.stub.answer_with(|seen| watch_or(seen, Reply::json(200, "{}")));
    let account = rig.account("alice", &[]).await;
    let holder = rig.http2().await;
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push(open_watch(&holder, &account).await);
    }
    let load = Arc::new(Load::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask(rig.http2().await, account.clone(), Arc::clone(&load)));
    }
    let began = Instant::now();
    for rotation in 0..ROTATIONS {
        let credential = format!("credential-number-{rotation}-of-the-gate");
        rig.gate.keep_secret(&credential);
        replace(&file, &credential);
        rig.stub.accept_only(&format!("Bearer {credential}"));
        let enough = load.done.load(Ordering::Relaxed) + BETWEEN;
        rig.gate.wait_until("serving", async || load.done.load(Ordering::Relaxed) >= enough).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    let requests = load.done.load(Ordering::Relaxed);
    let rate = requests as u128 * 1_000 / began.elapsed().as_millis();
    assert_eq!(load.failed.load(Ordering::Relaxed), 0, "of {requests}");
    assert_eq!(still_open(watches).await, WATCHES);
    report::write(
        "own-credential",
        &json!({
            "command": "cargo test --test it own_credential::", "rotations": ROTATIONS,
            "requests": requests, "requests a second": u64::try_from(rate).unwrap(), "failed": 0, "watches": WATCHES,
        }),
    );
}

#[tokio::test]
async fn a_lost_credential_is_not_ready_and_503_and_tells_nobody_who_we_are() {
    let (rig, _, _directory) = start().await;
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

#[derive(Default)]
struct Load {
    stop: AtomicBool,
    done: AtomicUsize,
    failed: AtomicUsize,
}

async fn start() -> (Rig, PathBuf, Directory) {
    let directory = Directory::new();
    let file = directory.path().join("token");
    std::fs::write(&file, OWN_CREDENTIAL).unwrap();
    let stub = Stub::start(&["h2", "http/1.1"]).await;
    let user = format!("tokenFile: '{}'", file.display());
    let settings = Settings { log_level: "info", ..Settings::default() };
    (Rig::in_front_of(stub, &user, &settings).await, file, directory)
}

/// As the kubelet does: the new one takes the old one's place whole.
fn replace(file: &Path, credential: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, credential).unwrap();
    std::fs::rename(new, file).unwrap();
}

async fn ask(client: Http2, account: Account, load: Arc<Load>) {
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    while !load.stop.load(Ordering::Relaxed) {
        let answer = client.request("GET", TARGET, &lines, b"").await;
        let is_served = answer.is_ok_and(|answer| answer.status == 200);
        load.failed.fetch_add(usize::from(!is_served), Ordering::Relaxed);
        load.done.fetch_add(1, Ordering::Relaxed);
    }
}
