//! A controller's informer, which is client-go's, when its token ends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::real_gate::{RealGate, Running, User, succeed};
use crate::support::accounts;
use crate::support::report;
use crate::support::wire::Endpoint;

/// For how long an informer without a good token is watched.
const WITHOUT: Duration = Duration::from_secs(20);
/// client-go waits 0.8 s at first, then twice as long each time, and up to twice that at random: five times in
/// [`WITHOUT`] at most. Each time it may ask for a streamed list and for a plain one.
const MOST_REQUESTS: usize = 10;

#[tokio::test]
async fn an_informer_goes_on_with_a_fresh_token_and_misses_nothing() {
    goes_on("informer-json", false).await;
}

#[tokio::test]
async fn an_informer_of_protobuf_goes_on_with_a_fresh_token_and_misses_nothing() {
    goes_on("informer-protobuf", true).await;
}

#[tokio::test]
async fn an_informer_without_a_fresh_token_does_not_hammer() {
    let Some(mut informer) = Informer::start("informer-without", false).await else { return };
    informer.end_token().await;
    informer.running.line_with("\"code\":401");
    tokio::time::sleep(WITHOUT).await;
    let log = informer.gate.gate.stdout();
    let refused = log.lines().filter(|line| line.contains(&informer.token) && line.contains("\"code\":401"));
    let refused = refused.count();
    assert!((2..=MOST_REQUESTS).contains(&refused), "{refused} requests in {WITHOUT:?}");
    let figures = json!({
        "command": "cargo test --test it real_informer",
        "seconds": WITHOUT.as_secs(),
        "requests without a good token meanwhile": refused,
        "bound": MOST_REQUESTS,
    });
    report::write("informer-without-token", &figures);
}

/// client-go reads a token's file again after fifty seconds, whatever it is answered meanwhile, so this takes a minute.
async fn goes_on(name: &str, protobuf: bool) {
    let Some(mut informer) = Informer::start(name, protobuf).await else { return };
    informer.create("before");
    informer.running.line_with("\"name\":\"before\"");
    informer.end_token().await;
    let ended = Instant::now();
    informer.running.line_with("\"code\":401");
    let refused = ended.elapsed();
    informer.create("meanwhile");
    informer.delete("before");
    let (_, fresh) = accounts::token(&informer.gate.gate, &informer.user.account.bearer, 0).await;
    std::fs::write(&informer.token_file, fresh).unwrap();
    let given = Instant::now();
    let added = informer.running.line_with("\"name\":\"meanwhile\"");
    assert!(added.contains("\"event\":\"added\""), "{added}");
    let recovered = given.elapsed();
    informer.create("afterwards");
    informer.running.line_with("\"name\":\"afterwards\"");
    assert_eq!(informer.state(), ["afterwards", "kube-root-ca.crt", "meanwhile"]);
    let figures = json!({
        "command": "cargo test --test it real_informer",
        "seconds from the end of the token to the first refused request": seconds(refused),
        "seconds from a fresh token in the file to all objects": seconds(recovered),
    });
    report::write(name, &figures);
}

/// The informer of a namespace, with the token in a file. None where the program is not built, as with a cluster of the
/// environment.
pub(crate) fn informer(
    cluster: &Cluster,
    endpoint: &Endpoint,
    token_file: &Path,
    namespace: &str,
) -> Option<Command> {
    let Some(mut command) = cluster.informer() else {
        eprintln!("SKIPPED: no informer beside kubectl");
        return None;
    };
    let ca_file = token_file.with_extension("ca");
    std::fs::write(&ca_file, endpoint.ca_pem.as_bytes()).unwrap();
    command.arg(format!("--server=https://{}", endpoint.address));
    command
        .arg("--token-file")
        .arg(token_file)
        .arg("--ca-file")
        .arg(ca_file)
        .args(["--namespace", namespace]);
    Some(command)
}

/// An informer that has synced, with a token of its own in a file.
struct Informer {
    gate: RealGate,
    user: User,
    running: Running,
    token: String,
    token_file: PathBuf,
}

impl Informer {
    async fn start(name: &str, protobuf: bool) -> Option<Self> {
        let gate = RealGate::start().await;
        let user = gate.user(name).await;
        let (token, bearer) = accounts::token(&gate.gate, &user.account.bearer, 0).await;
        let token_file = gate.gate.directory().join("informer-token");
        std::fs::write(&token_file, bearer).unwrap();
        let mut command = informer(gate.cluster, &gate.gate.endpoint, &token_file, &user.namespace)?;
        command.arg(format!("--protobuf={protobuf}"));
        let mut running = Running::start(&mut command);
        running.line_with("\"event\":\"synced\"");
        Some(Self { gate, user, running, token, token_file })
    }

    async fn end_token(&self) {
        let answer = self.gate.api("DELETE", &format!("/v3/tokens/{}", self.token), &Value::Null).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    fn create(&self, name: &str) {
        self.as_administrator(&["create", "configmap", name]);
    }

    fn delete(&self, name: &str) {
        self.as_administrator(&["delete", "configmap", name]);
    }

    fn as_administrator(&self, arguments: &[&str]) {
        succeed(self.gate.cluster.kubectl().args(arguments).args(["--namespace", &self.user.namespace]));
    }

    /// The names of what it knows.
    fn state(&mut self) -> Vec<String> {
        writeln!(self.running.child.stdin.as_mut().unwrap()).unwrap();
        let state: Value = serde_json::from_str(&self.running.line_with("\"event\":\"state\"")).unwrap();
        let keys = state["names"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
        keys.map(|key| key.split('/').next_back().unwrap().to_owned()).collect()
    }
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
