//! Watches and logs that somebody on the way compresses. No apiserver does, so they are asked for as they are; one that
//! is compressed all the same can't be ended by an event, and must not pass for complete.

use serde_json::Value;

use crate::support::message::Broken;
use crate::support::rig::Rig;
use crate::support::stub::{Answer, Reply, send_data};
use crate::support::wire::response_of;
use crate::support::within;

const WATCH: &str = "/api/v1/pods?watch=true";
const LOG: &str = "/api/v1/namespaces/a/pods/b/log?follow=true";
/// The beginning of something that goes on.
const PART: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xaa\x56";

#[tokio::test]
async fn what_may_be_cut_is_asked_for_as_it_is_and_all_else_as_the_client_wants_it() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let coding = ("accept-encoding", "gzip, deflate");
    rig.stub.answer(Reply::json(200, "{}"));
    for (target, lines, expected) in [
        (WATCH, vec![coding], vec!["identity"]),
        (LOG, vec![coding, ("accept-encoding", "zstd")], vec!["identity"]),
        (WATCH, vec![], vec![]),
        ("/api/v1/pods", vec![coding], vec!["gzip, deflate"]),
        ("/api/v1/namespaces/a/pods/b/proxy/c", vec![coding], vec!["gzip, deflate"]),
    ] {
        rig.stub.forget();
        let lines: Vec<_> = lines.into_iter().chain([("authorization", authorization.as_str())]).collect();
        assert_eq!(rig.http1().await.request("GET", target, &lines, b"").await.status, 200);
        assert_eq!(rig.stub.only().values("accept-encoding"), expected, "{target}");
    }
}

#[tokio::test]
async fn a_compressed_stream_that_is_cut_is_broken_off_and_never_complete() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| {
        Answer::http2(async |mut stream| {
            let head = http::Response::builder().header("content-encoding", "gzip").body(()).unwrap();
            let Ok(mut sender) = stream.respond.send_response(head, false) else { return };
            send_data(&mut sender, PART, false).await;
            let _ = std::future::poll_fn(|context| sender.poll_reset(context)).await;
        })
    });
    for target in [WATCH, LOG] {
        let (name, bearer) = rig.token(&account.bearer, 0).await;
        let authorization = format!("Bearer {bearer}");
        let mut http1 = rig.http1().await;
        http1
            .send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"))
            .await;
        let head = within("a head", http1.reader.head()).await.unwrap().unwrap();
        assert!(head.first_line.starts_with("HTTP/1.1 200"), "{head:?}");
        let lines = [("authorization", authorization.as_str())];
        let (http2, _) = rig.http2().await.start("GET", target, &lines, true).await.unwrap();
        let http2 = tokio::spawn(response_of(http2));
        let streams = async || rig.gate.metric("portcullis_open_streams").await == 2;
        rig.gate.wait_until("serving both", streams).await;
        let deleted = rig.api("DELETE", &format!("/v3/tokens/{name}"), rig.admin(), &Value::Null).await;
        assert_eq!(deleted.status, 204);
        let (body, broken) = within("the end", http1.reader.chunked()).await.unwrap_err();
        assert!(body == PART && !matches!(broken, Broken::Malformed(_)), "{target}: {broken:?}");
        let over_http2 = within("the end", http2).await.unwrap().unwrap();
        assert!(over_http2.body == PART && over_http2.broken.is_some(), "{target}: {over_http2:?}");
    }
}
