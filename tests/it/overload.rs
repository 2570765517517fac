//! More requests than there is room for: they wait a moment, take turns among users, and are told to come back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::expect;
use crate::support::gate::Settings;
use crate::support::rig::{Account, Rig};
use crate::support::stub::{Answer, Reply};
use crate::support::wire::{Http1, Response};

const SLOW: &str = "/api/v1/pods/slow";
const QUICK: &str = "/api/v1/pods";

/// A gate with these limits, before a cluster that never answers `SLOW`.
async fn bounded(limits: &[(&'static str, &'static str)]) -> Rig {
    let settings = Settings { limits: limits.to_vec(), ..Settings::default() };
    let rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    rig.stub.answer_with(|seen| match seen.target.as_str() {
        SLOW => never(),
        _ => Reply::json(200, "{}").into(),
    });
    rig
}

#[tokio::test]
async fn one_user_too_many_times_waits_and_is_told_to_come_back_and_others_are_served() {
    let rig = bounded(&[("maxRequestsInFlightPerUser", "1")]).await;
    let (alice, bob) = (rig.account("alice", &[]).await, rig.account("bob", &[]).await);
    let held = hold(&rig, &alice, 1).await;
    let start = Instant::now();
    let (refused, served) = tokio::join!(get(&rig, &alice, QUICK), async {
        let served = get(&rig, &bob, QUICK).await;
        (served.status, start.elapsed())
    });
    expect::status(&refused, 429, "TooManyRequests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.text().contains("of this user"), "{}", refused.text());
    assert!(start.elapsed() >= Duration::from_secs(1), "it waits first");
    assert!(served.0 == 200 && served.1 < Duration::from_secs(1), "{served:?}");
    assert_eq!(metric(&rig, "portcullis_requests_in_flight").await, 1);
    let refusals = "portcullis_rejected_requests_total{reason=\"too_many_requests_of_user\"}";
    assert_eq!(metric(&rig, refusals).await, 1);
    assert!(rig.gate.stderr().contains("requests are refused as too many are under way"));
    drop(held);
    nothing_is_left(&rig).await;
    assert_eq!(get(&rig, &alice, QUICK).await.status, 200);
}

#[tokio::test]
async fn what_waits_is_served_as_soon_as_there_is_room() {
    let rig = bounded(&[("maxRequestsInFlight", "1")]).await;
    let (alice, bob) = (rig.account("alice", &[]).await, rig.account("bob", &[]).await);
    let held = hold(&rig, &alice, 1).await;
    let (waited, ()) = tokio::join!(get(&rig, &bob, QUICK), async {
        let waits = async || metric(&rig, "portcullis_requests_waiting").await == 1;
        rig.gate.wait_until("making it wait", waits).await;
        drop(held);
    });
    assert_eq!(waited.status, 200);
    nothing_is_left(&rig).await;
}

#[tokio::test]
async fn a_token_that_was_revoked_while_its_request_waited_opens_nothing() {
    let rig = bounded(&[("maxRequestsInFlightPerUser", "1")]).await;
    let alice = rig.account("alice", &[]).await;
    let (name, bearer) = rig.token(&alice.bearer, 0).await;
    let held = hold(&rig, &alice, 1).await;
    rig.stub.forget();
    let other = Account { bearer, ..alice.clone() };
    let (refused, ()) = tokio::join!(get(&rig, &other, QUICK), async {
        let waits = async || metric(&rig, "portcullis_requests_waiting").await == 1;
        rig.gate.wait_until("making it wait", waits).await;
        let deleted = rig.api("DELETE", &format!("/v3/tokens/{name}"), rig.admin(), &json!(null)).await;
        assert_eq!(deleted.status, 204, "{}", deleted.text());
        drop(held);
    });
    assert_eq!(refused.status, 401);
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn watches_have_places_of_their_own() {
    let rig = bounded(&[("maxStreamsPerUser", "2"), ("maxStreams", "3"), ("maxRequestsInFlight", "1")]).await;
    rig.stub.answer_with(
        |seen| {
            if seen.target.contains("watch") { never() } else { Reply::json(200, "{}").into() }
        },
    );
    let (alice, bob) = (rig.account("alice", &[]).await, rig.account("bob", &[]).await);
    let watch = "/api/v1/pods?watch=true";
    let mut held = Vec::new();
    for (count, account) in [&alice, &alice, &bob].into_iter().enumerate() {
        held.push(begin(&rig, account, watch).await);
        rig.stub.request(count + 1).await;
    }
    let start = Instant::now();
    let (of_user, of_all) = (get(&rig, &alice, watch).await, get(&rig, &bob, watch).await);
    expect::status(&of_user, 429, "TooManyRequests");
    assert!(of_user.text().contains("of this user") && !of_all.text().contains("of this user"));
    expect::status(&of_all, 429, "TooManyRequests");
    assert!(start.elapsed() < Duration::from_secs(1), "they do not wait");
    assert_eq!(get(&rig, &alice, QUICK).await.status, 200, "what ends is not their affair");
    held.pop();
    rig.gate.wait_until("open to a watch", async || metric(&rig, "portcullis_open_streams").await == 2).await;
    let _again = begin(&rig, &bob, watch).await;
    rig.stub.until("one more watch", |stub| stub.seen().len() >= 5).await;
}

#[tokio::test]
async fn the_api_is_bounded_as_well() {
    let rig = bounded(&[("maxRequestsInFlightPerUser", "1")]).await;
    let alice = rig.account("alice", &[]).await;
    let authorization = alice.authorization();
    let mut unfinished = rig.http1().await;
    unfinished
        .send(format!(
            "POST /v3/tokens HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: 60\r\n\r\n{{"
        ))
        .await;
    let taken = async || metric(&rig, "portcullis_requests_in_flight").await == 1;
    rig.gate.wait_until("holding a place", taken).await;
    let refused = get(&rig, &alice, "/v3/tokens").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(refused.json()["code"], "TooManyRequests");
    assert_eq!(rig.api("GET", "/v3/tokens", rig.admin(), &json!(null)).await.status, 200);
    drop(unfinished);
    nothing_is_left(&rig).await;
}

/// No answer at all, while the connection to the cluster goes on.
fn never() -> Answer {
    Answer::http2(async |stream| {
        let _open = stream;
        std::future::pending::<()>().await;
    })
}

/// Requests of `account` that stay under way.
async fn hold(rig: &Rig, account: &Account, count: usize) -> Vec<Http1> {
    let mut held = Vec::new();
    for number in 0..count {
        held.push(begin(rig, account, SLOW).await);
        rig.stub.request(number + 1).await;
    }
    held
}

async fn begin(rig: &Rig, account: &Account, target: &str) -> Http1 {
    let mut client = rig.http1().await;
    let authorization = account.authorization();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n")).await;
    client
}

async fn get(rig: &Rig, account: &Account, target: &str) -> Response {
    let authorization = account.authorization();
    rig.http1().await.request("GET", target, &[("Authorization", &authorization)], b"").await
}

async fn nothing_is_left(rig: &Rig) {
    for name in ["portcullis_requests_in_flight", "portcullis_requests_waiting"] {
        rig.gate.wait_until("free", async || metric(rig, name).await == 0).await;
    }
}

/// The sum of the series that begin with `name`.
async fn metric(rig: &Rig, name: &str) -> u64 {
    rig.gate.metric(name).await
}
