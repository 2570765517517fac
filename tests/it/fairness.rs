//! Three times as much as there is room for, all of it from one user, and another user who notices nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::gate::Settings;
use crate::support::report;
use crate::support::rig::Rig;
use crate::support::stub::{Answer, send_data};
use crate::support::wire::Http2;

const ROOM: usize = 20;
/// How long the cluster takes for a request.
const WORK: Duration = Duration::from_millis(50);
const PHASE: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loud_user_starves_no_quiet_one_and_overload_costs_no_throughput() {
    // One user may take every place: it is the order of the queue that has to be fair.
    let limits = vec![("maxRequestsInFlight", "20"), ("maxRequestsInFlightPerUser", "20")];
    let settings = Settings { log_level: "warn", limits, ..Settings::default() };
    let rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    rig.stub.answer_with(|_| {
        Answer::http2(async |mut stream| {
            tokio::time::sleep(WORK).await;
            let response = http::Response::builder().status(200).body(()).unwrap();
            let Ok(mut sender) = stream.respond.send_response(response, false) else { return };
            send_data(&mut sender, b"{}", true).await;
        })
    });
    let loud = rig.account("loud", &[]).await.authorization();
    let quiet = rig.account("quiet", &[]).await.authorization();

    let alone = sequence(&rig, &quiet).await;
    let peak = Crowd::start(&rig, &loud, ROOM).await.stop_after(PHASE).await;
    let crowd = Crowd::start(&rig, &loud, 3 * ROOM).await;
    rig.gate.wait_until("full", async || rig.gate.metric("portcullis_requests_waiting").await > 0).await;
    let beside = sequence(&rig, &quiet).await;
    let most_waited = rig.gate.metric("portcullis_requests_in_flight").await;
    let overload = crowd.stop_after(PHASE).await;

    assert!(most_waited <= ROOM as u64);
    let (before, during) = (report::percentile(&alone, 99), report::percentile(&beside, 99));
    assert!(during <= 2 * before + 2 * WORK, "alone {before:?}, beside a loud user {during:?}");
    let share = overload.rate() / peak.rate();
    assert!(share >= 0.8, "{} a second of {} at best", overload.rate(), peak.rate());
    assert!(overload.refused > 0, "there was no overload");
    for name in ["portcullis_requests_in_flight", "portcullis_requests_waiting"] {
        rig.gate.wait_until("free again", async || rig.gate.metric(name).await == 0).await;
    }
    report::write(
        "overload",
        &json!({
            "command": "cargo test --test it fairness",
            "places": ROOM,
            "requests of the loud user at once": 3 * ROOM,
            "its requests a second with as many as there are places": peak.rate().round(),
            "its requests a second under overload": overload.rate().round(),
            "its requests refused with 429": overload.refused,
            "requests of the quiet user refused": 0,
            "the quiet user's requests": {
                "alone": report::spread(&alone),
                "beside the loud user": report::spread(&beside),
            },
        }),
    );
}

/// One request after the other, all of which have to be served, and their times.
async fn sequence(rig: &Rig, authorization: &str) -> Vec<Duration> {
    let client = rig.http2().await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        let answer = client.request("GET", "/api/v1/pods", &[("authorization", authorization)], b"").await;
        assert_eq!(answer.unwrap().status, 200);
        times.push(start.elapsed());
    }
    times
}

/// Many clients of one user, each of which sends its next request when it has the answer to the last.
struct Crowd {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
    start: Instant,
}

#[derive(Default)]
struct Shared {
    served: AtomicUsize,
    refused: AtomicUsize,
    over: AtomicBool,
}

struct Outcome {
    served: usize,
    refused: usize,
    time: Duration,
}

impl Crowd {
    async fn start(rig: &Rig, authorization: &str, count: usize) -> Self {
        let (shared, mut clients) = (Arc::new(Shared::default()), JoinSet::new());
        let connection = rig.http2().await;
        for _ in 0..count {
            clients.spawn(ask(connection.clone(), authorization.to_owned(), Arc::clone(&shared)));
        }
        Self { clients, shared, start: Instant::now() }
    }

    async fn stop_after(self, least: Duration) -> Outcome {
        tokio::time::sleep(least.saturating_sub(self.start.elapsed())).await;
        let (served, refused) =
            (self.shared.served.load(Ordering::Relaxed), self.shared.refused.load(Ordering::Relaxed));
        let time = self.start.elapsed();
        self.shared.over.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        Outcome { served, refused, time }
    }
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn rate(&self) -> f64 {
        self.served as f64 / self.time.as_secs_f64()
    }
}

async fn ask(client: Http2, authorization: String, shared: Arc<Shared>) {
    while !shared.over.load(Ordering::Relaxed) {
        let lines = [("authorization", authorization.as_str())];
        let answer = client.request("GET", "/api/v1/pods", &lines, b"").await.unwrap();
        if answer.status == 200 {
            shared.served.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
        shared.refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(4 * WORK).await;
    }
}
