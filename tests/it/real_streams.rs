//! kubectl's streams through the gate to real pods, in both of its protocols.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use crate::cluster::require_node;
use crate::real_gate::{RealGate, Running, User, audited, run_with_input, succeed};

/// What kubectl speaks in its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    WebSocket,
    Spdy,
}

/// A user with a pod, and kubectl that speaks one of the protocols.
pub(crate) struct Session {
    pub(crate) user: User,
    protocol: Protocol,
    pub(crate) gate: Arc<RealGate>,
}

#[tokio::test]
async fn exec_by_websocket() {
    exec("exec-websocket", Protocol::WebSocket).await;
}

#[tokio::test]
async fn exec_by_spdy() {
    exec("exec-spdy", Protocol::Spdy).await;
}

#[tokio::test]
async fn attach_by_websocket() {
    attach("attach-websocket", Protocol::WebSocket).await;
}

#[tokio::test]
async fn attach_by_spdy() {
    attach("attach-spdy", Protocol::Spdy).await;
}

#[tokio::test]
async fn copies_of_50_megabytes_are_the_same_by_websocket() {
    copy("copy-websocket", Protocol::WebSocket).await;
}

#[tokio::test]
async fn copies_of_50_megabytes_are_the_same_by_spdy() {
    copy("copy-spdy", Protocol::Spdy).await;
}

#[tokio::test]
async fn port_forward_by_websocket() {
    port_forward("forward-websocket", Protocol::WebSocket).await;
}

#[tokio::test]
async fn port_forward_by_spdy() {
    port_forward("forward-spdy", Protocol::Spdy).await;
}

#[tokio::test]
async fn logs_are_followed_to_the_end_of_the_pod() {
    let Some(session) = Session::start("logs", Protocol::WebSocket).await else { return };
    let script = "echo first; read line; echo \"$line\"; exec sleep 600";
    session.user.run_pod("web", &["--stdin", "--attach=false"], &["sh", "-c", script]);
    let mut logs = Running::start(session.user.kubectl().args(["logs", "--follow", "web"]));
    logs.line_with("first");
    // Written only now: it can't have been there when the log was asked for.
    let attach = ["attach", "--stdin", "web"];
    let mut attached = Running::start(session.user.kubectl().args(attach));
    writeln!(attached.child.stdin.as_mut().unwrap(), "second").unwrap();
    logs.line_with("second");
    succeed(session.user.kubectl().args(["delete", "pod", "web", "--now", "--wait=false"]));
    assert!(logs.ends_well());
}

/// Standard input, output and error, the exit code, and a terminal.
async fn exec(name: &str, protocol: Protocol) {
    let Some(session) = Session::start(name, protocol).await else { return };
    session.user.run_pod("web", &[], &["sleep", "600"]);
    let input: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    let echoed = run_with_input(session.kubectl().args(["exec", "-i", "web", "--", "cat"]), &input);
    assert!(echoed.status.success(), "{}", String::from_utf8_lossy(&echoed.stderr));
    assert!(echoed.stdout == input, "{} of {} bytes came back", echoed.stdout.len(), input.len());

    let script = "echo out; echo err >&2; exit 7";
    let failed = run_with_input(session.kubectl().args(["exec", "web", "--", "sh", "-c", script]), b"");
    assert_eq!(failed.status.code(), Some(7));
    assert_eq!(failed.stdout, b"out\n");
    assert!(failed.stderr.starts_with(b"err\n"), "{failed:?}");

    let terminal = run_with_input(&mut session.in_terminal("exec -it web -- sh"), b"tty; exit 3\n");
    let shown = String::from_utf8_lossy(&terminal.stdout).into_owned();
    assert!(shown.contains("/dev/pts/"), "{shown}");
    assert_eq!(terminal.status.code(), Some(3), "{shown}");
    session.assert_used("exec");
}

async fn attach(name: &str, protocol: Protocol) {
    let Some(session) = Session::start(name, protocol).await else { return };
    let script = "while read line; do echo \"got $line\"; done";
    session.user.run_pod("web", &["--stdin", "--attach=false"], &["sh", "-c", script]);
    let mut attached = Running::start(session.kubectl().args(["attach", "--stdin", "web"]));
    let mut stdin = attached.child.stdin.take().unwrap();
    for word in ["one", "two"] {
        writeln!(stdin, "{word}").unwrap();
        attached.line_with(&format!("got {word}"));
    }
    session.assert_used("attach");
}

async fn copy(name: &str, protocol: Protocol) {
    let Some(session) = Session::start(name, protocol).await else { return };
    session.user.run_pod("web", &[], &["sleep", "600"]);
    let directory = session.gate.gate.directory().join(name);
    fs::create_dir(&directory).unwrap();
    let (there, back) = (directory.join("there"), directory.join("back"));
    let mut random = fs::File::open("/dev/urandom").unwrap().take(50_000_000);
    std::io::copy(&mut random, &mut fs::File::create(&there).unwrap()).unwrap();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    succeed(session.kubectl().args(["cp", &path(&there), "web:/tmp/copy"]));
    succeed(session.kubectl().args(["cp", "web:/tmp/copy", &path(&back)]));
    assert!(fs::read(&there).unwrap() == fs::read(&back).unwrap(), "what came back differs");
    session.assert_used("exec");
    fs::remove_dir_all(&directory).unwrap();
}

async fn port_forward(name: &str, protocol: Protocol) {
    let Some(session) = Session::start(name, protocol).await else { return };
    let script = "mkdir /www; head -c 10000000 /dev/zero > /www/large; echo page > /www/index.html;
        exec httpd -f -p 8080 -h /www";
    session.user.run_pod("web", &[], &["sh", "-c", script]);
    // Ready is the pod before its server listens, and kubectl gives up a port on which nobody does.
    let asked = "until wget -q -O /dev/null http://127.0.0.1:8080/; do sleep 0.1; done";
    succeed(session.kubectl().args(["exec", "web", "--", "sh", "-c", asked]));
    let mut forward = Running::start(session.kubectl().args(["port-forward", "pod/web", ":8080"]));
    // Forwarding from 127.0.0.1:PORT -> 8080
    let told = forward.line_with("Forwarding from 127.0.0.1");
    let address = told.split_whitespace().nth(2).unwrap().to_owned();
    let get = |path: &str| {
        let mut connection = TcpStream::connect(&address).unwrap();
        write!(connection, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        answer.split_off(end + 4)
    };
    std::thread::scope(|scope| {
        let pages: Vec<_> = (0..10).map(|_| scope.spawn(|| get("/"))).collect();
        assert_eq!(get("/large").len(), 10_000_000);
        for page in pages {
            assert_eq!(page.join().unwrap(), b"page\n");
        }
    });
    session.assert_used("portforward");
}

impl Session {
    /// None if the cluster has no node.
    pub(crate) async fn start(name: &str, protocol: Protocol) -> Option<Self> {
        Self::of(RealGate::shared().await, name, protocol).await
    }

    /// The same at a gate of the test's own.
    pub(crate) async fn of(gate: Arc<RealGate>, name: &str, protocol: Protocol) -> Option<Self> {
        if !require_node(gate.cluster) {
            return None;
        }
        let user = gate.user(name).await;
        Some(Self { user, protocol, gate })
    }

    pub(crate) fn kubectl(&self) -> Command {
        self.with_protocol(self.user.kubectl())
    }

    /// kubectl in a terminal of its own, with what is given as its input typed there.
    fn in_terminal(&self, arguments: &str) -> Command {
        let kubectl = self.user.kubectl();
        let words = std::iter::once(kubectl.get_program()).chain(kubectl.get_args());
        let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &format!("{} {arguments}", words.join(" "))]);
        let home = kubectl.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.arg("/dev/null").envs(home);
        self.with_protocol(command)
    }

    fn with_protocol(&self, mut command: Command) -> Command {
        let value = if self.protocol == Protocol::WebSocket { "true" } else { "false" };
        for name in ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"] {
            command.env(name, value);
        }
        command
    }

    /// That kubectl spoke the protocol in question, and did not fall back to the other: a WebSocket begins with GET, a
    /// SPDY connection with POST.
    fn assert_used(&self, subresource: &str) {
        let Some(events) = audited(self.gate.cluster, &self.user.account.token_name) else { return };
        let streams = events.iter().filter(|event| event["objectRef"]["subresource"] == subresource);
        let verb = if self.protocol == Protocol::WebSocket { "get" } else { "create" };
        let verbs: Vec<_> = streams.map(|event| event["verb"].as_str().unwrap()).collect();
        assert!(!verbs.is_empty() && verbs.iter().all(|used| *used == verb), "{subresource}: {verbs:?}");
    }
}
