//! Several apiservers of one cluster, one of which fails: requests go to the others, and what they serve goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::accounts::{self, Account};
use crate::support::chaos::{Chaos, Fault, Phase};
use crate::support::gate::{Gate, Settings};
use crate::support::report;
use crate::support::streams::{open_watch, still_open, watch_answer, watch_or};
use crate::support::stub::{Answer, OWN_CREDENTIAL, Reply, Stub};
use crate::support::wire::{Http2, Response};

const TARGET: &str = "/api/v1/pods";
const ENDPOINTS: usize = 3;
const CLIENTS: usize = 6;
const REQUESTS: usize = 8_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apiserver_that_refuses_connections_is_out_and_comes_back_gently() {
    one_of_three("refuses", |stub, chaos| {
        chaos.at(Phase::Connect, Fault::Reset);
        chaos.now(Fault::Reset);
        stub.be_ready(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apiserver_that_falls_silent_is_out_and_comes_back_gently() {
    one_of_three("falls silent", |_, chaos| {
        chaos.at(Phase::Connect, Fault::Silence);
        chaos.now(Fault::Silence);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apiserver_that_is_not_ready_is_out_and_comes_back_gently() {
    one_of_three("is not ready", |stub, _| stub.be_ready(500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apiserver_that_breaks_off_while_it_claims_to_be_ready_is_out() {
    one_of_three("breaks off", |stub, _| {
        stub.answer_with(|seen| if seen.target.contains("watch=true") { watch_answer() } else { crash() });
    })
    .await;
}

#[tokio::test]
async fn when_no_apiserver_is_well_all_are_tried_and_refusals_say_when_to_come_back() {
    let rig = Several::start().await;
    for (stub, chaos) in rig.stubs.iter().zip(&rig.chaos) {
        chaos.at(Phase::Connect, Fault::Reset);
        chaos.now(Fault::Reset);
        stub.be_ready(500);
    }
    rig.gate.wait_until("without endpoints", async || rig.healthy().await == 0).await;
    let client = Http2::connect(&rig.gate.endpoint).await;
    let refused = rig.get(&client).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    // They serve again, and their word that they are not ready does not keep requests away.
    rig.chaos.iter().for_each(Chaos::heal);
    rig.gate.wait_until("serving", async || rig.get(&client).await.status == 200).await;
    assert_eq!(rig.healthy().await, 0);
}

#[tokio::test]
async fn requests_with_a_body_go_elsewhere_if_no_connection_is_made() {
    let rig = Several::start().await;
    // Before the gate has noticed.
    rig.chaos[0].at(Phase::Connect, Fault::Reset);
    rig.chaos[0].now(Fault::Reset);
    let client = Http2::connect(&rig.gate.endpoint).await;
    let authorization = rig.account.authorization();
    let lines = [("authorization", authorization.as_str())];
    for _ in 0..6 {
        let response = client.request("POST", TARGET, &lines, b"{}").await.unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(rig.stubs[0].seen().len(), 0);
}

/// A gate before three stubs, each behind a proxy that can do harm.
struct Several {
    gate: Gate,
    stubs: Vec<Stub>,
    chaos: Vec<Chaos>,
    account: Account,
}

impl Several {
    async fn start() -> Self {
        let (mut stubs, mut chaos) = (Vec::new(), Vec::new());
        for _ in 0..ENDPOINTS {
            let stub = Stub::start(&["h2", "http/1.1"]).await;
            stub.answer_with(|seen| watch_or(seen, Reply::json(200, "{}")));
            chaos.push(Chaos::before(stub.port).await);
            stubs.push(stub);
        }
        let authorities: String = stubs.iter().map(|stub| &*stub.ca_pem).collect();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
             clusters: [{{name: a, cluster: {{server: 'https://127.0.0.1:1', certificate-authority-data: {}}}}}]\n\
             users: [{{name: a, user: {{token: {OWN_CREDENTIAL}}}}}]\n",
            STANDARD.encode(authorities)
        );
        let urls: Vec<_> = chaos.iter().map(|chaos| format!("'https://127.0.0.1:{}'", chaos.port)).collect();
        let urls: &str = format!("{{endpoints: [{}]}}", urls.join(", ")).leak();
        let settings = Settings { log_level: "info", keys: vec![("cluster", urls)], ..Settings::default() };
        let gate = Gate::start(&kubeconfig, &settings).await;
        let admin = accounts::administrator(&gate).await;
        let account = Account::create(&gate, &admin, "alice", &[]).await;
        Self { gate, stubs, chaos, account }
    }

    async fn get(&self, client: &Http2) -> Response {
        let authorization = self.account.authorization();
        client.request("GET", TARGET, &[("authorization", &authorization)], b"").await.unwrap()
    }

    /// How many endpoints requests go to.
    async fn healthy(&self) -> usize {
        let (_, metrics) = self.gate.admin_request("/metrics").await;
        let series =
            |line: &&str| line.starts_with("portcullis_upstream_endpoint_healthy{") && line.ends_with(" 1");
        metrics.lines().filter(series).count()
    }

    /// Requests that each stub was sent.
    fn counts(&self) -> Vec<usize> {
        self.stubs.iter().map(|stub| stub.seen().len()).collect()
    }
}

/// The first of three apiservers fails under load as `fail` makes it, and recovers.
async fn one_of_three(how: &'static str, fail: impl Fn(&Stub, &Chaos)) {
    let rig = Several::start().await;
    let mut watches = Vec::new();
    let client = Http2::connect(&rig.gate.endpoint).await;
    for _ in 0..3 * ENDPOINTS {
        watches.push(open_watch(&client, &rig.account).await);
    }
    let on_good_ones = rig.counts()[1..].iter().sum::<usize>();
    assert_eq!(rig.counts(), [3, 3, 3], "watches are spread");
    let load = Load::start(&rig).await;
    load.reaches(REQUESTS / 10).await;
    assert!(rig.counts().iter().all(|count| *count > REQUESTS / 100), "{:?}", rig.counts());

    let failed = Instant::now();
    fail(&rig.stubs[0], &rig.chaos[0]);
    rig.gate.wait_until("rid of the bad endpoint", async || rig.healthy().await == ENDPOINTS - 1).await;
    let out = failed.elapsed();
    assert!(out < Duration::from_secs(5), "out after {out:?}");
    load.reaches(REQUESTS).await;
    let last = rig.counts()[0];
    if how != "breaks off" {
        // Its probes are good: now and then it is given another chance.
        load.reaches(REQUESTS + REQUESTS / 10).await;
        assert_eq!(rig.counts()[0], last, "requests went on to the bad endpoint");
    }

    rig.chaos[0].heal();
    rig.stubs[0].be_ready(200);
    rig.stubs[0].answer(Reply::json(200, "{}"));
    rig.gate.wait_until("using all endpoints", async || rig.healthy().await == ENDPOINTS).await;
    let (before, back) = (rig.counts(), Instant::now());
    rig.gate.wait_until("a second on", async || back.elapsed() > Duration::from_secs(1)).await;
    let gained: Vec<_> = rig.counts().iter().zip(before).map(|(now, before)| now - before).collect();
    assert!(gained[0] * 4 < gained.iter().sum::<usize>(), "it got its whole share at once: {gained:?}");

    let (requests, errors) = load.stop().await;
    assert!(errors * 1_000 <= requests, "{errors} of {requests} requests failed");
    let open = still_open(watches).await;
    assert!(open >= on_good_ones, "{open} watches are left of {on_good_ones} on good endpoints");
    let figures = json!({ "out after ms": out.as_millis(), "requests": requests, "errors": errors });
    report::write(
        &format!("endpoint-{}", how.replace(' ', "-")),
        &json!({ "command": "cargo test --test it endpoints::", how: figures }),
    );
}

/// Clients that ask one after the other, all the time.
struct Load {
    clients: JoinSet<()>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    requests: AtomicUsize,
    errors: AtomicUsize,
}

impl Load {
    async fn start(rig: &Several) -> Self {
        let (mut clients, counts) = (JoinSet::new(), Arc::new(Counts::default()));
        for _ in 0..CLIENTS {
            let client = Http2::connect(&rig.gate.endpoint).await;
            let (counts, authorization) = (Arc::clone(&counts), rig.account.authorization());
            clients.spawn(async move {
                let lines = [("authorization", authorization.as_str())];
                while !counts.stop.load(Ordering::Relaxed) {
                    let (response, _) = client.start("GET", TARGET, &lines, true).await.unwrap();
                    // As long as it takes: a request on a silent connection is an error only when that is given up.
                    let is_served = response.await.is_ok_and(|response| response.status() == 200);
                    counts.requests.fetch_add(1, Ordering::Relaxed);
                    counts.errors.fetch_add(usize::from(!is_served), Ordering::Relaxed);
                }
            });
        }
        Self { clients, counts }
    }

    async fn reaches(&self, requests: usize) {
        let reached = async {
            while self.counts.requests.load(Ordering::Relaxed) < requests {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(2), reached).await.expect("the load stands still");
    }

    async fn stop(self) -> (usize, usize) {
        self.counts.stop.store(true, Ordering::Relaxed);
        let ended = self.clients.join_all();
        tokio::time::timeout(Duration::from_secs(40), ended).await.expect("a request hangs");
        (self.counts.requests.load(Ordering::Relaxed), self.counts.errors.load(Ordering::Relaxed))
    }
}

fn crash() -> Answer {
    Answer::http2(async |mut stream| {
        stream.crash();
        while let Some(Ok(_)) = stream.body.data().await {}
    })
}
