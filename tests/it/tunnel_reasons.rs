//! Commands and port-forwards that end for another reason than their token's record: what the client is told, that both
//! sides are closed, and that it is counted by its reason.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::added::{Added, change};
use crate::support::database;
use crate::support::gate::Settings;
use crate::support::live::{PROTOCOLS, Streams};
use crate::support::message::Broken;
use crate::support::rig::{Rig, login};
use crate::support::tunnel::{Scene, Tunnel, close, close_with, last_words, status, switching};

const EXEC: &str = "/api/v1/namespaces/default/pods/p/exec?command=cat&stdin=true&stdout=true";
const PORT_FORWARD: &str = "/api/v1/namespaces/default/pods/p/portforward?ports=80";
const OUTPUT: &[u8] = b"\x82\x06\x01hello";

/// A command and a port-forward by one token.
struct Pair<'s> {
    command: Tunnel<'s>,
    forward: Tunnel<'s>,
}

impl<'s> Pair<'s> {
    /// To a cluster whose paths begin with `prefix`. The server says `OUTPUT` once more when it is told to go on.
    async fn open(scene: &'s Scene, prefix: &str, bearer: &str) -> Self {
        let open = async |target: &str, subprotocol: &str| {
            let go_on = scene.say(switching("websocket", subprotocol), OUTPUT, OUTPUT);
            let (name, _) = bearer.split_once(':').unwrap();
            let target = format!("{prefix}{target}");
            let mut tunnel = scene.open(name, bearer, &target, "websocket", subprotocol).await;
            tunnel.go_on = go_on;
            tunnel.heard(OUTPUT).await;
            tunnel
        };
        let command = open(EXEC, "v5.channel.k8s.io").await;
        Self { command, forward: open(PORT_FORWARD, "SPDY/3.1+portforward.k8s.io").await }
    }

    /// Asserts that both have ended with these bytes, and that nothing is left upstream.
    async fn expect_end(&mut self, of_command: &[u8], of_forward: &[u8]) {
        for (tunnel, words) in [(&mut self.command, of_command), (&mut self.forward, of_forward)] {
            let (said, end) = tunnel.rest().await;
            assert_eq!(
                (said.escape_ascii().to_string(), end),
                (words.escape_ascii().to_string(), Broken::Closed)
            );
            // What the server has left to say is said to nobody; it reads its side's end behind it.
            tunnel.go_on.notify_one();
            tunnel.closed_upstream().await;
        }
    }

    /// The same, where the client is told by a Status of `code` and `name`, or by a close frame with its message.
    async fn expect_told(&mut self, code: u16, name: &str, message: &str) {
        self.expect_end(&last_words(&status(code, name, message)), &close(message)).await;
    }

    async fn expect_open(&mut self) {
        for tunnel in [&mut self.command, &mut self.forward] {
            tunnel.go_on.notify_one();
            tunnel.heard(OUTPUT).await;
        }
    }
}

/// Asserts that one command and one port-forward were cut for this reason, and no others.
async fn expect_counted(rig: &Rig, reason: &str) {
    let (_, metrics) = rig.gate.admin_request("/metrics").await;
    let counts = |line: &&str| line.starts_with("portcullis_stream_cuts_total{") && !line.ends_with(" 0");
    let mut counted: Vec<_> = metrics.lines().filter(counts).collect();
    counted.sort_unstable();
    let expected = ["exec", "portforward"]
        .map(|kind| format!("portcullis_stream_cuts_total{{reason=\"{reason}\",kind=\"{kind}\"}} 1"));
    assert_eq!(counted, expected);
}

#[tokio::test]
async fn who_may_use_a_cluster_no_more_is_told_so_and_who_still_may_goes_on() {
    let Added { rig, stub, id } = Added::start().await;
    let (scene, prefix) = (Scene::to(rig, stub).await, format!("/k8s/clusters/{id}"));
    let bob = scene.rig.account("bob", &["ops"]).await;
    let mut kept = Pair::open(&scene, &prefix, &scene.account.bearer).await;
    let mut lost = Pair::open(&scene, &prefix, &bob.bearer).await;
    let access = json!({ "access": { "everybody": false, "groups": ["dev"] } });
    change(&scene.rig, &id, "PUT", &access).await;
    let message = format!("the user of token {} may no longer use cluster {id}", bob.token_name);
    lost.expect_told(403, "Forbidden", &message).await;
    expect_counted(&scene.rig, "access_lost").await;
    kept.expect_open().await;
}

#[tokio::test]
async fn with_a_cluster_that_is_removed_its_commands_end_and_those_of_others_go_on() {
    let Added { rig, stub, id } = Added::start().await;
    let (elsewhere, scene) = (rig.stub.clone(), Scene::to(rig, stub).await);
    let bearer = &scene.account.bearer;
    let mut lost = Pair::open(&scene, &format!("/k8s/clusters/{id}"), bearer).await;
    let watched = Streams::of(&elsewhere, |_| "application/json");
    let mut kept = watched.open(&scene.rig, PROTOCOLS[1], "/api/v1/pods?watch=true", bearer).await;
    change(&scene.rig, &id, "DELETE", &Value::Null).await;
    lost.expect_told(404, "NotFound", &format!("cluster {id} was removed")).await;
    expect_counted(&scene.rig, "cluster_removed").await;
    kept.pass(b"{}\n").await;
}

#[tokio::test]
async fn a_logout_ends_the_commands_of_its_session_alone() {
    let scene = Scene::start().await;
    let (ended, other) = (session(&scene).await, session(&scene).await);
    let mut lost = Pair::open(&scene, "", &ended).await;
    let mut kept = Pair::open(&scene, "", &other).await;
    let told = scene.rig.api("POST", "/v3/tokens?action=logout", &ended, &json!({})).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let (name, _) = ended.split_once(':').unwrap();
    lost.expect_told(401, "Unauthorized", &format!("the session of token {name} was ended by a logout"))
        .await;
    expect_counted(&scene.rig, "logged_out").await;
    kept.expect_open().await;
}

#[tokio::test]
async fn a_session_that_nobody_uses_takes_its_commands_along_when_its_time_is_over() {
    let scene = Scene::start().await;
    let (idle, other) = (session(&scene).await, session(&scene).await);
    let (name, _) = idle.split_once(':').unwrap();
    // A use that is noted would have to be waited for; one that lies ahead keeps the gate from noting another.
    let used = "UPDATE tokens SET last_used_at = created_at + 600000, last_used_address = '', last_used_user_agent = ''
                WHERE name = ?1";
    assert_eq!(database::open(&scene.rig.gate).execute(used, [name]).unwrap(), 1);
    let mut lost = Pair::open(&scene, "", &idle).await;
    let mut kept = Pair::open(&scene, "", &other).await;
    // Now it is one that was made 961 minutes ago, and never used; sessions may be unused for 960.
    let aged =
        "UPDATE tokens SET created_at = created_at - 57660000, ttl = ttl + 57660000, last_used_at = NULL,
                last_used_address = NULL, last_used_user_agent = NULL WHERE name = ?1";
    assert_eq!(database::open(&scene.rig.gate).execute(aged, [name]).unwrap(), 1);
    // Any change has the record read again.
    let path = format!("/v3/tokens/{name}");
    let changed = scene.rig.api("PUT", &path, scene.rig.admin(), &json!({ "description": "idle" })).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    lost.expect_told(401, "Unauthorized", &format!("the session of token {name} was unused for too long"))
        .await;
    expect_counted(&scene.rig, "idle").await;
    kept.expect_open().await;
}

#[tokio::test]
async fn a_gate_that_goes_down_closes_commands_with_1001_and_says_why() {
    let limits = vec![("drainTimeout", "1s")];
    let settings = Settings { log_level: "info", limits, ..Settings::default() };
    let mut scene = Scene::of(Rig::with(&["h2", "http/1.1"], &settings).await).await;
    let mut pair = Pair::open(&scene, "", &scene.account.bearer).await;
    let mut spdy = scene.spdy(EXEC, b"\x80\x03\x00\x04 a frame").await;
    scene.rig.gate.signal(Signal::SIGTERM);
    // No Status: nothing is wrong with the command, and a client that reads one would take it for its end.
    let words = close_with(1001, "the gateway is going down");
    pair.expect_end(&words, &words).await;
    assert_eq!(spdy.rest().await, (Vec::new(), Broken::Closed));
    spdy.closed_upstream().await;
    drop((pair, spdy));
    assert_eq!(scene.rig.gate.exit_code().await, Some(0));
    let log = scene.rig.gate.stdout();
    assert_eq!(log.lines().filter(|line| line.contains("\"reason\":\"draining\"")).count(), 3, "{log}");
}

/// A session of the scene's user.
async fn session(scene: &Scene) -> String {
    login(&scene.rig.gate, "alice", &scene.account.password).await
}
