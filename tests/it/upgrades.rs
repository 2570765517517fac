//! Upgrades: only a 101 with the protocol that was asked for opens a tunnel. Anything else must leave nobody speaking
//! to the apiserver with our credential (CVE-2018-1002105).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::support::expect;
use crate::support::rig::{Account, Rig};
use crate::support::stub::{Answer, Reply, Stub};
use crate::support::wire::Http1;
use crate::support::within;

const TARGET: &str = "/api/v1/namespaces/default/pods/p/exec?command=sh&stdin=true";
const PIPELINED: &str = "GET /api/v1/secrets HTTP/1.1\r\nHost: apiserver\r\n\r\n";
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn an_answer_other_than_101_opens_no_tunnel_and_closes_both_sides() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    for status in [200, 201, 204, 302, 307, 400, 401, 403, 404, 426, 500, 502, 503] {
        let before = rig.stub.connections().len();
        rig.stub.forget();
        // The stub keeps its side open, as an apiserver that waits for the next request does.
        rig.stub.answer(
            Reply::json(status, "{\"said\":\"upstream\"}").header("location", "https://127.0.0.1:1/"),
        );
        let mut client = upgrade(&rig, &account, "websocket", PIPELINED).await;
        let response = client.response().await.unwrap();
        match status {
            // 401 is about our own credential, never the client's.
            401 => assert!(response.status >= 500, "{}", response.status),
            400.. => {
                assert_eq!((response.status, response.text().as_str()), (status, "{\"said\":\"upstream\"}"));
            }
            _ => assert_eq!(response.status, 502, "upstream said {status}"),
        }
        let answered = Instant::now();
        // The pipelined request was the client's own: it may be answered, as one without a credential.
        while let Ok(response) = client.response().await {
            assert_eq!(response.status, 401, "after {status}");
        }
        closed_upstream(&rig.stub, before).await;
        assert!(answered.elapsed() < Duration::from_secs(1), "{status}: {:?}", answered.elapsed());
        let seen = rig.stub.seen();
        assert!(seen.iter().all(|seen| seen.target == TARGET), "{status}: {seen:#?}");
        let received = rig.stub.connections()[before].received();
        assert!(received.ends_with(b"\r\n\r\n"), "{status}: bytes after the head reached upstream");
    }
}

#[tokio::test]
async fn a_101_with_another_protocol_or_none_is_502() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let heads = [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, SPDY/3.1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
    ];
    for head in heads {
        let before = rig.stub.connections().len();
        rig.stub.answer_with(move |_| {
            Answer::http1(async move |mut connection| {
                connection.send(head.as_bytes()).await;
                connection.send(b"secret bytes of the apiserver").await;
                connection.drain().await;
            })
        });
        let mut client = upgrade(&rig, &account, "websocket", PIPELINED).await;
        let response = client.response().await.unwrap();
        expect::status(&response, 502, "ServiceUnavailable");
        while let Ok(response) = client.response().await {
            assert_eq!(response.status, 401);
        }
        assert!(!client.reader.log.windows(6).any(|window| window == b"secret"), "{head:?}");
        closed_upstream(&rig.stub, before).await;
        assert!(rig.stub.connections()[before].received().ends_with(b"\r\n\r\n"), "{head:?}");
    }
}

#[tokio::test]
async fn bytes_sent_early_wait_for_the_101() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let (go, wait) = pair();
    rig.stub.answer_with(move |_| {
        let wait = Arc::clone(&wait);
        Answer::http1(async move |mut connection| {
            wait.notified().await;
            connection.send(SWITCHING.as_bytes()).await;
            let early = connection.receive_exactly(5).await;
            connection.send(&early).await;
            connection.drain().await;
        })
    });
    let before = rig.stub.connections().len();
    let mut client = upgrade(&rig, &account, "websocket", "early").await;
    rig.stub.request(1).await;
    // The bytes came in one segment with the head, so a gate that passes them on has done so by the time another
    // request of the same client has been served.
    rig.http1().await.request("GET", "/version", &[], b"").await;
    let received = rig.stub.connections()[before].received();
    assert!(received.ends_with(b"\r\n\r\n"), "early bytes reached upstream before its 101");
    go.notify_one();
    assert_eq!(client.response().await.unwrap().status, 101);
    assert_eq!(within("the early bytes back", client.reader.exactly(5)).await.unwrap(), b"early");
}

#[tokio::test]
async fn while_upstream_hangs_a_client_that_leaves_takes_the_upstream_connection_with_it() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| Answer::Silence);
    let before = rig.stub.connections().len();
    let client = upgrade(&rig, &account, "SPDY/3.1", "").await;
    rig.stub.request(1).await;
    drop(client);
    let left = Instant::now();
    closed_upstream(&rig.stub, before).await;
    assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
}

#[tokio::test]
async fn an_upgrade_connection_is_never_used_for_anything_else() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    for status in [403, 200] {
        rig.stub.answer(Reply::json(status, "{}"));
        let mut client = upgrade(&rig, &account, "websocket", "").await;
        client.response().await.unwrap();
        let on = rig.stub.seen().last().unwrap().connection;
        rig.stub.answer(Reply::json(200, "{}"));
        for _ in 0..3 {
            let lines = [("Authorization", authorization.as_str())];
            assert_eq!(rig.http1().await.request("GET", "/api/v1/pods", &lines, b"").await.status, 200);
            assert_ne!(rig.stub.seen().last().unwrap().connection, on);
        }
    }
}

#[tokio::test]
async fn only_the_protocols_of_kubernetes_may_be_asked_for() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    for protocol in ["h2c", "TLS/1.0", "SPDY/3.1, websocket", "websocket, h2c", "HTTP/2.0", "foo", ""] {
        rig.stub.forget();
        let mut client = upgrade(&rig, &account, protocol, "").await;
        let response = client.response().await.unwrap();
        assert!(matches!(response.status, 200 | 400 | 403), "{protocol}: {}", response.status);
        for seen in rig.stub.seen() {
            assert_eq!(seen.values("upgrade"), Vec::<&str>::new(), "{protocol}");
            assert_eq!(seen.values("connection"), Vec::<&str>::new(), "{protocol}");
        }
    }
}

/// Sends an upgrade to `protocol`, with `early` in the same segment.
async fn upgrade(rig: &Rig, account: &Account, protocol: &str, early: &str) -> Http1 {
    let mut client = rig.http1().await;
    let authorization = account.authorization();
    client
        .send(format!(
            "GET {TARGET} HTTP/1.1\r\nHost: gate.example\r\nAuthorization: {authorization}\r\n\
             Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n{early}"
        ))
        .await;
    client
}

/// Waits until the gate has closed the upgrade's connection, the first since `before` that was none of HTTP/2.
async fn closed_upstream(stub: &Stub, before: usize) {
    stub.until("the gate to close its side", |stub| {
        let connections = stub.connections();
        let mut upgrades = connections[before..].iter().filter(|connection| !connection.is_h2).peekable();
        upgrades.peek().is_some() && upgrades.all(|connection| connection.is_closed())
    })
    .await;
}

fn pair() -> (Arc<Notify>, Arc<Notify>) {
    let notify = Arc::new(Notify::new());
    (Arc::clone(&notify), notify)
}
