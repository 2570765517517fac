//! An apiserver whose etcd has lost its leader, as a **stub** imitates it: it is there, and says 500 and 504 or nothing at
//! all. What it says is for the client, who knows what may be done twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::support::gate::Settings;
use crate::support::rig::Rig;
use crate::support::stub::{Answer, Reply, Seen, send_data};
use crate::support::wire::{Response, response_of};

/// An election takes about one; a new member of the quorum may take longer.
const OUTAGE: Duration = Duration::from_secs(10);
/// From one round of requests to the next.
const PAUSE: Duration = Duration::from_millis(50);

const OBJECTS: &str = "/api/v1/namespaces/default/configmaps";
const METHODS: [(&str, &str); 6] =
    [("GET", ""), ("HEAD", ""), ("DELETE", ""), ("POST", "{}"), ("PUT", "{}"), ("PATCH", "{}")];
/// What is begun and comes to no end until the leader is back: a watch without an event, one without even a head, and a
/// write.
const HUNG: [(&str, &str); 3] = [
    ("GET", "/api/v1/namespaces/default/configmaps?watch=true"),
    ("GET", "/api/v1/namespaces/default/configmaps?watch=true&mute=true"),
    ("DELETE", "/api/v1/namespaces/default/configmaps/slow?mute=true"),
];
const EVENT: &str = "{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\"}}\n";

#[tokio::test]
async fn what_an_apiserver_without_its_leader_says_passes_unchanged_and_is_asked_once_by_http2() {
    outlast(&["h2", "http/1.1"]).await;
}

#[tokio::test]
async fn what_an_apiserver_without_its_leader_says_passes_unchanged_and_is_asked_once_by_http1() {
    outlast(&["http/1.1"]).await;
}

async fn outlast(alpn: &[&str]) {
    let rig = Rig::with(alpn, &Settings { log_level: "info", ..Settings::default() }).await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let (back, is_back) = watch::channel(false);
    let is_http2 = alpn.contains(&"h2");
    rig.stub.answer_with(move |seen| leaderless(seen, is_http2, is_back.clone()));

    let hanging = rig.http2().await;
    let mut hung = Vec::new();
    for (method, target) in HUNG {
        let (answer, _) = hanging.start(method, target, &lines, true).await.unwrap();
        hung.push(tokio::spawn(response_of(answer)));
    }
    rig.stub.request(HUNG.len()).await;
    let (mut http1, http2) = (rig.http1().await, rig.http2().await);
    let (begun, mut ticks, mut rounds) = (Instant::now(), interval(PAUSE), 0);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begun.elapsed() < OUTAGE {
        ticks.tick().await;
        for (method, body) in METHODS {
            let target = format!("{OBJECTS}/{rounds}?by=http1");
            same(&target, method, &http1.request(method, &target, &lines, body.as_bytes()).await);
            let target = format!("{OBJECTS}/{rounds}?by=http2");
            same(&target, method, &http2.request(method, &target, &lines, body.as_bytes()).await.unwrap());
        }
        rounds += 1;
    }
    assert!(hung.iter().all(|hung| !hung.is_finished()), "what hangs there hangs here");

    back.send(true).unwrap();
    for (hung, (method, target)) in hung.into_iter().zip(HUNG) {
        let response = hung.await.unwrap().unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, EVENT), "{method} {target}");
        assert_eq!(response.broken, None, "{method} {target}");
    }
    assert_eq!(http2.request("GET", OBJECTS, &lines, b"").await.unwrap().status, 200, "the leader is back");

    let mut arrived = BTreeMap::<_, usize>::new();
    for seen in rig.stub.seen() {
        *arrived.entry((seen.method.clone(), seen.target.clone())).or_default() += 1;
    }
    let again: Vec<_> = arrived.iter().filter(|(_, count)| **count != 1).collect();
    assert!(again.is_empty(), "sent more than once: {again:?}");
    assert_eq!(arrived.len(), rounds * METHODS.len() * 2 + HUNG.len() + 1);
    assert!(rounds > 20, "{rounds} rounds in {OUTAGE:?}");
}

fn leaderless(seen: &Seen, is_http2: bool, back: watch::Receiver<bool>) -> Answer {
    if HUNG.contains(&(seen.method.as_str(), seen.target.as_str())) {
        return hang(seen.target.contains("mute"), is_http2, back);
    }
    if *back.borrow() {
        return Reply::json(200, "{}").into();
    }
    trouble(&seen.target).into()
}

/// What a kube-apiserver makes of its etcd's errors: by the kind of request, and with or without a time to come back.
fn trouble(target: &str) -> Reply {
    let status = |code: u16, reason: &str, message: &str| {
        let text = format!(
            "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\
             \"message\":\"{message}\",\"reason\":\"{reason}\",\"code\":{code}}}\n"
        );
        Reply::json(code, &text).header("audit-id", "0d5b1a1e-1111-2222-3333-444455556666")
    };
    match target.bytes().map(usize::from).sum::<usize>() % 3 {
        0 => status(500, "InternalError", "etcdserver: leader changed")
            .header("warning", "299 - \"v1 ConfigMap is deprecated\""),
        1 => status(504, "Timeout", "etcdserver: request timed out").header("retry-after", "1"),
        _ => status(500, "ServerTimeout", "the operation could not be completed at this time")
            .header("retry-after", "7")
            .header("warning", "299 - \"first\"")
            .header("warning", "299 - \"second\""),
    }
}

/// Asserts that `response` is what the stub said.
fn same(target: &str, method: &str, response: &Response) {
    let said = trouble(target);
    let body = if method == "HEAD" { Vec::new() } else { said.body };
    assert_eq!((response.status, &response.body), (said.status, &body), "{method} {target}");
    let mut arrived = response.lines.clone();
    arrived.retain(|(name, _)| name != "date" && name != "content-length");
    let mut expected = said.lines;
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected, "{method} {target}");
    assert_eq!(response.broken, None, "{method} {target}");
}

fn hang(is_mute: bool, is_http2: bool, mut back: watch::Receiver<bool>) -> Answer {
    let mut wait = async move || drop(back.wait_for(|is_back| *is_back).await);
    if is_http2 {
        return Answer::http2(async move |mut stream| {
            if is_mute {
                wait().await;
            }
            let head = http::Response::builder().header("content-type", "application/json");
            let Ok(mut sender) = stream.respond.send_response(head.body(()).unwrap(), false) else { return };
            wait().await;
            send_data(&mut sender, EVENT.as_bytes(), true).await;
        });
    }
    Answer::http1(async move |mut connection| {
        if is_mute {
            wait().await;
        }
        let length = EVENT.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        connection.send(head.as_bytes()).await;
        wait().await;
        connection.send(EVENT.as_bytes()).await;
    })
}
