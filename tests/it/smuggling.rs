//! Messages that two parsers could read in two ways. Each is refused with 400 and the end of the connection, and what
//! upstream sees is what was answered.

use std::time::Duration;

use crate::support::expect;
use crate::support::message::Broken;
use crate::support::rig::{Account, Rig};
use crate::support::wire::{Outcome, RawHttp2};

/// Appended to every attack: if it is ever taken for a request of its own, it arrives upstream.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: @\r\n\r\n";

/// Heads after `POST /x HTTP/1.1`, each with what follows it. `@` stands for a good credential.
const AMBIGUOUS_HEADS: &[(&str, &str)] = &[
    ("Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    ("Host: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n", "{}"),
    ("Host: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n", "{}"),
    ("Host: a\r\nContent-Length: 3\r\ncontent-length: 2\r\n", "{}"),
    ("Host: a\r\nContent-Length: 2, 2\r\n", "{}"),
    ("Host: a\r\nContent-Length: 2,3\r\n", "{}"),
    ("Host: a\r\nContent-Length: +2\r\n", "{}"),
    ("Host: a\r\nContent-Length: -2\r\n", "{}"),
    ("Host: a\r\nContent-Length: 0x2\r\n", "{}"),
    ("Host: a\r\nContent-Length: 2_0\r\n", "{}"),
    ("Host: a\r\nContent-Length: 2 3\r\n", "{}"),
    ("Host: a\r\nContent-Length: 2;\r\n", "{}"),
    ("Host: a\r\nContent-Length:\r\n", ""),
    ("Host: a\r\nContent-Length: \r\nContent-Length: 2\r\n", "{}"),
    ("Host: a\r\nContent-Length : 2\r\n", "{}"),
    ("Host: a\r\nContent-Length: 18446744073709551618\r\n", "{}"),
    ("Host: a\r\nContent_Length: 2\r\n", ""),
    ("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: cow, chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked, cow\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: ,chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked,\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: identity\r\n", ""),
    ("Host: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: xchunked\r\n", ""),
    ("Host: a\r\nTransfer-Encoding: chunk\r\n", ""),
    ("Host: a\r\nTransfer-Encoding:\r\n", ""),
    ("Host: a\r\nTransfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked\x0b\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding: chunked\x7f\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer-Encoding : chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nTransfer_Encoding: chunked\r\n", ""),
    ("Host: a\r\nTransfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nX: X\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Host: a\r\nX: X\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("", ""),
    ("Host: a\r\nHost: a\r\n", ""),
    ("Host: a\r\nHost: b\r\n", ""),
    ("Host: a\r\nhost: b\r\n", ""),
    ("Host: a b\r\n", ""),
    ("Host: a, b\r\n", ""),
    ("Host: a/b\r\n", ""),
    ("Host: user@a\r\n", ""),
    ("Host : a\r\n", ""),
    (" Host: a\r\n", ""),
    ("Host: a\r\nX: a\r\n b\r\n", ""),
    ("Host: a\r\nX\r\n", ""),
    ("Host: a\r\n: empty\r\n", ""),
    ("Host: a\r\nX: a\0b\r\n", ""),
    ("Host: a\r\nX\0: a\r\n", ""),
    ("Host: a\r\nX: a\rb\r\n", ""),
    ("Host: a\r\nX(: a\r\n", ""),
    ("Host: a\nX: bare line feed\n", ""),
];

/// Bodies after a head that promises chunks.
const BROKEN_CHUNKS: &[&str] = &[
    "0x2\r\n{}\r\n0\r\n\r\n",
    "+2\r\n{}\r\n0\r\n\r\n",
    "-2\r\n{}\r\n0\r\n\r\n",
    "2_0\r\n{}\r\n0\r\n\r\n",
    " 2\r\n{}\r\n0\r\n\r\n",
    "\r\n{}\r\n0\r\n\r\n",
    "g\r\n{}\r\n0\r\n\r\n",
    "10000000000000002\r\n{}\r\n0\r\n\r\n",
    "2\n{}\r\n0\r\n\r\n",
    "2\rX{}\r\n0\r\n\r\n",
    "2;a\nb\r\n{}\r\n0\r\n\r\n",
    "2;a\rb\r\n{}\r\n0\r\n\r\n",
    "2\r\n{}XX0\r\n\r\n",
    "2\r\n{}0\r\n\r\n",
    "2\r\n{}\n0\r\n\r\n",
    "2\r\n{}\r\n\r\n0\r\n\r\n",
    "2\r\n{}\r\n0\n\n",
    "2\r\n{}\r\n0\r\n\rX",
    "2\r\n{}\r\n0\r\nno colon\r\n\r\n",
];

#[tokio::test]
async fn a_head_that_could_be_read_in_two_ways_is_400_and_the_end() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    for (lines, body) in AMBIGUOUS_HEADS {
        let message = format!("POST /x HTTP/1.1\r\n{lines}Authorization: @\r\n\r\n{body}{SMUGGLED}");
        refused(&rig, &account, &message).await;
    }
    for line in [
        "POST  /x HTTP/1.1",
        "POST /x  HTTP/1.1",
        "POST\t/x HTTP/1.1",
        "POST /x y HTTP/1.1",
        "POST /x\x01 HTTP/1.1",
        "POST /x\nHTTP/1.1",
        "POST /x HTTP/1.1 ",
        "POST /x HTTP/1.10",
        "POST /x http/1.1",
        "PO(ST /x HTTP/1.1",
        "POST HTTP/1.1",
    ] {
        refused(&rig, &account, &format!("{line}\r\nHost: a\r\nAuthorization: @\r\n\r\n{SMUGGLED}")).await;
    }
    let message =
        "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nAuthorization: @\r\n\r\n0\r\n\r\n";
    refused(&rig, &account, &format!("{message}{SMUGGLED}")).await;
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn broken_chunks_never_become_a_whole_request_upstream() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    for body in BROKEN_CHUNKS {
        let head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nAuthorization: @\r\n\r\n";
        let (answers, _) = exchange(&rig, &account, &format!("{head}{body}{SMUGGLED}")).await;
        assert!(answers.iter().all(|status| *status >= 400), "{body:?}: {answers:?}");
        assert!(answers.len() <= 1, "{body:?}: {answers:?}");
    }
    // Everything before the end of a connection has been processed when it is closed.
    for seen in rig.stub.seen() {
        assert_eq!((seen.target.as_str(), seen.body()), ("/x", None));
    }
}

#[tokio::test]
async fn a_refused_message_after_a_good_one_does_not_undo_the_good_one() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let good = "GET /good HTTP/1.1\r\nHost: a\r\nAuthorization: @\r\n\r\n";
    let bad = "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nAuthorization: @\r\n\r\n";
    let (answers, _) = exchange(&rig, &account, &format!("{good}{bad}0\r\n\r\n{SMUGGLED}")).await;
    assert_eq!(answers, [200, 400]);
    assert_eq!(rig.stub.only().target, "/good");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_each_with_its_own_identity() {
    let rig = Rig::start_http1().await;
    let alice = rig.account("alice", &["dev"]).await;
    let bob = rig.account("bob", &["ops"]).await;
    let (for_alice, for_bob) = (alice.authorization(), bob.authorization());
    let mut client = rig.http1().await;
    client
        .send(format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nAuthorization: {for_alice}\r\n\r\nGET /\
             GET /b HTTP/1.1\r\nHost: a\r\nAuthorization: {for_bob}\r\n\r\n\
             GET /c HTTP/1.1\r\nHost: a\r\n\r\n\
             GET /d HTTP/1.1\r\nHost: a\r\nAuthorization: {for_alice}\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let mut answers = Vec::new();
    while let Ok(response) = client.response().await {
        answers.push(response.status);
    }
    assert_eq!(answers[..3], [200, 200, 401]);
    let seen = rig.stub.seen();
    for request in &seen {
        let account = if request.target == "/b" { &bob } else { &alice };
        expect::identity_is(request, account);
    }
    assert_eq!(seen[0].body(), Some(b"GET /".to_vec()));
    let targets: Vec<&str> = seen.iter().map(|seen| seen.target.as_str()).collect();
    assert!(targets == ["/a", "/b", "/d"] || targets == ["/a", "/b"], "{targets:?}");
}

#[tokio::test]
async fn over_http2_a_host_that_disagrees_and_framing_fields_are_refused() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let extra: [&[(&str, &str)]; 12] = [
        &[("host", "other.example")],
        &[("host", "gate.example"), ("host", "other.example")],
        &[("transfer-encoding", "chunked")],
        &[("connection", "close")],
        &[("keep-alive", "1")],
        &[("proxy-connection", "x")],
        &[("te", "gzip")],
        &[("content-length", "2")],
        &[("content-length", "0"), ("content-length", "1")],
        &[("x", "a\r\ntransfer-encoding: chunked")],
        &[("x\r\ny", "a")],
        &[("", "a")],
    ];
    for fields in extra {
        let mut client = RawHttp2::connect(&rig.gate.endpoint).await;
        let mut block: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", b"/x"),
            (b":authority", b"gate.example"),
            (b"authorization", authorization.as_bytes()),
        ];
        block.extend(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        client.headers(1, &block, true).await;
        let outcome = client.outcome(1).await;
        assert!(!matches!(outcome, Outcome::Answered(200..400)), "{fields:?}: {outcome:?}");
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

async fn refused(rig: &Rig, account: &Account, message: &str) {
    let (answers, end) = exchange(rig, account, message).await;
    let refused = matches!(answers[..], [400 | 501 | 505]);
    assert!(refused, "{message:?}: {answers:?}, {end:?}, upstream saw {:?}", rig.stub.seen());
    assert_eq!(rig.stub.seen().len(), 0, "{message:?}");
}

/// Sends `message` and reads answers until the gate closes. Our side stays open: closing is the gate's to do.
async fn exchange(rig: &Rig, account: &Account, message: &str) -> (Vec<u16>, Broken) {
    let mut client = rig.http1().await;
    client.send(message.replace('@', &account.authorization())).await;
    let mut answers = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(5), client.any_response(true)).await;
        match next.unwrap_or_else(|_| panic!("the connection stays open after {answers:?}: {message:?}")) {
            Ok(response) => answers.push(response.status),
            Err(end) => return (answers, end),
        }
    }
}
