//! A thousand streams of every kind through one gate to a real cluster, ended by their tokens and users: how long that
//! takes, and that nothing of them is left in the cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::cluster::require_node;
use crate::real_gate::{RealGate, User, open_upstream, succeed};
use crate::real_stream_client::{Kind, Stream};
use crate::support::wire::Http2;
use crate::support::{accounts, report};

const USERS: usize = 10;
const TOKENS_EACH: usize = 10;
/// Of the users, the last ones are disabled, and of the others each token is deleted.
const DISABLED: usize = 2;
/// Streams of each kind: a thousand. The kubelet follows each log by an inotify instance, of which the kernel gives it 128.
const STREAMS: [(Kind, usize); 9] = [
    (Kind::Watch { protobuf: false, http2: true }, 205),
    (Kind::Watch { protobuf: true, http2: true }, 205),
    (Kind::Watch { protobuf: false, http2: false }, 205),
    (Kind::Watch { protobuf: true, http2: false }, 205),
    (Kind::Log { http2: true }, 30),
    (Kind::Log { http2: false }, 30),
    (Kind::Exec, 80),
    (Kind::PortForwardWebSocket, 20),
    (Kind::PortForwardSpdy, 20),
];
/// The bound that the figures are held to.
const BOUND: Duration = Duration::from_secs(1);
/// How long the cluster has to let go of everything.
const AFTERWARDS: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_end_with_their_tokens_within_a_second() {
    let gate = RealGate::start().await;
    if !require_node(gate.cluster) {
        return;
    }
    let owner = gate.user("mixed").await;
    let binding = ["create", "rolebinding", "may-stream", "--clusterrole=edit", "--group=streamers"];
    succeed(gate.cluster.kubectl().args(binding).args(["--namespace", &owner.namespace]));
    let script = "echo begun; while sleep 1; do echo alive; done";
    owner.run_pod("web", &[], &["sh", "-c", script]);
    let tokens = tokens(&gate).await;

    let mut streams = open(&gate, &owner, &tokens).await;
    let count = metric(&gate, "portcullis_open_streams").await;
    assert_eq!(count, 1_000, "as many as were opened are registered");
    end(&gate, &tokens).await;
    let mut taken: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    while let Some(ended) = streams.join_next().await {
        let (kind, number, at) = ended.unwrap();
        let since = at.duration_since(*tokens[number].asked.get().unwrap());
        taken.entry(kind.to_string()).or_default().push(since);
    }
    let over = Instant::now();
    let left = left_upstream(&gate, &owner, &tokens, over).await;
    let mut figures: serde_json::Map<String, Value> =
        taken.iter().map(|(kind, taken)| (kind.clone(), report::spread(taken))).collect();
    let all: Vec<_> = taken.into_values().flatten().collect();
    figures.insert("all".to_owned(), report::spread(&all));
    let figures = json!({
        "command": "cargo test --test it a_thousand_streams_end_with_their_tokens_within_a_second",
        "from the request that ends a token or user to the end of its streams at their clients": figures,
        "tokens deleted": (USERS - DISABLED) * TOKENS_EACH,
        "users disabled": DISABLED,
        "requests open in the apiserver, processes in the pod afterwards": left,
        "seconds until there were none": (over.elapsed().as_secs_f64() * 10.0).round() / 10.0,
    });
    report::write("revoke-to-cut", &figures);
    let p99 = report::percentile(&all, 99);
    assert!(p99 < BOUND, "{figures:#}");
    assert_eq!(left, 0, "{figures:#}");
}

/// A token, and when its end was asked for.
struct Token {
    name: String,
    bearer: String,
    user: usize,
    user_id: String,
    asked: OnceLock<Instant>,
}

async fn tokens(gate: &RealGate) -> Arc<Vec<Token>> {
    let mut tokens = Vec::new();
    for user in 0..USERS {
        let account = gate.account(&format!("streamer-{user}"), &["streamers"]).await;
        for _ in 0..TOKENS_EACH {
            let (name, bearer) = accounts::token(&gate.gate, &account.bearer, 0).await;
            let user_id = account.user_id.clone();
            tokens.push(Token { name, bearer, user, user_id, asked: OnceLock::new() });
        }
    }
    Arc::new(tokens)
}

/// Opens all streams and waits until each has had something from the cluster. Their tasks give kind, token and the moment
/// of the end.
async fn open(gate: &RealGate, owner: &User, tokens: &Arc<Vec<Token>>) -> JoinSet<(Kind, usize, Instant)> {
    let endpoint = &gate.gate.endpoint;
    let (ready, mut opened) = mpsc::channel(1);
    // As many at once as two processors can open.
    let turns = Arc::new(Semaphore::new(16));
    let mut streams = JoinSet::new();
    let mut connection = Http2::connect(endpoint).await;
    let mut number = 0;
    for (kind, count) in STREAMS {
        for _ in 0..count {
            if number % 100 == 0 {
                connection = Http2::connect(endpoint).await;
            }
            let token = number % tokens.len();
            let (tokens, endpoint, http2) = (Arc::clone(tokens), endpoint.clone(), connection.clone());
            let (namespace, ready, turns) = (owner.namespace.clone(), ready.clone(), Arc::clone(&turns));
            streams.spawn(async move {
                let turn = turns.acquire().await.unwrap();
                let mut stream =
                    Stream::open(kind, &endpoint, &http2, &namespace, &tokens[token].bearer).await;
                drop(turn);
                ready.send(()).await.unwrap();
                drop(ready);
                stream.end(&tokens[token].name).await;
                (kind, token, Instant::now())
            });
            number += 1;
        }
    }
    drop(ready);
    let mut count = 0;
    while opened.recv().await.is_some() {
        count += 1;
    }
    assert_eq!(count, number, "streams opened");
    streams
}

/// Ends all tokens, one act after the other.
async fn end(gate: &RealGate, tokens: &[Token]) {
    for user in 0..USERS {
        let of_user: Vec<_> = tokens.iter().filter(|token| token.user == user).collect();
        if user >= USERS - DISABLED {
            let asked = Instant::now();
            for token in &of_user {
                token.asked.set(asked).unwrap();
            }
            let target = format!("/v3/users/{}", of_user[0].user_id);
            let answer = gate.api("PUT", &target, &json!({ "enabled": false })).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            continue;
        }
        for token in of_user {
            token.asked.set(Instant::now()).unwrap();
            let answer = gate.api("DELETE", &format!("/v3/tokens/{}", token.name), &Value::Null).await;
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
    }
}

/// What is left of the streams: waits until it is nothing, and no longer than [`AFTERWARDS`].
async fn left_upstream(gate: &RealGate, owner: &User, tokens: &[Token], over: Instant) -> usize {
    loop {
        let open: usize =
            tokens.iter().map(|token| open_upstream(gate.cluster, &token.name).unwrap_or(0)).sum();
        let mut ps = gate.cluster.kubectl();
        ps.args(["--namespace", &owner.namespace, "exec", "web", "--", "ps", "-o", "args"]);
        let processes = succeed(&mut ps).lines().filter(|line| line.starts_with("cat")).count();
        if open + processes == 0 || over.elapsed() > AFTERWARDS {
            return open + processes;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The sum of all series of a metric.
async fn metric(gate: &RealGate, name: &str) -> u64 {
    let (_, text) = gate.gate.admin_request("/metrics").await;
    let series = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
