//! How the gate stops: nothing that is under way is lost, and nothing new is begun.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use crate::support::gate::Settings;
use crate::support::message::text;
use crate::support::rig::{Account, Rig};
use crate::support::stub::{Answer, Reply, send_data};
use crate::support::wire::{Http1, response_of};
use crate::support::within;

const TARGET: &str = "/api/v1/pods";
const WATCH: &str = "/api/v1/pods?watch=true";
const EXEC: &str = "/api/v1/namespaces/default/pods/p/exec?command=sh";
const EVENT: &str = "{\"type\":\"BOOKMARK\",\"object\":{}}\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n";

#[tokio::test]
async fn a_request_that_is_under_way_is_finished_and_then_the_gate_ends_well() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut rig = Rig::start_http1().await;
        let account = rig.account("alice", &[]).await;
        let (go, mut client) = half_answered(&rig, &account).await;
        let idle = rig.http1().await;

        rig.gate.signal(signal);
        rig.gate.wait_until("closed to newcomers", async || is_closed(&rig).await).await;
        go.notify_one();
        let rest = within("the rest of the answer", client.reader.exactly(21)).await.unwrap();
        assert_eq!(text(&rest), "first halfsecond half");
        drop((idle, client));
        assert_eq!(rig.gate.exit_code().await, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn it_is_not_ready_at_once_and_serves_as_before_until_the_delay_is_over() {
    let settings = Settings { limits: vec![("shutdownDelay", "2s")], ..Settings::default() };
    let mut rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    let told = Instant::now();
    rig.gate.signal(Signal::SIGTERM);
    rig.gate.wait_until("unready", async || rig.gate.admin_request("/readyz").await.0 == 503).await;
    assert!(rig.gate.admin_request("/readyz").await.1.contains("[-]shutdown failed: shutting down"));
    assert_eq!(rig.gate.admin_request("/livez").await.0, 200);
    while told.elapsed() < Duration::from_millis(1500) {
        let mut newcomer = rig.http1().await;
        for _ in 0..2 {
            let response = newcomer.request("GET", TARGET, &lines, b"").await;
            assert_eq!((response.status, response.header("connection")), (200, None));
        }
        let response = rig.http2().await.request("GET", TARGET, &lines, b"").await;
        assert_eq!(response.unwrap().status, 200);
    }
    rig.gate.wait_until("closed to newcomers", async || is_closed(&rig).await).await;
    assert!(told.elapsed() >= Duration::from_secs(2));
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_late_request_on_an_open_connection_is_answered_and_told_to_go() {
    let mut rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    let (mut used, mut unused) = (rig.http1().await, rig.http1().await);
    assert_eq!(used.request("GET", TARGET, &lines, b"").await.header("connection"), None);
    rig.gate.signal(Signal::SIGTERM);
    rig.gate.wait_until("closed to newcomers", async || is_closed(&rig).await).await;
    for client in [&mut used, &mut unused] {
        let response = client.request("POST", TARGET, &lines, b"{}").await;
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        client.expect_close().await;
    }
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

#[tokio::test]
async fn connections_that_nobody_uses_do_not_keep_the_gate_up() {
    let mut rig = Rig::start().await;
    let (mut http1, _http2) = (rig.http1().await, rig.http2().await);
    rig.gate.signal(Signal::SIGTERM);
    http1.expect_close().await;
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let (_go, mut client) = half_answered(&rig, &account).await;
    rig.gate.signal(Signal::SIGTERM);
    rig.gate.wait_until("draining", async || rig.gate.admin_request("/readyz").await.0 == 503).await;
    rig.gate.signal(Signal::SIGTERM);
    assert_eq!(rig.gate.exit_code().await, Some(0));
    within("the end of the connection", client.reader.rest()).await;
}

#[tokio::test]
async fn what_takes_too_long_is_cut_at_the_drain_timeout() {
    let settings = Settings { limits: vec![("drainTimeout", "1s")], ..Settings::default() };
    let mut rig = Rig::with(&["http/1.1"], &settings).await;
    let account = rig.account("alice", &[]).await;
    let (_go, mut client) = half_answered(&rig, &account).await;
    rig.gate.signal(Signal::SIGTERM);
    let (rest, _) = within("the end of the connection", client.reader.rest()).await;
    assert!(!rest.ends_with(b"second half"));
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_watch_ends_cleanly_within_its_window_and_a_command_with_1001_at_the_drain_timeout() {
    let limits = vec![("watchDrainWindow", "1s"), ("drainTimeout", "3s")];
    let mut rig = Rig::with(&["h2", "http/1.1"], &Settings { limits, ..Settings::default() }).await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    rig.stub.answer_with(|seen| {
        if seen.values("upgrade").is_empty() {
            return watched();
        }
        Answer::http1(async |mut connection| {
            connection.send(SWITCHING).await;
            connection.drain().await;
        })
    });
    let lines = [("Authorization", authorization.as_str())];
    let mut over_http1 = rig.http1().await;
    over_http1
        .send(format!("GET {WATCH} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"))
        .await;
    let over_http2 = rig.http2().await.start("GET", WATCH, &lines, true).await.unwrap().0;
    let upgrade = [lines[0], ("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let websocket = [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")];
    let protocol = ("Sec-WebSocket-Protocol", "v5.channel.k8s.io");
    let (mut command, mut asked) = (rig.http1().await, upgrade.to_vec());
    asked.extend(websocket.into_iter().chain([protocol]));
    assert_eq!(command.request("GET", EXEC, &asked, b"").await.status, 101);
    rig.stub.until("two watches", |stub| stub.seen().len() == 3).await;

    let told = Instant::now();
    rig.gate.signal(Signal::SIGTERM);
    let (first, second) = tokio::join!(over_http1.response(), response_of(over_http2));
    for watch in [first.unwrap(), second.unwrap()] {
        assert_eq!((watch.status, watch.text().as_str(), watch.broken), (200, EVENT, None));
    }
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    let again = over_http1.request("GET", "/v3", &lines, b"").await;
    assert_eq!((again.status, again.header("connection")), (200, Some("close")));
    let (rest, _) = within("the end of the command", command.reader.rest()).await;
    assert!(told.elapsed() >= Duration::from_secs(3), "{:?}", told.elapsed());
    assert!(rest.starts_with(&[0x88]) && rest.get(2..4) == Some(&1001_u16.to_be_bytes()), "{rest:?}");
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

#[tokio::test]
async fn over_http2_no_request_is_lost() {
    let mut rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let client = rig.http2().await;
    assert_eq!(client.request("GET", TARGET, &lines, b"").await.unwrap().status, 200);
    rig.gate.signal(Signal::SIGTERM);
    // Until the client has heard of the end its requests are served; from then on it makes none here.
    while let Ok(response) = client.request("GET", TARGET, &lines, b"").await {
        assert_eq!((response.status, response.broken), (200, None));
    }
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_restarted_gate_knows_its_users_tokens_and_certificate() {
    let mut rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    let authorization = account.authorization();
    let before = rig.gate.endpoint.ca_pem.clone();
    rig.gate.signal(Signal::SIGTERM);
    assert_eq!(rig.gate.exit_code().await, Some(0));
    rig.gate.restart().await;
    assert_eq!(rig.gate.endpoint.ca_pem, before);
    rig.stub.forget();
    let lines = [("Authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    crate::support::expect::exactly(&rig.stub.only(), &account, rig.stub.port, &[]);
}

/// A watch with one event that goes on.
fn watched() -> Answer {
    Answer::http2(async |mut stream| {
        let response = http::Response::builder().status(200).header("content-type", "application/json");
        let mut sender = stream.respond.send_response(response.body(()).unwrap(), false).unwrap();
        send_data(&mut sender, EVENT.as_bytes(), false).await;
        let _ = std::future::poll_fn(|context| sender.poll_reset(context)).await;
    })
}

/// Whether no connection can be made any more.
async fn is_closed(rig: &Rig) -> bool {
    TcpStream::connect(rig.gate.endpoint.address).await.is_err()
}

/// A request whose answer is half sent; the other half follows when told.
async fn half_answered(rig: &Rig, account: &Account) -> (std::sync::Arc<tokio::sync::Notify>, Http1) {
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let wait = std::sync::Arc::clone(&go);
    rig.stub.answer_with(move |_| {
        let wait = std::sync::Arc::clone(&wait);
        Answer::http1(async move |mut connection| {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\nfirst half").await;
            wait.notified().await;
            connection.send(b"second half").await;
            connection.drain().await;
        })
    });
    let mut client = rig.http1().await;
    let authorization = account.authorization();
    client.send(format!("GET {TARGET} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n")).await;
    let head = within("a head", client.reader.head()).await.unwrap().unwrap();
    assert!(head.first_line.contains("200"));
    rig.stub.answer(Reply::json(200, "{}"));
    (go, client)
}
