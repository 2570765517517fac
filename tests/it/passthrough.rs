//! What the gate has no business with goes through it unchanged, both ways.

use std::io::Write;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::support::rig::Rig;
use crate::support::stub::{Answer, Framing, Reply};
use crate::support::within;

const TARGET: &str = "/apis/apps/v1/namespaces/default/deployments";

#[tokio::test]
async fn a_throttled_answer_keeps_its_status_headers_and_body() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let headers = [
        ("retry-after", "7"),
        ("x-kubernetes-pf-flowschema-uid", "d0f2c5b6"),
        ("x-kubernetes-pf-prioritylevel-uid", "a7c3"),
        ("audit-id", "0d5b1a1e-1111-2222-3333-444455556666"),
        ("warning", "299 - \"policy/v1beta1 is deprecated, \\\"quoted\\\"\""),
        ("warning", "299 - \"second\""),
        ("cache-control", "no-cache, private"),
        ("content-type", "application/json"),
    ];
    for status in [200, 201, 202, 404, 409, 410, 422, 429, 500, 503, 504] {
        let mut reply = Reply::new(status, format!("{{\"code\":{status}}}"));
        reply.lines = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        rig.stub.answer(reply);
        let over_http1 = rig.http1().await.request("GET", TARGET, &lines, b"").await;
        let over_http2 = rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap();
        for response in [over_http1, over_http2] {
            assert_eq!((response.status, response.text()), (status, format!("{{\"code\":{status}}}")));
            let mut arrived = response.lines.clone();
            arrived.retain(|(name, _)| name != "date" && name != "content-length");
            arrived.sort();
            let mut expected: Vec<_> =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            expected.sort();
            assert_eq!(arrived, expected, "{status}");
        }
    }
}

#[tokio::test]
async fn bytes_in_any_content_coding_and_type_are_the_same_on_both_sides() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let protobuf = [b"k8s\x00".to_vec(), every_byte(70_000)].concat();
    let gzip = [b"\x1f\x8b\x08\x00".to_vec(), every_byte(30_000)].concat();
    let cases = [
        ("application/vnd.kubernetes.protobuf", None, &protobuf),
        ("application/json", Some("gzip"), &gzip),
        ("application/json-patch+json", Some("zstd"), &gzip),
    ];
    for (content_type, coding, bytes) in cases {
        for framing in [Framing::Length, Framing::Chunked] {
            rig.stub.forget();
            let mut reply =
                Reply::new(200, bytes.clone()).framing(framing).header("content-type", content_type);
            let mut lines = vec![("authorization", authorization.as_str()), ("content-type", content_type)];
            if let Some(coding) = coding {
                reply = reply.header("content-encoding", coding);
                lines.push(("content-encoding", coding));
            }
            rig.stub.answer(reply);
            let over_http1 = rig.http1().await.request("PATCH", TARGET, &lines, bytes).await;
            let over_http2 = rig.http2().await.request("PATCH", TARGET, &lines, bytes).await.unwrap();
            for response in [over_http1, over_http2] {
                assert_eq!((response.status, response.broken.clone()), (200, None));
                assert!(response.body == *bytes, "{content_type}: the answer's bytes differ");
                assert_eq!(response.header("content-encoding"), coding);
                assert_eq!(response.header("content-type"), Some(content_type));
            }
            for seen in rig.stub.seen() {
                assert!(seen.body().as_ref() == Some(bytes), "{content_type}: the request's bytes differ");
                assert_eq!(seen.values("content-type"), [content_type]);
                assert_eq!(seen.values("content-encoding").first().copied(), coding);
            }
        }
    }
}

#[tokio::test]
async fn a_bodiless_answer_stays_bodiless() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    rig.stub.answer(Reply::new(200, "not for HEAD").header("x-kept", "1"));
    let head = rig.http1().await.request("HEAD", TARGET, &lines, b"").await;
    assert_eq!((head.status, head.header("x-kept"), head.body.len()), (200, Some("1"), 0));
    for status in [204, 304] {
        rig.stub.answer(Reply::new(status, ""));
        let mut client = rig.http1().await;
        assert_eq!(client.request("GET", TARGET, &lines, b"").await.status, status);
        assert_eq!(client.request("GET", TARGET, &lines, b"").await.status, status, "the connection goes on");
        let response = rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap();
        assert_eq!((response.status, response.body.len(), response.broken), (status, 0, None));
    }
}

#[tokio::test]
async fn trailers_of_an_answer_are_kept() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    rig.stub.answer(Reply::new(200, "body").framing(Framing::Chunked).trailer("x-checksum", "abc"));
    let response = rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap();
    assert_eq!(response.trailers, [("x-checksum".to_owned(), "abc".to_owned())]);
}

#[tokio::test]
async fn a_watch_event_arrives_before_the_next_one_is_sent() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let next = Arc::new(Notify::new());
    let wanted = Arc::clone(&next);
    rig.stub.answer_with(move |_| {
        let wanted = Arc::clone(&wanted);
        Answer::http1(async move |mut connection| {
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for number in 0..5 {
                connection.send(format!("8\r\nevent {number}\n\r\n").as_bytes()).await;
                wanted.notified().await;
            }
            connection.send(b"0\r\n\r\n").await;
        })
    });
    let authorization = account.authorization();
    let mut client = rig.http1().await;
    client
        .send(format!(
            "GET {TARGET}?watch=true HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"
        ))
        .await;
    let head = within("a head", client.reader.head()).await.unwrap().unwrap();
    assert!(head.first_line.starts_with("HTTP/1.1 200"), "{head:?}");
    for number in 0..5 {
        let chunk = within("an event", client.reader.exactly(13)).await.unwrap();
        assert_eq!(String::from_utf8(chunk).unwrap(), format!("8\r\nevent {number}\n\r\n"));
        next.notify_one();
    }
    assert_eq!(client.reader.exactly(5).await.unwrap(), b"0\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_from_the_gate_and_upstream_hears_nothing_of_it() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let mut client = rig.http1().await;
    let head = |expectation: &str| {
        format!(
            "POST {TARGET} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\nExpect: {expectation}\r\n\
             Content-Length: 2\r\n\r\n"
        )
    };
    client.send(head("100-continue")).await;
    assert_eq!(within("100", client.any_response(true)).await.unwrap().status, 100);
    client.send("{}").await;
    assert_eq!(client.response().await.unwrap().status, 200);
    assert_eq!(rig.stub.only().values("expect"), Vec::<&str>::new());
    assert_eq!(rig.stub.only().body(), Some(b"{}".to_vec()));
    let mut client = rig.http1().await;
    client.send(head("200-ok")).await;
    assert_eq!(client.response().await.unwrap().status, 417);
    assert_eq!(rig.stub.seen().len(), 1);
}

#[tokio::test]
async fn an_interim_answer_of_upstream_does_not_stand_for_the_final_one() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection
                .send(
                    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                      HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal",
                )
                .await;
            connection.drain().await;
        })
    });
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    let response = rig.http1().await.request("GET", TARGET, &lines, b"").await;
    assert_eq!((response.status, response.text().as_str()), (200, "final"));
}

fn every_byte(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        bytes.write_all(&[u8::try_from(bytes.len() * 31 % 256).unwrap(), 0, b'\r', b'\n', 0xff]).unwrap();
    }
    bytes
}
