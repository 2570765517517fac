//! The stub itself: an oracle that does not see everything proves nothing.

use crate::support::message::Broken;
use crate::support::stub::{Answer, Cut, Framing, OWN_CREDENTIAL, Reply, Stub};
use crate::support::wire::{Endpoint, Http1, Http2, Outcome, RawHttp2};

const AUTHORIZATION: &str = "Bearer stub-credential-of-the-gate";

fn endpoint(stub: &Stub) -> Endpoint {
    Endpoint { address: ([127, 0, 0, 1], stub.port).into(), ca_pem: stub.ca_pem.clone() }
}

#[tokio::test]
async fn every_line_is_recorded_in_order_and_spelling() {
    let stub = Stub::start(&["http/1.1"]).await;
    let mut client = Http1::connect(&endpoint(&stub)).await;
    let lines = [("Authorization", AUTHORIZATION), ("X-a", "1"), ("x-A", " 2 "), ("Impersonate-User", "a")];
    let response = client.request("PUT", "/a//b%2f?c", &lines, b"body").await;
    assert_eq!((response.status, response.text().as_str()), (200, "{}"));
    let seen = stub.only();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", "/a//b%2f?c"));
    assert_eq!(seen.lines[2..4], [("X-a".into(), "1".into()), ("x-A".into(), " 2 ".into())]);
    assert_eq!(seen.body(), Some(b"body".to_vec()));
    assert_eq!(seen.trailers(), Some(vec![]));
}

#[tokio::test]
async fn both_protocols_carry_bodies_and_trailers() {
    let stub = Stub::start(&["h2", "http/1.1"]).await;
    stub.answer(Reply::new(201, vec![7; 300_000]).framing(Framing::Chunked).trailer("x-end", "yes"));
    let lines = [("authorization", AUTHORIZATION), ("impersonate-user", "a")];
    let http2 = Http2::connect(&endpoint(&stub)).await;
    let trailers = vec![("x-last".to_owned(), "1".to_owned())];
    let body = vec![9; 200_000];
    let response = http2.request_with_trailers("POST", "/x", &lines, &body, &trailers).await.unwrap();
    assert_eq!((response.status, response.body.len()), (201, 300_000));
    assert_eq!(response.trailers, [("x-end".to_owned(), "yes".to_owned())]);
    assert_eq!(stub.only().body().map(|body| body.len()), Some(200_000));
    assert_eq!(stub.only().trailers(), Some(trailers));
    let response = Http1::connect(&endpoint(&stub)).await.request("GET", "/x", &lines, b"").await;
    assert_eq!((response.body.len(), response.trailers.len()), (300_000, 1));
}

#[tokio::test]
async fn a_cut_answer_is_seen_as_cut() {
    let stub = Stub::start(&["h2", "http/1.1"]).await;
    let lines = [("authorization", AUTHORIZATION), ("impersonate-user", "a")];
    for framing in [Framing::Length, Framing::Chunked] {
        stub.answer(Reply::new(200, vec![1; 5_000]).framing(framing).cut(Cut::Connection(2_000)));
        let response = Http1::connect(&endpoint(&stub)).await.request("GET", "/", &lines, b"").await;
        assert_eq!(response.body.len(), 2_000);
        assert!(matches!(response.broken, Some(Broken::Failed(_))), "{:?}", response.broken);
        stub.answer(Reply::new(200, vec![1; 5_000]).framing(framing).cut(Cut::Orderly(2_000)));
        let response = Http1::connect(&endpoint(&stub)).await.request("GET", "/", &lines, b"").await;
        assert_eq!(response.broken, Some(Broken::Closed));
        let http2 = Http2::connect(&endpoint(&stub)).await;
        let response = http2.request("GET", "/", &lines, b"").await.unwrap();
        assert!(response.broken.is_some(), "{response:?}");
    }
}

#[tokio::test]
async fn a_taken_over_connection_records_what_came_early() {
    let stub = Stub::start(&["http/1.1"]).await;
    stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\nearly").await;
            connection.drain().await;
        })
    });
    let mut client = Http1::connect(&endpoint(&stub)).await;
    client
        .send(format!("GET / HTTP/1.1\r\nAuthorization: {AUTHORIZATION}\r\nImpersonate-User: a\r\n\r\nmore"))
        .await;
    assert_eq!(client.response().await.unwrap().status, 101);
    assert_eq!(client.reader.exactly(5).await.unwrap(), b"early");
    stub.until("the early bytes", |stub| stub.connections()[0].received().ends_with(b"\r\n\r\nmore")).await;
    assert!(!stub.connections()[0].is_closed());
    drop(client);
    stub.until("the end", |stub| stub.connections()[0].is_closed()).await;
}

#[tokio::test]
async fn reviews_of_the_gate_are_told_from_requests() {
    let stub = Stub::start(&["http/1.1"]).await;
    let mut client = Http1::connect(&endpoint(&stub)).await;
    let target = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let response = client.request("POST", target, &[("Authorization", AUTHORIZATION)], b"{}").await;
    assert_eq!(response.json()["status"]["allowed"], true);
    assert_eq!((stub.own_requests().len(), stub.seen().len()), (1, 0));
    let impersonated = [("Authorization", AUTHORIZATION), ("Impersonate-User", "alice")];
    client.request("POST", target, &impersonated, b"{}").await;
    assert_eq!((stub.own_requests().len(), stub.seen().len()), (1, 1));
    stub.accept_only("Bearer other");
    assert_eq!(client.request("POST", target, &impersonated, b"{}").await.status, 401);
    assert!(AUTHORIZATION.ends_with(OWN_CREDENTIAL));
}

#[tokio::test]
async fn frames_written_by_hand_are_read_as_they_are() {
    let stub = Stub::start(&["h2"]).await;
    let mut client = RawHttp2::connect(&endpoint(&stub)).await;
    let fields: [(&[u8], &[u8]); 6] = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/x"),
        (b":authority", b"a"),
        (b"authorization", AUTHORIZATION.as_bytes()),
        (b"impersonate-user", b" a"),
    ];
    for (stream, status) in [(1, 200), (3, 404), (5, 403), (7, 503), (9, 429)] {
        stub.answer(Reply::json(status, "{}"));
        client.headers(stream, &fields, true).await;
        assert_eq!(client.outcome(stream).await, Outcome::Answered(status));
    }
    assert_eq!(stub.seen()[0].values("impersonate-user"), [" a"]);
    client.headers(11, &[(b"Upper", b"case")], true).await;
    assert!(matches!(client.outcome(11).await, Outcome::Reset(1) | Outcome::GoneAway(1)));
}
