//! Clients that are slow on purpose: each is let go within its limit, and nobody else notices.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::gate::Settings;
use crate::support::message::text;
use crate::support::rig::{Account, Rig};
use crate::support::stub::{Answer, send_data};
use crate::support::wire::{Outcome, RawHttp2};

/// The limit that the gate is given below, and what the machine may add to it.
const LIMIT: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(2);

async fn impatient() -> (Rig, Account) {
    let limits =
        ["tlsHandshakeTimeout", "firstByteTimeout", "headerTimeout", "bodyIdleTimeout", "idleTimeout"];
    let limits = limits.iter().map(|key| (*key, "1s")).collect();
    let rig = Rig::with(&["h2", "http/1.1"], &Settings { limits, ..Settings::default() }).await;
    let account = rig.account("alice", &[]).await;
    (rig, account)
}

#[tokio::test]
async fn a_client_that_does_not_finish_the_tls_handshake_is_let_go() {
    let (rig, _) = impatient().await;
    let mut clients = JoinSet::new();
    // The record header of a ClientHello of 512 bytes, and a little of it.
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n"] {
        let address = rig.gate.endpoint.address;
        clients.spawn(async move {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(bytes).await.unwrap();
            ends(&format!("{bytes:?}"), discard(socket)).await;
        });
    }
    clients.join_all().await;
}

#[tokio::test]
async fn a_client_of_http1_that_does_not_finish_its_head_is_let_go() {
    let (rig, account) = impatient().await;
    let authorization = account.authorization();
    let begun = format!("GET /api HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\nX: ");
    let mut clients = JoinSet::new();
    for bytes in ["", "G", "PRI * HT", "GET /api HTTP/1.1", "GET /api HTTP/1.1\r\nHost: a\r\n", &begun] {
        let (mut client, bytes) = (rig.http1().await, bytes.to_owned());
        clients.spawn(async move {
            client.send(&bytes).await;
            ends(&bytes, client.reader.rest()).await;
        });
    }
    clients.join_all().await;
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn a_head_that_drips_is_measured_as_a_whole() {
    let (rig, _) = impatient().await;
    let mut client = rig.http1().await;
    let (read, mut write) = tokio::io::split(&mut client.reader.stream);
    let drip = async {
        while write.write_all(b"X: y\r\n").await.is_ok() && write.flush().await.is_ok() {
            tokio::time::sleep(LIMIT / 10).await;
        }
    };
    ends("a dripping head", async {
        tokio::select! { () = drip => {}, () = discard(read) => {} }
    })
    .await;
}

#[tokio::test]
async fn a_client_of_http2_that_falls_silent_is_let_go() {
    let (rig, _) = impatient().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0].as_slice();
    // HEADERS that promise a continuation.
    let unfinished = [0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82].as_slice();
    let silences = [
        vec![],
        preface[..9].to_vec(),
        preface.to_vec(),
        [preface, settings].concat(),
        [preface, settings, &[0, 0]].concat(),
        [preface, settings, unfinished].concat(),
    ];
    let mut clients = JoinSet::new();
    for bytes in silences {
        let mut stream = rig.gate.endpoint.connect("h2").await;
        clients.spawn(async move {
            stream.write_all(&bytes).await.unwrap();
            stream.flush().await.unwrap();
            ends(&format!("after {:?}", text(&bytes)), discard(stream)).await;
        });
    }
    clients.join_all().await;
}

#[tokio::test]
async fn a_body_that_never_arrives_ends_its_request_and_the_one_upstream() {
    let (rig, account) = impatient().await;
    let authorization = account.authorization();
    let mut clients = JoinSet::new();
    for (framing, part) in
        [("Content-Length: 10", "{"), ("Transfer-Encoding: chunked", "5\r\n{"), ("Content-Length: 10", "")]
    {
        let (mut client, authorization) = (rig.http1().await, authorization.clone());
        clients.spawn(async move {
            client
                .send(format!(
                    "POST /api HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n{framing}\r\n\r\n{part}"
                ))
                .await;
            let (answer, _) = ends(part, client.reader.rest()).await;
            assert!(!text(&answer).starts_with("HTTP/1.1 2"), "{:?}", text(&answer));
        });
    }
    clients.join_all().await;
    let mut client = RawHttp2::connect(&rig.gate.endpoint).await;
    let fields: [(&[u8], &[u8]); 5] = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/api"),
        (b":authority", b"a"),
        (b"authorization", authorization.as_bytes()),
    ];
    client.headers(1, &fields, false).await;
    client.data(1, b"{", false).await;
    let outcome = ends("HTTP/2", client.outcome(1)).await;
    assert!(!matches!(outcome, Outcome::Answered(200..300)), "{outcome:?}");
    assert!(rig.stub.seen().iter().all(|seen| seen.body().is_none()), "nothing of it was whole upstream");
}

#[tokio::test]
async fn a_stranger_who_does_not_finish_a_body_for_the_api_is_let_go() {
    let (rig, _) = impatient().await;
    let mut clients = JoinSet::new();
    for target in
        ["/v3-public/localProviders/local?action=login", "/v1-public/login", "/v3/tokens", "/v3/nothing"]
    {
        let mut client = rig.http1().await;
        clients.spawn(async move {
            client
                .send(format!(
                    "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n{{"
                ))
                .await;
            let (answer, _) = ends(target, client.reader.rest()).await;
            assert!(!text(&answer).starts_with("HTTP/1.1 2"), "{:?}", text(&answer));
        });
        let mut client = RawHttp2::connect(&rig.gate.endpoint).await;
        clients.spawn(async move {
            let fields: [(&[u8], &[u8]); 5] = [
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":path", target.as_bytes()),
                (b":authority", b"a"),
                (b"content-type", b"application/json"),
            ];
            client.headers(1, &fields, false).await;
            client.data(1, b"{", false).await;
            let outcome = ends("HTTP/2", client.outcome(1)).await;
            assert!(!matches!(outcome, Outcome::Answered(200..300)), "{outcome:?}");
        });
    }
    clients.join_all().await;
}

#[tokio::test]
async fn a_watch_and_a_tunnel_without_events_are_not_idle_connections() {
    let (rig, account) = impatient().await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    rig.stub.answer_with(|seen| {
        if seen.values("upgrade").is_empty() {
            return Answer::http2(async |mut stream| {
                let response = http::Response::builder().status(200).body(()).unwrap();
                let mut sender = stream.respond.send_response(response, false).unwrap();
                tokio::time::sleep(3 * LIMIT).await;
                send_data(&mut sender, b"event", true).await;
            });
        }
        Answer::http1(async |mut connection| {
            connection
                .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
                .await;
            tokio::time::sleep(3 * LIMIT).await;
            connection.send(b"event").await;
            connection.drain().await;
        })
    });
    let (mut http1, http2, mut tunnel) = (rig.http1().await, rig.http2().await, rig.http1().await);
    let upgrade = [lines[0], ("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")];
    let exec = "/api/v1/namespaces/default/pods/p/exec?command=sh";
    let watch = "/api/v1/pods?watch=true";
    let (over_http1, over_http2, upgraded) = tokio::join!(
        http1.request("GET", watch, &lines, b""),
        http2.request("GET", watch, &lines, b""),
        async {
            assert_eq!(tunnel.request("POST", exec, &upgrade, b"").await.status, 101);
            tunnel.reader.exactly(5).await
        },
    );
    assert_eq!((over_http1.text().as_str(), over_http1.broken), ("event", None));
    assert_eq!(over_http2.unwrap().text(), "event");
    assert_eq!(upgraded.unwrap(), b"event");
}

#[tokio::test]
async fn a_connection_without_a_request_is_let_go() {
    let (rig, account) = impatient().await;
    let authorization = account.authorization();
    let mut client = rig.http1().await;
    assert_eq!(client.request("GET", "/api", &[("Authorization", &authorization)], b"").await.status, 200);
    ends("an idle connection", client.reader.rest()).await;
}

#[tokio::test]
async fn a_good_client_is_served_while_many_others_stall() {
    let (rig, account) = impatient().await;
    let authorization = account.authorization();
    let mut stalled = Vec::new();
    for number in 0..200 {
        let mut client = rig.http1().await;
        client.send(["", "G", "GET / HTTP/1.1\r\nX"][number % 3]).await;
        stalled.push(client);
    }
    let lines = [("Authorization", authorization.as_str())];
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(rig.http1().await.request("GET", "/api", &lines, b"").await.status, 200);
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Reads until the gate closes.
async fn discard(mut stream: impl AsyncRead + Unpin) {
    while !matches!(stream.read(&mut [0; 999]).await, Ok(0) | Err(_)) {}
}

/// The outcome of `future`, which must come within the limit.
async fn ends<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(LIMIT + GRACE, future).await;
    outcome.unwrap_or_else(|_| panic!("still open after {:?}: {what}", LIMIT + GRACE))
}
