//! Made-up tokens in numbers, and the workloads that are at work meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::service_accounts::{good, jwt, reviews};
use crate::support::gate::Settings;
use crate::support::rig::Rig;
use crate::support::stub::Answer;
use crate::support::wire::Http1;

const TARGET: &str = "/api/v1/pods";
/// Longer than an answer about a token holds, so that each is asked for again in the middle of the flood.
const FLOOD: Duration = Duration::from_secs(12);
const WORKLOADS: usize = 3;

#[tokio::test]
async fn workloads_at_work_are_reviewed_in_time_while_made_up_tokens_use_up_all_the_rest() {
    // Four of each for those that were good before, and four for the others.
    let keys = vec![("serviceAccounts", "{ reviewsPerSecond: 8, reviewsAtOnce: 8 }")];
    let settings = Settings { log_level: "warn", keys, ..Settings::default() };
    let rig = Arc::new(Rig::with(&["h2", "http/1.1"], &settings).await);
    let known: Vec<_> = (0..WORKLOADS).map(|number| jwt(&format!("known-{number}"), None)).collect();
    let vouched = known.clone();
    rig.stub.answer_questions_with(move |_| {
        let vouched = vouched.clone();
        Answer::considered(move |seen| {
            let is_known = vouched.contains(&token_of(&seen.body().unwrap()));
            good(move |status| status["authenticated"] = is_known.into())
        })
    });
    for token in &known {
        assert_eq!(ask(&mut rig.http1().await, token).await, 200);
    }
    let (flood, busy) = (Flood::start(&rig), Instant::now());
    let mut client = rig.http1().await;
    let mut slowest = Duration::ZERO;
    while busy.elapsed() < FLOOD {
        for token in &known {
            let asked = Instant::now();
            assert_eq!(ask(&mut client, token).await, 200, "after {:?}", busy.elapsed());
            slowest = slowest.max(asked.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (turned_away, refused) = flood.end().await;
    let mut asked = HashMap::<_, usize>::new();
    for review in reviews(&rig) {
        *asked.entry(token_of(&review.body().unwrap())).or_default() += 1;
    }
    for token in &known {
        assert!(asked[token] >= 2, "reviewed again in the middle of it: {}", asked[token]);
    }
    // All the turns of the others were used up, so that a workload in their queue would have had none.
    let turns = 4 * (FLOOD.as_secs() + 2);
    assert!(refused > 0 && refused as u64 <= turns, "{refused} reviews of made-up tokens");
    assert!(turned_away > 10 * refused, "{turned_away} had no turn, {refused} had");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

/// Clients that bring one made-up token after the other.
struct Flood {
    stop: Arc<AtomicBool>,
    turned_away: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Flood {
    fn start(rig: &Arc<Rig>) -> Self {
        let mut flood = Self {
            stop: Arc::default(),
            turned_away: Arc::default(),
            refused: Arc::default(),
            clients: JoinSet::new(),
        };
        for lane in 0..4 {
            let (rig, stop) = (Arc::clone(rig), Arc::clone(&flood.stop));
            let (turned_away, refused) = (Arc::clone(&flood.turned_away), Arc::clone(&flood.refused));
            flood.clients.spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // A 401 ends a connection, sooner or later.
                    let mut client = rig.http1().await;
                    match ask(&mut client, &jwt(&format!("junk-{lane}-{number}"), None)).await {
                        503 => turned_away.fetch_add(1, Ordering::Relaxed),
                        401 => refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other}"),
                    };
                }
            });
        }
        flood
    }

    /// How many had no turn, and how many were refused by the cluster.
    async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        (self.turned_away.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}

async fn ask(client: &mut Http1, token: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    client.request("GET", TARGET, &[("Authorization", &authorization)], b"").await.status
}

/// The token that a review asks about.
fn token_of(body: &[u8]) -> String {
    let review: Value = serde_json::from_slice(body).unwrap();
    review["spec"]["token"].as_str().unwrap().to_owned()
}
