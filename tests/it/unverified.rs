//! Streams whose owner can't be checked: they go on for a while, as what is in trouble is not the client, and end then
//! without a reproach.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep_until;

use crate::service_accounts::{answer_with, good, jwt};
use crate::support::database;
use crate::support::live::{Live, PROTOCOLS, Streams};
use crate::support::message::Broken;
use crate::support::rig::Rig;
use crate::support::stub::Reply;
use crate::support::tunnel::{Scene, close_with, switching};

const WATCH: &str = "/api/v1/pods?watch=true";
const EXEC: &str = "/api/v1/namespaces/default/pods/p/exec?command=cat&stdin=true&stdout=true";

#[tokio::test]
async fn streams_of_a_service_account_outlive_a_minute_without_a_review_by_little() {
    let scene = Scene::start().await;
    let rig = &scene.rig;
    let token = jwt("one", None);
    rig.gate.keep_secret(&token);
    answer_with(rig, good(|_| {}));
    let mut of_account = watches(rig, &token).await;
    let mut of_alice = watches(rig, &scene.account.bearer).await;
    scene.say(switching("websocket", "v5.channel.k8s.io"), b"", b"");
    let mut command = scene.open("", &token, EXEC, "websocket", "v5.channel.k8s.io").await;
    rig.stub.answer_questions_with(|_| Reply::json(500, "{}").into());
    let failing = Instant::now();
    for (number, seconds) in [(1, 20), (2, 40), (3, 55)] {
        sleep_until((failing + Duration::from_secs(seconds)).into()).await;
        pass(&mut of_account, number).await;
    }
    // Asked again every ten seconds, it is given up at the first time that lies beyond the minute.
    for watch in of_account {
        let ended = watch.ended().await;
        let events = [0, 1, 2, 3].map(event).concat();
        assert_eq!((ended.body, ended.broken), (events, None), "whole, and without a reproach");
        let lasted = ended.at - failing;
        assert!((Duration::from_secs(59)..Duration::from_secs(73)).contains(&lasted), "{lasted:?}");
    }
    let words = close_with(1001, "the service account's token can't be checked at the moment");
    assert_eq!(command.rest().await, (words, Broken::Closed));
    command.closed_upstream().await;
    pass(&mut of_alice, 1).await;

    let (_, metrics) = rig.gate.admin_request("/metrics").await;
    for line in [
        "portcullis_stream_cuts_total{reason=\"unverified\",kind=\"watch\"} 2",
        "portcullis_stream_cuts_total{reason=\"unverified\",kind=\"exec\"} 1",
        "portcullis_token_reviews_total{result=\"given_up\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    let authorization = format!("Bearer {token}");
    let refused = rig.http1().await.request("GET", WATCH, &[("Authorization", &authorization)], b"").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    // The outage is over: the account is let in as if nothing had been.
    answer_with(rig, good(|_| {}));
    watches(rig, &token).await;
}

#[tokio::test]
async fn streams_of_a_token_that_the_store_can_not_read_end_after_half_a_minute_unless_it_can_again() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let (lost, of_lost) = rig.token(&alice.bearer, 0).await;
    let (healed, of_healed) = rig.token(&alice.bearer, 0).await;
    let mut of_alice = watches(&rig, &alice.bearer).await;
    let mut ending = watches(&rig, &of_lost).await;
    let mut staying = watches(&rig, &of_healed).await;
    let hash = stored_key(&rig, &healed);
    // Whatever is written of a token is damaged on its way to the disk.
    let damaging = "CREATE TRIGGER damage AFTER UPDATE ON tokens
                    BEGIN UPDATE tokens SET stored_key = 'damaged' WHERE name = NEW.name; END";
    database::open(&rig.gate).execute_batch(damaging).unwrap();
    for name in [&lost, &healed] {
        let target = format!("/v3/tokens/{name}");
        let changed = rig.api("PUT", &target, rig.admin(), &json!({ "description": "another" })).await;
        assert_eq!(changed.status, 500, "the change is stored, and can't be read again: {}", changed.text());
    }
    let failing = Instant::now();
    database::open(&rig.gate).execute_batch("DROP TRIGGER damage").unwrap();
    sleep_until((failing + Duration::from_secs(5)).into()).await;
    let heal = "UPDATE tokens SET stored_key = ?2 WHERE name = ?1";
    assert_eq!(database::open(&rig.gate).execute(heal, [&healed, &hash]).unwrap(), 1);
    sleep_until((failing + Duration::from_secs(25)).into()).await;
    pass(&mut ending, 1).await;
    for watch in ending {
        let ended = watch.ended().await;
        let events = [0, 1].map(event).concat();
        assert_eq!((ended.body, ended.broken), (events, None), "whole, and without a reproach");
        let lasted = ended.at - failing;
        assert!((Duration::from_secs(28)..Duration::from_secs(34)).contains(&lasted), "{lasted:?}");
    }
    // Beyond the time at which it would have been given up.
    sleep_until((failing + Duration::from_secs(36)).into()).await;
    pass(&mut staying, 1).await;
    pass(&mut of_alice, 1).await;
    assert_eq!(
        rig.gate.metric("portcullis_stream_cuts_total{reason=\"unverified\",kind=\"watch\"}").await,
        2
    );
    let delete = rig.api("DELETE", &format!("/v3/tokens/{healed}"), rig.admin(), &Value::Null).await;
    assert_eq!(delete.status, 204);
    for watch in staying {
        let told = String::from_utf8_lossy(&watch.ended().await.body).into_owned();
        assert!(told.contains(&format!("token {healed} was deleted")), "{told}");
    }
}

/// A watch over each protocol, with one event.
async fn watches(rig: &Rig, bearer: &str) -> Vec<Live> {
    let streams = Streams::of(&rig.stub, |_| "application/json");
    let mut open = Vec::new();
    for protocol in PROTOCOLS {
        open.push(streams.open(rig, protocol, WATCH, bearer).await);
    }
    pass(&mut open, 0).await;
    open
}

/// The event of this number comes through.
async fn pass(watches: &mut [Live], number: usize) {
    for watch in watches {
        watch.pass(&event(number)).await;
    }
}

fn event(number: usize) -> Vec<u8> {
    format!("{{\"type\":\"BOOKMARK\",\"object\":{{\"number\":{number}}}}}\n").into_bytes()
}

fn stored_key(rig: &Rig, name: &str) -> String {
    let sql = "SELECT stored_key FROM tokens WHERE name = ?1";
    database::open(&rig.gate).query_row(sql, [name], |row| row.get(0)).unwrap()
}
