//! What a user of kubectl sees when the token ends under a running command, and that nothing of the command is left in
//! the cluster.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::real_gate::{Running, open_upstream, succeed};
use crate::real_streams::{Protocol, Session};
use crate::support::{accounts, report};

#[tokio::test]
async fn kubectl_says_why_its_command_ended_by_websocket() {
    kubectl_ends_with_its_token("cut-websocket", Protocol::WebSocket).await;
}

#[tokio::test]
async fn kubectl_ends_with_its_token_by_spdy() {
    kubectl_ends_with_its_token("cut-spdy", Protocol::Spdy).await;
}

/// An end of a token, and what of it clients are told.
struct End {
    ttl_millis: u64,
    method: &'static str,
    path: &'static str,
    body: Value,
    reason: &'static str,
}

async fn kubectl_ends_with_its_token(name: &str, protocol: Protocol) {
    let Some(session) = Session::start(name, protocol).await else { return };
    let script = "truncate -s 50G /tmp/large; while sleep 0.2; do echo alive; done";
    session.user.run_pod("web", &[], &["sh", "-c", script]);
    let end = |method, path, body, reason| End { ttl_millis: 0, method, path, body, reason };
    let disabled = json!({ "enabled": false });
    let ends = [
        end("DELETE", "/v3/tokens/TOKEN", Value::Null, "token TOKEN was deleted"),
        end("POST", "/v3/tokens/TOKEN?action=disable", json!({}), "token TOKEN was disabled"),
        end("PUT", "/v3/users/USER", disabled, "the user of token TOKEN was disabled"),
        // Every command is running by then, or the test fails for a reason that it shows.
        End { ttl_millis: 15_000, ..end("", "", Value::Null, "token TOKEN has expired") },
    ];
    for end in ends {
        let words = ended(&session, &end).await;
        for (command, words) in &words {
            let expected = expected(protocol, command, &end.reason.replace("TOKEN", "<name>"));
            assert_eq!((&words["exit code"], &words["last words"]), (&expected.0, &expected.1), "{command}");
        }
        if end.method == "DELETE" {
            let name = if protocol == Protocol::Spdy { "kubectl-spdy" } else { "kubectl-websocket" };
            let command = "cargo test --test it real_tunnel_cuts";
            report::write(name, &json!({ "command": command, "command of kubectl": words }));
        }
    }
}

/// What kubectl makes of the end of its stream: exit code and last words.
fn expected(protocol: Protocol, command: &str, reason: &str) -> (Value, Value) {
    let (code, words) = match (protocol, command) {
        // In a table, as it shows everything: the columns of a Status.
        (_, "get") => (0, format!("Failure Unauthorized {reason}")),
        (_, "logs") => (0, String::new()),
        (_, "port-forward") => (1, "error: lost connection to pod".to_owned()),
        (Protocol::WebSocket, _) => (1, format!("error: {reason}")),
        (Protocol::Spdy, "cp") => (1, "error: unexpected EOF".to_owned()),
        // SPDY has no word for it, and to client-go the end of a stream is a command's good end.
        (Protocol::Spdy, _) => (0, String::new()),
    };
    (code.into(), words.into())
}

/// Runs everything of kubectl that lasts with one token, ends the token, and gives what kubectl made of it.
async fn ended(session: &Session, end: &End) -> Map<String, Value> {
    let (gate, account) = (&session.gate, &session.user.account);
    let made = Instant::now();
    let (token, bearer) = accounts::token(&gate.gate, &account.bearer, end.ttl_millis).await;
    let copied = gate.gate.directory().join(format!("copy-{token}"));
    let mut commands = vec![
        Watched::start(session, &bearer, &["exec", "-i", "web", "--", "sh", "-c", "echo begun; exec cat"]),
        Watched::start(session, &bearer, &["attach", "web"]),
        Watched::start(session, &bearer, &["port-forward", "pod/web", ":8080"]),
        Watched::start(session, &bearer, &["logs", "--follow", "web"]),
        Watched::start(session, &bearer, &["get", "pods", "--watch"]),
        Watched::start(session, &bearer, &["cp", "web:/tmp/large", copied.to_str().unwrap()]),
    ];
    // The watch has begun when the apiserver says so; what it shows at first is from a list.
    for (command, line) in commands.iter_mut().zip(["begun", "alive", "Forwarding from", "alive", "web"]) {
        command.running.line_with(line);
    }
    let is_copying = async || copied.metadata().is_ok_and(|copy| copy.len() > 0);
    gate.gate.wait_until("copying", is_copying).await;
    let all = commands.len();
    let are_open = async || open_upstream(gate.cluster, &token).is_none_or(|open| open == all);
    gate.gate.wait_until("streaming", are_open).await;
    if end.method.is_empty() {
        assert!(made.elapsed() < Duration::from_millis(end.ttl_millis), "{:?}", made.elapsed());
    } else {
        let path = end.path.replace("TOKEN", &token).replace("USER", &account.user_id);
        let answer = gate.api(end.method, &path, &end.body).await;
        assert!(answer.status < 300, "{}", answer.text());
    }
    let words = commands.into_iter().map(|command| command.end(&token)).collect();
    std::fs::remove_file(&copied).unwrap();
    nothing_is_left(session, &token).await;
    if end.path.contains("USER") {
        let on = json!({ "enabled": true });
        gate.api("PUT", &format!("/v3/users/{}", account.user_id), &on).await;
    }
    words
}

/// In the apiserver no request of the token is open, and in the pod no process of its commands.
async fn nothing_is_left(session: &Session, token: &str) {
    let ended = Instant::now();
    let cluster = session.gate.cluster;
    loop {
        let open = open_upstream(cluster, token).unwrap_or(0);
        let mut ps = cluster.kubectl();
        ps.args(["--namespace", &session.user.namespace, "exec", "web", "--", "ps", "-o", "args"]);
        let processes = succeed(&mut ps);
        // A command that does not read its input goes on, as it does when kubectl is killed: tar is one.
        let left = processes.lines().filter(|line| line.starts_with("cat")).count();
        if open + left == 0 {
            return;
        }
        assert!(ended.elapsed() < Duration::from_secs(10), "{open} requests open, {left} processes left");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// kubectl with its standard error kept.
pub(crate) struct Watched {
    name: String,
    pub(crate) running: Running,
    errors: PathBuf,
}

impl Watched {
    pub(crate) fn start(session: &Session, bearer: &str, arguments: &[&str]) -> Self {
        let name = arguments[0].to_owned();
        let token = bearer.split(':').next().unwrap();
        let errors = session.gate.gate.directory().join(format!("{token}-{name}.err"));
        let mut command = session.kubectl();
        command.args(["--token", bearer]).args(arguments).stderr(File::create(&errors).unwrap());
        Self { name, running: Running::start(&mut command), errors }
    }

    /// Waits for its end: exit code and last words, in which the token has no name.
    pub(crate) fn end(mut self, token: &str) -> (String, Value) {
        let output = self.running.rest();
        let code = self.running.child.wait().unwrap().code();
        let errors = std::fs::read_to_string(&self.errors).unwrap();
        // Attached, kubectl also says that there might be no prompt.
        let error = errors.lines().rfind(|line| line.starts_with("error"));
        let words = error.or(output.last().map(String::as_str).filter(|_| self.name == "get"));
        let words = words.unwrap_or_default().replace(token, "<name>");
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        (self.name, json!({ "exit code": code, "last words": words }))
    }
}
