//! What the configuration file says of the default cluster changes while the gate runs: who may use it, and what becomes
//! of its service accounts. However the file comes to be another, and only once it is whole.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::service_accounts::{answer_with, good, jwt};
use crate::support::gate::{Gate, Settings, TAKEN_OVER};
use crate::support::live::{Live, PROTOCOLS, Streams};
use crate::support::rig::Rig;
use crate::support::wire::Response;

const PODS: &str = "/api/v1/pods";
const WATCH: &str = "/api/v1/pods?watch=true";
const EVENT: &[u8] = b"{}\n";
/// From the moment that a change is in use to the end of a stream at the client.
const LIMIT: Duration = Duration::from_secs(1);
const FAILED: &str = "portcullis_reload_total{what=\"configuration\",result=\"error\"}";

fn with_cluster(rules: &'static str) -> Settings {
    Settings { keys: vec![("cluster", rules)], ..Settings::default() }
}

async fn get(rig: &Rig, bearer: &str) -> Response {
    let authorization = format!("Bearer {bearer}");
    rig.http1().await.request("GET", PODS, &[("authorization", &authorization)], b"").await
}

async fn watch(rig: &Rig, streams: &Streams, bearer: &str) -> Vec<Live> {
    let mut live = Vec::new();
    for protocol in PROTOCOLS {
        live.push(streams.open(rig, protocol, WATCH, bearer).await);
    }
    live
}

/// Asserts that each ends by now, with this event as its last.
async fn expect_told(lost: Vec<Live>, reason: &str, message: &str) {
    let changed = Instant::now();
    for live in lost {
        let ended = live.ended().await;
        assert!(ended.at.saturating_duration_since(changed) < LIMIT, "{ended:?}");
        assert_eq!(ended.broken, None, "{ended:?}");
        let body = String::from_utf8(ended.body).unwrap();
        let event: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["reason"]),
            (&"ERROR".into(), &reason.into()),
            "{event}"
        );
        let told = event["object"]["message"].as_str().unwrap();
        assert!(told.contains(message), "{told}");
    }
}

async fn expect_untouched(kept: &mut [Live]) {
    for live in kept {
        live.pass(EVENT).await;
    }
}

#[tokio::test]
async fn the_default_cluster_is_closed_to_some_and_opened_again_and_others_keep_their_streams() {
    let rig = Rig::start().await;
    let (alice, bob) = (rig.account("alice", &["dev"]).await, rig.account("bob", &["ops"]).await);
    let streams = Streams::of(&rig.stub, |_| "application/json");
    let mut kept = watch(&rig, &streams, &alice.bearer).await;
    let lost = watch(&rig, &streams, &bob.bearer).await;
    rig.gate.reconfigure(&with_cluster("{allowedGroups: [dev]}")).await;
    expect_told(lost, "Forbidden", "may no longer use cluster local").await;
    expect_untouched(&mut kept).await;
    rig.stub.answer_with(|_| crate::support::stub::Reply::json(200, "{}").into());
    let refused = get(&rig, &bob.bearer).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(
        refused.text().contains("user \\\"bob\\\" may not use cluster \\\"local\\\""),
        "{}",
        refused.text()
    );
    assert_eq!(get(&rig, &alice.bearer).await.status, 200);
    assert_eq!(rig.gate.metric("portcullis_configuration_needs_restart").await, 0);
    let shown = rig.api("GET", "/v3/clusters/local", rig.admin(), &Value::Null).await.json();
    assert_eq!(shown["access"]["groups"], serde_json::json!(["dev"]), "{shown}");

    rig.gate.reconfigure(&Settings::default()).await;
    assert_eq!(get(&rig, &bob.bearer).await.status, 200);
    expect_untouched(&mut kept).await;
}

#[tokio::test]
async fn service_accounts_are_denied_from_the_change_on_and_their_streams_end_and_no_others() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let token = jwt("one", None);
    rig.gate.keep_secret(&token);
    answer_with(&rig, good(|_| {}));
    let streams = Streams::of(&rig.stub, |_| "application/json");
    let mut kept = watch(&rig, &streams, &alice.bearer).await;
    let mut theirs = watch(&rig, &streams, &token).await;
    rig.stub.accept_also(&format!("Bearer {token}"));

    rig.gate.reconfigure(&with_cluster("{serviceAccounts: passthrough}")).await;
    expect_untouched(&mut theirs).await;
    rig.stub.forget();
    theirs.extend(watch(&rig, &streams, &token).await);
    assert_eq!(rig.stub.seen()[0].values("authorization"), [format!("Bearer {token}")]);

    rig.gate.reconfigure(&with_cluster("{serviceAccounts: deny}")).await;
    expect_told(theirs, "Forbidden", "service account's token may no longer use cluster local").await;
    expect_untouched(&mut kept).await;
    let refused = get(&rig, &token).await;
    assert_eq!(refused.status, 401, "{}", refused.text());

    rig.gate.reconfigure(&Settings::default()).await;
    let again = watch(&rig, &streams, &token).await;
    assert_eq!(
        rig.stub.seen().last().unwrap().values("impersonate-user"),
        ["system:serviceaccount:dev:builder"]
    );
    drop(again);
    expect_untouched(&mut kept).await;
}

#[tokio::test]
async fn readiness_looks_for_the_rights_that_the_present_mode_needs() {
    let rig = Rig::with(&["h2", "http/1.1"], &with_cluster("{serviceAccounts: deny}")).await;
    rig.stub.deny_us("serviceaccounts");
    let says = async |text: &str| rig.gate.admin_request("/readyz?verbose").await.1.contains(text);
    assert!(says("[+]service-accounts ok").await);
    rig.gate.reconfigure(&Settings::default()).await;
    rig.gate.wait_until("telling of the right", async || says("[!]service-accounts failed").await).await;
    assert_eq!(rig.gate.admin_request("/readyz").await.0, 200, "everybody else is served");
    rig.gate.reconfigure(&with_cluster("{serviceAccounts: passthrough}")).await;
    rig.gate.wait_until("content", async || says("[+]service-accounts ok").await).await;
}

#[tokio::test]
async fn a_swap_of_links_is_seen_by_the_clock_and_half_a_file_changes_nothing() {
    let rig = Rig::start().await;
    let (alice, bob) = (rig.account("alice", &["dev"]).await, rig.account("bob", &["ops"]).await);
    let streams = Streams::of(&rig.stub, |_| "application/json");
    let mut kept = watch(&rig, &streams, &alice.bearer).await;
    let mut lost = watch(&rig, &streams, &bob.bearer).await;
    let text = fs::read_to_string(rig.gate.directory().join("config.yaml")).unwrap();
    let closed = format!("{text}cluster:\n  allowedGroups: [dev]\n");
    mount(&rig.gate, 1, &text);

    mount(&rig.gate, 2, &closed[..closed.len() - "ups: [dev]\n".len()]);
    rig.gate.wait_until("refusing half a file", async || rig.gate.metric(FAILED).await > 0).await;
    rig.gate.signal(Signal::SIGHUP);
    rig.gate.wait_until("refusing it again", async || rig.gate.metric(FAILED).await > 1).await;
    let log = rig.gate.stderr();
    let complaint = "the configuration can't be used; the last one stays in use";
    assert_eq!(log.matches(complaint).count(), 1, "it is said once: {log}");
    assert_eq!(rig.gate.admin_request("/readyz").await.0, 200);
    expect_untouched(&mut kept).await;
    expect_untouched(&mut lost).await;

    let before = rig.gate.metric(TAKEN_OVER).await;
    mount(&rig.gate, 3, &closed);
    rig.gate.wait_until("following the link", async || rig.gate.metric(TAKEN_OVER).await > before).await;
    expect_told(lost, "Forbidden", "may no longer use cluster local").await;
    expect_untouched(&mut kept).await;
}

/// As the kubelet shows a `ConfigMap`: the file is a link through `..data`, which is swapped.
fn mount(gate: &Gate, version: u32, text: &str) {
    let directory = gate.directory();
    let data = directory.join(format!("..version-{version}"));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("config.yaml"), text).unwrap();
    let swap = |target: &Path, link: &str| {
        symlink(target, directory.join("new")).unwrap();
        fs::rename(directory.join("new"), directory.join(link)).unwrap();
    };
    swap(&data, "..data");
    swap(Path::new("..data/config.yaml"), "config.yaml");
}
