//! Guessing of keys is slowed down, and nobody is locked out by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::gate::Settings;
use crate::support::report;
use crate::support::rig::Rig;
use crate::support::stub::{Answer, send_data};
use crate::support::wire::{Http2, response_of};

const TARGET: &str = "/api/v1/pods";
const AT_ONCE: usize = 100;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_of_a_token_works_undisturbed_while_others_guess_at_it_and_at_any_other_name() {
    let guesses: usize =
        std::env::var("PORTCULLIS_TEST_GUESSES").map_or(4000, |count| count.parse().unwrap());
    let settings = Settings { log_level: "warn", ..Settings::default() };
    let rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let alone = work(&rig, &authorization, async || true).await;
    let memory = rig.gate.resident_kib();

    let mut attackers = attack(&rig, &account.token_name, guesses / AT_ONCE);
    let beside = work(&rig, &authorization, async || {
        attackers.is_empty() || {
            while attackers.try_join_next().is_some() {}
            attackers.is_empty()
        }
    })
    .await;
    let growth = rig.gate.resident_kib().saturating_sub(memory) >> 10;
    assert!(growth <= 64, "{growth} MiB");
    let (before, during) = (report::percentile(&alone, 99), report::percentile(&beside, 99));
    assert!(
        during <= (2 * before).max(Duration::from_millis(250)),
        "alone {before:?}, under attack {during:?}"
    );
    report::write(
        "guessing",
        &json!({
            "command": "PORTCULLIS_TEST_GUESSES=100000 cargo test --test it owner_of_a_token",
            "wrong keys sent": guesses,
            "answers held back": rig.gate.metric("portcullis_refusals_delayed_total").await,
            "answered at once, connection closed":
                rig.gate.metric("portcullis_authentications_total{result=\"too_many_failures\"}").await,
            "growth of memory, MiB": growth,
            "requests of the owner that failed": 0,
            "the owner's requests": {
                "alone": report::spread(&alone),
                "while others guess": report::spread(&beside),
            },
        }),
    );
}

/// Wrong keys in so many rounds, half of them for `name` and half for names that there are not.
fn attack(rig: &Rig, name: &str, rounds: usize) -> JoinSet<()> {
    let (left, mut attackers) = (Arc::new(AtomicUsize::new(rounds)), JoinSet::new());
    for _ in 0..4 {
        let (endpoint, name, left) = (rig.gate.endpoint.clone(), name.to_owned(), Arc::clone(&left));
        attackers.spawn(async move {
            let next = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            while let Ok(round) = next() {
                guess_at_once(Http2::connect(&endpoint).await, &name, round).await;
            }
        });
    }
    attackers
}

async fn guess_at_once(client: Http2, name: &str, round: usize) {
    let mut answers = JoinSet::new();
    for number in 0..AT_ONCE {
        let name = if number % 2 == 0 { name.to_owned() } else { format!("token-{round}-{number}") };
        let (client, wrong) = (client.clone(), format!("Bearer {name}:{}", "w".repeat(54)));
        answers.spawn(async move {
            let answer = client.request("GET", TARGET, &[("authorization", &wrong)], b"").await;
            // After its first 401 the connection ends: what was not processed then has no answer.
            assert_eq!(answer.map_or(401, |response| response.status), 401);
        });
    }
    answers.join_all().await;
}

/// Requests one after the other, until enough and `is_over`; all have to be served. Their times.
async fn work(rig: &Rig, authorization: &str, mut is_over: impl AsyncFnMut() -> bool) -> Vec<Duration> {
    let (mut client, mut times) = (rig.http1().await, Vec::new());
    while times.len() < 300 || !is_over().await {
        let start = Instant::now();
        let answer = client.request("GET", TARGET, &[("Authorization", authorization)], b"").await;
        assert_eq!(answer.status, 200);
        times.push(start.elapsed());
    }
    times
}
