//! The serving certificate is rotated while clients connect, ask and watch: nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::accounts::{self, Account};
use crate::support::certificates::Authority;
use crate::support::gate::{Gate, Settings};
use crate::support::mounted::Mounted;
use crate::support::report;
use crate::support::rig::kubeconfig;
use crate::support::streams::{open_watch, still_open, watch_or};
use crate::support::stub::{OWN_CREDENTIAL, Reply, Stub};
use crate::support::wire::Http2;

const TARGET: &str = "/api/v1/pods";
const ROTATIONS: usize = 100;
/// So many of them are seen by the clock alone.
const BY_CLOCK: usize = 5;
const CONNECTIONS: usize = 5;
const WATCHES: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_rotations_of_the_certificate_cost_no_handshake_request_or_watch() {
    let authority = Authority::new();
    let mounted = Mounted::new(&[("tls.crt", ""), ("tls.key", "")]);
    rotate(&mounted, &authority);
    let (gate, account) = start(&mounted, &authority).await;
    let watches = watches(&gate, &account).await;
    let load = Arc::new(Load::default());
    let mut clients = JoinSet::new();
    for _ in 0..2 {
        clients.spawn(connect_and_ask(gate.endpoint.clone(), account.authorization(), Arc::clone(&load)));
    }
    let (mut by_clock, mut by_signal) = (Vec::new(), Vec::new());
    for rotation in 1..=ROTATIONS {
        let bad = failed_readings(&gate).await;
        half_written(&mounted);
        gate.signal(Signal::SIGHUP);
        gate.wait_until("refusing half a file", async || failed_readings(&gate).await > bad).await;
        let bad = failed_readings(&gate).await;
        mismatched(&mounted, &authority);
        gate.signal(Signal::SIGHUP);
        gate.wait_until("refusing what is no pair", async || failed_readings(&gate).await > bad).await;

        let serial = rotate(&mounted, &authority);
        let rotated = Instant::now();
        if rotation <= BY_CLOCK {
            gate.wait_until("serving the new certificate", async || served(&gate).await == serial).await;
            by_clock.push(rotated.elapsed());
        } else {
            gate.signal(Signal::SIGHUP);
            gate.wait_until("serving the new certificate", async || served(&gate).await == serial).await;
            by_signal.push(rotated.elapsed());
        }
    }
    load.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    assert!(by_clock.iter().all(|time| *time < Duration::from_secs(5)), "{by_clock:?}");
    assert_eq!(load.failed.load(Ordering::Relaxed), 0);
    assert_eq!(still_open(watches).await, WATCHES);
    report::write(
        "certificate-rotation",
        &json!({
            "command": "cargo test --test it rotation::",
            "rotations": ROTATIONS, "watches": WATCHES,
            "handshakes and requests": load.done.load(Ordering::Relaxed), "failed": 0,
            "until served": {
                "seen by the clock": report::spread(&by_clock), "after SIGHUP": report::spread(&by_signal),
            },
        }),
    );
}

#[derive(Default)]
struct Load {
    stop: AtomicBool,
    done: AtomicUsize,
    failed: AtomicUsize,
}

/// Another pair; gives its certificate.
fn rotate(mounted: &Mounted, authority: &Authority) -> Vec<u8> {
    let issued = authority.issue(&["127.0.0.1"]);
    mounted.swap(&[("tls.crt", &issued.certificate_pem), ("tls.key", &issued.key_pem)]);
    issued.certificate_der
}

fn half_written(mounted: &Mounted) {
    let whole = mounted.read("tls.crt");
    mounted.swap(&[("tls.crt", &whole[..whole.len() / 2])]);
}

fn mismatched(mounted: &Mounted, authority: &Authority) {
    let [one, other] = [authority.issue(&["127.0.0.1"]), authority.issue(&["127.0.0.1"])];
    mounted.swap(&[("tls.crt", &one.certificate_pem), ("tls.key", &other.key_pem)]);
}

async fn start(mounted: &Mounted, authority: &Authority) -> (Gate, Account) {
    let stub = Stub::start(&["h2", "http/1.1"]).await;
    stub.answer_with(|seen| watch_or(seen, Reply::json(200, "{}")));
    let kubeconfig = kubeconfig(&stub, &format!("token: {OWN_CREDENTIAL}"));
    let file = |name| mounted.path(name).display().to_string();
    let tls: &str = format!("{{certificate: '{}', key: '{}'}}", file("tls.crt"), file("tls.key")).leak();
    let settings = Settings { log_level: "info", keys: vec![("tls", tls)], ..Settings::default() };
    let mut gate = Gate::start(&kubeconfig, &settings).await;
    gate.endpoint.ca_pem = authority.pem().into();
    let admin = accounts::administrator(&gate).await;
    let account = Account::create(&gate, &admin, "alice", &[]).await;
    (gate, account)
}

async fn watches(gate: &Gate, account: &Account) -> Vec<h2::RecvStream> {
    let mut watches = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = Http2::connect(&gate.endpoint).await;
        for _ in 0..WATCHES / CONNECTIONS {
            watches.push(open_watch(&client, account).await);
        }
    }
    watches
}

/// Connects, asks, and leaves, again and again.
async fn connect_and_ask(endpoint: crate::support::wire::Endpoint, authorization: String, load: Arc<Load>) {
    let lines = [("authorization", authorization.as_str())];
    while !load.stop.load(Ordering::Relaxed) {
        // A handshake that fails is a panic, which fails the test.
        let client = Http2::connect(&endpoint).await;
        for _ in 0..5 {
            let response = client.request("GET", TARGET, &lines, b"").await;
            let is_served = response.is_ok_and(|response| response.status == 200);
            load.failed.fetch_add(usize::from(!is_served), Ordering::Relaxed);
            load.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The certificate that a new connection sees.
async fn served(gate: &Gate) -> Vec<u8> {
    let stream = gate.endpoint.connect("h2").await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn failed_readings(gate: &Gate) -> u64 {
    let (_, metrics) = gate.admin_request("/metrics").await;
    let series = "portcullis_reload_total{what=\"serving-certificate\",result=\"error\"} ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(series));
    value.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}
