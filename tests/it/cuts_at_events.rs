//! Where in its bytes a stream is cut: behind a whole event, or so that nobody takes what came for a whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::live::{PROTOCOLS, Protocol, Streams};
use crate::support::message::Broken;
use crate::support::rig::{Account, Rig};
use crate::support::stub::{Answer, Framing, Reply};
use crate::support::within;

const WATCH: &str = "/api/v1/pods?watch=true";
const EVENT: &[u8] = b"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a}\\\"\"}}}\n";

async fn delete(rig: &Rig, account: &Account) {
    let target = format!("/v3/tokens/{}", account.token_name);
    assert_eq!(rig.api("DELETE", &target, rig.admin(), &Value::Null).await.status, 204);
}

/// The account's token is deleted while half an event is at the client; whether that is asked for by the other half.
async fn cut_in_the_middle(rig: &Rig, protocol: Protocol, rest: Option<&[u8]>) -> (Vec<u8>, Option<Broken>) {
    let username = format!("alice-{protocol:?}-{}", rest.is_some()).to_lowercase();
    let account = rig.account(&username, &[]).await;
    let streams = Streams::of(&rig.stub, |_| "application/json");
    let mut live = streams.open(rig, protocol, WATCH, &account.bearer).await;
    live.pass(EVENT).await;
    live.pass(&EVENT[..20]).await;
    delete(rig, &account).await;
    if let Some(rest) = rest {
        live.upstream.send(rest);
    }
    let ended = live.ended().await;
    (ended.body, ended.broken)
}

#[tokio::test]
async fn an_event_that_is_half_through_is_waited_for_and_no_other() {
    let rig = Rig::start().await;
    for protocol in PROTOCOLS {
        let rest = [&EVENT[20..], EVENT].concat();
        let (body, broken) = cut_in_the_middle(&rig, protocol, Some(&rest)).await;
        assert_eq!(broken, None, "{protocol:?}");
        let tail = body.strip_prefix(&*[EVENT, EVENT].concat()).unwrap();
        assert!(tail.starts_with(b"{\"type\":\"ERROR\""), "{}", tail.escape_ascii());
        assert_eq!(tail.split(|byte| *byte == b'\n').count(), 2, "one line");
    }
}

#[tokio::test]
async fn an_event_that_stays_half_is_not_made_to_look_whole() {
    let rig = Rig::start().await;
    for protocol in PROTOCOLS {
        let start = Instant::now();
        let (body, broken) = cut_in_the_middle(&rig, protocol, None).await;
        assert_eq!(body, [EVENT, &EVENT[..20]].concat());
        assert!(broken.is_some(), "{protocol:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{protocol:?}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_list_that_is_half_through_is_broken_off() {
    let rig = Rig::start().await;
    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        let account = rig.account(&format!("alice-{number}"), &[]).await;
        let streams = Streams::of(&rig.stub, |_| "application/json");
        let mut live = streams.open(&rig, protocol, "/api/v1/pods", &account.bearer).await;
        live.pass(b"{\"kind\":\"PodList\",\"items\":[]}").await;
        open_streams(&rig, "other", 1).await;
        delete(&rig, &account).await;
        let ended = live.ended().await;
        assert!(ended.broken.is_some(), "{protocol:?}: it may have gone on: {ended:?}");
    }
}

#[tokio::test]
async fn a_request_without_an_answer_is_refused_when_its_token_goes() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| {
        Answer::http2(async |mut stream| {
            let _ = std::future::poll_fn(|context| stream.respond.poll_reset(context)).await;
        })
    });
    for target in ["/api/v1/pods", WATCH] {
        let (name, bearer) = rig.token(&account.bearer, 0).await;
        let asking = {
            let (client, authorization) = (rig.http2().await, format!("Bearer {bearer}"));
            tokio::spawn(async move {
                let lines = [("authorization", authorization.as_str())];
                client.request("GET", target, &lines, b"").await.unwrap()
            })
        };
        open_streams(&rig, if target == WATCH { "watch" } else { "other" }, 1).await;
        let deleted = rig.api("DELETE", &format!("/v3/tokens/{name}"), rig.admin(), &Value::Null).await;
        assert_eq!(deleted.status, 204);
        let response = within("the refusal", asking).await.unwrap();
        assert_eq!(
            (response.status, response.json()["message"].as_str()),
            (401, Some(&*format!("token {name} was deleted")))
        );
    }
}

#[tokio::test]
async fn an_answer_of_a_second_is_not_entered_before() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer(Reply::json(200, "{}").framing(Framing::Chunked));
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    for _ in 0..100 {
        assert_eq!(rig.http2().await.request("GET", "/api/v1/pods", &lines, b"").await.unwrap().status, 200);
    }
    let (_, metrics) = rig.gate.admin_request("/metrics").await;
    assert!(metrics.contains("portcullis_open_streams{kind=\"other\"} 0\n"), "{metrics}");
}

#[tokio::test]
async fn a_client_that_does_not_read_keeps_no_stream_to_the_cluster() {
    let rig = Rig::with(
        &["h2", "http/1.1"],
        &crate::support::gate::Settings { log_level: "info", ..Default::default() },
    )
    .await;
    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        let account = rig.account(&format!("alice-{number}"), &[]).await;
        let streams = Streams::of(&rig.stub, |_| "application/json");
        let mut live = streams.open(&rig, protocol, WATCH, &account.bearer).await;
        live.pass(EVENT).await;
        let flood = EVENT.repeat(20_000);
        for _ in 0..32 {
            live.upstream.send(&flood);
        }
        let (client, mut upstream) = live.held();
        // Until nothing moves any more: then the gate waits for its client.
        tokio::time::sleep(Duration::from_secs(2)).await;
        delete(&rig, &account).await;
        let start = Instant::now();
        upstream.closed().await;
        assert!(start.elapsed() < Duration::from_secs(5), "{protocol:?}: {:?}", start.elapsed());
        open_streams(&rig, "watch", 0).await;
        drop(client);
    }
}

#[tokio::test]
async fn no_stream_that_is_opened_beside_the_deletion_of_its_token_stays() {
    const ROUNDS: usize = 400;
    const LANES: usize = 4;
    let rig = Arc::new(
        Rig::with(
            &["h2", "http/1.1"],
            &crate::support::gate::Settings { log_level: "warn", ..Default::default() },
        )
        .await,
    );
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| {
        Answer::http2(async |mut stream| {
            let head = http::Response::builder().header("content-type", "application/json").body(()).unwrap();
            let Ok(mut sender) = stream.respond.send_response(head, false) else { return };
            let _ = std::future::poll_fn(|context| sender.poll_reset(context)).await;
        })
    });
    let mut tasks = JoinSet::new();
    for lane in 0..LANES {
        let (rig, owner) = (Arc::clone(&rig), account.bearer.clone());
        tasks.spawn(async move {
            for round in 0..ROUNDS / LANES {
                let (name, bearer) = rig.token(&owner, 0).await;
                let client = rig.http2().await;
                let opening = tokio::spawn(async move {
                    let authorization = format!("Bearer {bearer}");
                    let lines = [("authorization", authorization.as_str())];
                    client.request("GET", WATCH, &lines, b"").await
                });
                // The deletion meets the opening at another point each time.
                tokio::time::sleep(Duration::from_micros((round as u64 * 37 + lane as u64 * 11) % 3000))
                    .await;
                let deleted = rig.api("DELETE", &format!("/v3/tokens/{name}"), &owner, &Value::Null).await;
                assert_eq!(deleted.status, 204);
                match within("a watch that must end", opening).await.unwrap() {
                    Ok(response) if response.status == 200 => {
                        assert!(response.text().contains("was deleted"), "{}", response.text());
                    }
                    Ok(response) => assert_eq!(response.status, 401),
                    Err(error) => assert!(error.is_go_away() || error.is_reset(), "{error}"),
                }
            }
        });
    }
    tasks.join_all().await;
    open_streams(&rig, "watch", 0).await;
}

async fn open_streams(rig: &Rig, kind: &str, count: usize) {
    let line = format!("portcullis_open_streams{{kind=\"{kind}\"}} {count}\n");
    rig.gate
        .wait_until("counting", async || rig.gate.admin_request("/metrics").await.1.contains(&line))
        .await;
}
