//! Guessing of keys is slowed down, and nobody is locked out by it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::rig::Rig;
use crate::support::stub::{Answer, send_data};
use crate::support::wire::response_of;

const TARGET: &str = "/api/v1/pods";

#[tokio::test]
async fn the_answer_to_a_wrong_key_is_held_back_after_many_and_that_to_the_right_key_is_not() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let (right, wrong) =
        (account.authorization(), format!("Bearer {}:{}", account.token_name, "w".repeat(54)));
    let mut client = rig.http1().await;
    let mut timed = async |authorization: &str| {
        let start = Instant::now();
        let response = client.request("GET", TARGET, &[("Authorization", authorization)], b"").await;
        (response.status, start.elapsed())
    };
    while rig.gate.metric("portcullis_refusals_delayed_total").await == 0 {
        assert_eq!(timed(&wrong).await.0, 401);
    }
    let (mut of_wrong, mut of_right) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..10 {
        let (status, time) = timed(&wrong).await;
        assert!(status == 401 && time < Duration::from_secs(5), "{status} {time:?}");
        of_wrong += time;
        let (status, time) = timed(&right).await;
        assert_eq!(status, 200);
        of_right += time;
    }
    assert!(of_right < of_wrong / 2, "right {of_right:?}, wrong {of_wrong:?}");
    assert_eq!(rig.gate.metric("portcullis_refusals_held").await, 0);
}

#[tokio::test]
async fn only_so_many_answers_are_held_back_and_further_attackers_lose_their_connection() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let wrong = Arc::new(format!("Bearer {}:{}", account.token_name, "w".repeat(54)));
    let mut attackers = JoinSet::new();
    for _ in 0..15 {
        let (client, wrong) = (rig.http2().await, Arc::clone(&wrong));
        attackers.spawn(async move {
            let guesses = (0..100).map(|_| async {
                let answer = client.request("GET", TARGET, &[("authorization", &wrong)], b"").await;
                // After the first 401 the connection ends: what was not processed then has no answer.
                assert!(answer.map_or(401, |response| response.status) == 401);
            });
            let mut guesses: Vec<_> = guesses.map(Box::pin).collect();
            std::future::poll_fn(|cx| {
                guesses.retain_mut(|guess| guess.as_mut().poll(cx).is_pending());
                if guesses.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        });
    }
    attackers.join_all().await;
    let closed = rig.gate.metric("portcullis_authentications_total{result=\"too_many_failures\"}").await;
    assert!(closed > 0, "{}", rig.gate.admin_request("/metrics").await.1);
    assert_eq!(rig.gate.metric("portcullis_refusals_held").await, 0);
    let mut client = rig.http1().await;
    assert_eq!(
        client.request("GET", TARGET, &[("Authorization", &account.authorization())], b"").await.status,
        200
    );
}

#[tokio::test]
async fn after_a_401_an_http2_connection_ends_and_good_requests_beside_it_are_finished() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let (go, wait) = watch::channel(false);
    rig.stub.answer_with(move |_| {
        let mut wait = wait.clone();
        Answer::http2(async move |mut stream| {
            wait.wait_for(|go| *go).await.unwrap();
            let response = http::Response::builder().status(200).body(()).unwrap();
            let mut sender = stream.respond.send_response(response, false).unwrap();
            send_data(&mut sender, b"whole", true).await;
        })
    });
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    for wrong in ["Bearer token-zzzzz:wrong", "Bearer nonsense", ""] {
        rig.stub.forget();
        let client = rig.http2().await;
        let mut good = Vec::new();
        for _ in 0..5 {
            good.push(client.start("GET", TARGET, &lines, true).await.unwrap().0);
        }
        rig.stub.request(5).await;
        let bad: &[(&str, &str)] = if wrong.is_empty() { &[] } else { &[("authorization", wrong)] };
        assert_eq!(client.request("GET", TARGET, bad, b"").await.unwrap().status, 401);
        let ends = async || client.start("GET", TARGET, &lines, true).await.is_err();
        rig.gate.wait_until("ending the connection", ends).await;
        go.send_replace(true);
        for response in good {
            let response = response_of(response).await.unwrap();
            assert_eq!((response.text().as_str(), response.broken), ("whole", None));
        }
        go.send_replace(false);
    }
}
