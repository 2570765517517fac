//! A real apiserver is away and comes back, with a thousand watches that are opened again and again meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use h2::RecvStream;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};

use crate::cluster::{Cluster, Options};
use crate::real_chaos::{address, port};
use crate::real_gate::{service_account, settings, succeed};
use crate::support::chaos::{Chaos, Fault, Phase};
use crate::support::gate::Gate;
use crate::support::wire::{Endpoint, Http1, Http2};
use crate::support::{accounts, report, within};

/// Each with a connection of HTTP/2, on which its watches are.
const USERS: usize = 10;
const WATCHES: usize = 1000;
const AWAY: Duration = Duration::from_secs(8);
/// From one try of a watch to the next if nobody says when to come back.
const PAUSE: Duration = Duration::from_secs(1);

/// Until the gate refuses nobody any more. When everybody has a watch again depends on the machine as well, and is
/// measured.
const RECOVERY: Duration = Duration::from_secs(2);
/// The most that a gate may dial within a second.
const DIALS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apiserver_that_comes_back_is_in_use_within_two_seconds_and_is_not_stormed() {
    if std::env::var_os("PORTCULLIS_TEST_KUBECONFIG").is_some() {
        // Somebody else's cluster is not to be stopped.
        return;
    }
    let cluster = Cluster::start(&Options { node: false, ..Options::default() }).unwrap();
    let ca_pem = std::fs::read_to_string(cluster.ca_file()).unwrap();
    let apiserver = Endpoint { address: ([127, 0, 0, 1], port(&cluster)).into(), ca_pem: ca_pem.into() };
    let chaos = Chaos::before(port(&cluster)).await;
    let kubeconfig = service_account(&cluster).replace(cluster.server(), &address(&chaos));
    let gate = Gate::start(&kubeconfig, &settings()).await;
    let binding = ["create", "clusterrolebinding", "may-watch", "--clusterrole=view", "--group=watchers"];
    succeed(cluster.kubectl().args(binding));
    let crowd = Crowd::gather(&gate).await;
    crowd.all_watch().await;

    let killed = crowd
        .outlive("killed and started again", &chaos, async || {
            block_in_place(|| cluster.stop_apiserver().unwrap());
            tokio::time::sleep(AWAY).await;
            crowd.none_watches();
            let ready = tokio::spawn(ready(apiserver.clone(), kubeconfig.clone()));
            block_in_place(|| cluster.start_apiserver().unwrap());
            ready.await.unwrap()
        })
        .await;
    // A healthy apiserver that can't be reached, and can be from one moment to the next.
    let cut_off = crowd
        .outlive("cut off", &chaos, async || {
            chaos.at(Phase::Connect, Fault::Reset);
            chaos.now(Fault::Reset);
            tokio::time::sleep(AWAY).await;
            crowd.none_watches();
            chaos.heal();
            Instant::now()
        })
        .await;

    let figures: Map<String, Value> = [killed, cut_off].into_iter().collect();
    report::write(
        "apiserver-away",
        &json!({
            "command": "cargo test --test it an_apiserver_that_comes_back",
            "watches that are opened again and again": WATCHES,
            "on connections of HTTP/2": USERS,
            "seconds that nothing listens": AWAY.as_secs(),
            "the apiserver is": figures,
        }),
    );
    drop(crowd);
    cluster.stop().unwrap();
}

/// The moment at which the apiserver says to who has this kubeconfig that it is ready. Before that it may answer as it
/// likes.
async fn ready(apiserver: Endpoint, kubeconfig: String) -> Instant {
    let kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
    let authorization = format!("Bearer {}", kubeconfig["users"][0]["user"]["token"].as_str().unwrap());
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while TcpStream::connect(apiserver.address).await.is_err() {
        ticks.tick().await;
    }
    // One connection each time: it ends those on which it knows nobody yet.
    let lines = [("authorization", authorization.as_str())];
    while Http1::connect(&apiserver).await.request("GET", "/readyz", &lines, b"").await.status != 200 {
        ticks.tick().await;
    }
    Instant::now()
}

/// Clients that have nothing in mind but their watches.
struct Crowd {
    refusals: Arc<Mutex<Vec<Refusal>>>,
    /// When each watch that is open was opened.
    open: watch::Sender<BTreeMap<usize, Instant>>,
    /// Ends with it.
    _clients: JoinSet<()>,
}

/// An answer that is no watch.
struct Refusal {
    at: Instant,
    status: u16,
    retry_after: Option<u64>,
    /// The apiserver signs what it answers, by an `Audit-Id`, while it starts as well. We don't.
    is_ours: bool,
    text: String,
}

impl Crowd {
    async fn gather(gate: &Gate) -> Self {
        let admin = accounts::administrator(gate).await;
        let (refusals, open) = (Arc::default(), watch::Sender::default());
        let mut clients = JoinSet::new();
        // Of many users, as it is in life: the apiserver queues the requests of each one apart.
        for user in 0..USERS {
            let name = format!("watcher-{user}");
            let account = accounts::Account::create(gate, &admin, &name, &["watchers"]).await;
            let client = Http2::connect(&gate.endpoint).await;
            for number in (user..WATCHES).step_by(USERS) {
                let (client, authorization) = (client.clone(), account.authorization());
                let (refusals, open) = (Arc::clone(&refusals), open.clone());
                clients.spawn(async move { stay(number, &client, &authorization, &refusals, &open).await });
            }
        }
        Self { refusals, open, _clients: clients }
    }

    /// Waits until every watch is open; gives when each was opened.
    async fn all_watch(&self) -> Vec<Instant> {
        let mut open = self.open.subscribe();
        let all = within("all watches", open.wait_for(|open| open.len() == WATCHES)).await.unwrap();
        all.values().copied().collect()
    }

    fn none_watches(&self) {
        assert_eq!(self.open.borrow().len(), 0, "there is nothing to watch");
    }

    /// Goes through an outage, which says when it was over; asserts and gives what it was to the crowd.
    async fn outlive(
        &self,
        name: &str,
        chaos: &Chaos,
        outage: impl AsyncFnOnce() -> Instant,
    ) -> (String, Value) {
        self.refusals.lock().unwrap().clear();
        let start = Instant::now();
        let back = outage().await;
        let opened = self.all_watch().await;
        let opened: Vec<_> = opened.iter().map(|at| at.saturating_duration_since(back)).collect();
        let (dials, most) = chaos.dials_since(start);
        let refusals = self.refusals.lock().unwrap();
        let (ours, others): (Vec<_>, Vec<_>) = refusals.iter().partition(|refusal| refusal.is_ours);
        let last = ours.iter().map(|refusal| refusal.at.saturating_duration_since(back)).max().unwrap();
        let mut row = report::spread(&opened);
        row["last refusal by the gate ms"] = json!(last.as_millis());
        row["dials"] = json!(dials);
        row["most dials in a second"] = json!(most);
        for status in [502, 503] {
            let count = ours.iter().filter(|refusal| refusal.status == status).count();
            row[format!("refused with {status}")] = json!(count);
        }
        row["refused by the apiserver"] = json!(others.len());
        eprintln!("{name}: {row} {:?}", counts(&others));
        for refusal in &ours {
            refusal.assert_says_when();
        }
        assert!(ours.iter().any(|refusal| refusal.status == 503) && most <= DIALS, "{row}");
        assert!(last < RECOVERY, "{row}");
        (name.to_owned(), row)
    }
}

impl Refusal {
    async fn read(response: Response<RecvStream>) -> Self {
        let (head, mut body) = response.into_parts();
        let retry_after = head.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let is_ours = !head.headers.contains_key("audit-id");
        let mut text = String::new();
        while let Some(Ok(data)) = within("the rest of a refusal", body.data()).await {
            text += &String::from_utf8_lossy(&data);
        }
        Self { at: Instant::now(), status: head.status.as_u16(), retry_after, is_ours, text }
    }

    /// What is ours is a `Status` that names our trouble and says when to come back.
    fn assert_says_when(&self) {
        let Self { status, text, .. } = self;
        let body: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {status} {text}"));
        let is_known = [502, 503].contains(status) && body["message"].as_str().is_some_and(is_our_trouble);
        assert!(is_known && self.retry_after == Some(1), "{status} {:?} {text}", self.retry_after);
        assert_eq!((&body["kind"], &body["reason"]), (&"Status".into(), &"ServiceUnavailable".into()));
    }
}

fn is_our_trouble(message: &str) -> bool {
    [
        "the cluster is unreachable",
        "the cluster could not be verified",
        "the cluster did not take the request",
        "the exchange with the cluster failed",
        // An apiserver that has not read its service accounts and roles yet knows neither us nor our rights.
        "the proxy's own credential was refused",
        "the proxy is not allowed to impersonate",
    ]
    .contains(&message)
}

fn counts(refusals: &[&Refusal]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for refusal in refusals {
        *counts.entry(refusal.status).or_default() += 1;
    }
    counts
}

/// Opens the watch whenever it is not open, and comes back when it is told to, as client-go does.
async fn stay(
    number: usize,
    client: &Http2,
    authorization: &str,
    refusals: &Mutex<Vec<Refusal>>,
    open: &watch::Sender<BTreeMap<usize, Instant>>,
) {
    let lines = [("authorization", authorization)];
    let target = "/api/v1/namespaces/default/configmaps?watch=true";
    loop {
        let (response, _body) = client.start("GET", target, &lines, true).await.unwrap();
        let response = within("an answer", response).await.unwrap();
        if response.status() != StatusCode::OK {
            let refusal = Refusal::read(response).await;
            let pause = refusal.retry_after.map_or(PAUSE, Duration::from_secs);
            refusals.lock().unwrap().push(refusal);
            tokio::time::sleep(pause).await;
            continue;
        }
        open.send_modify(|open| _ = open.insert(number, Instant::now()));
        let mut body = response.into_body();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        open.send_modify(|open| _ = open.remove(&number));
    }
}
