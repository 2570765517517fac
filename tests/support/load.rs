//! Clients that ask all the time: several connections of HTTP/2, many requests at once on each.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::accounts::Account;
use super::wire::{Endpoint, Http2, Response};

/// What goes on until it is stopped.
pub(crate) struct Load {
    tally: Arc<Tally>,
    clients: JoinSet<Vec<Duration>>,
    began: Instant,
}

/// How it went.
pub(crate) struct Outcome {
    pub(crate) requests: usize,
    pub(crate) a_second: usize,
    /// Answers other than 200, and what was no answer.
    pub(crate) unserved: Vec<Result<Response, String>>,
    /// How long each request took.
    pub(crate) times: Vec<Duration>,
}

#[derive(Default)]
struct Tally {
    over: AtomicBool,
    done: AtomicUsize,
    unserved: Mutex<Vec<Result<Response, String>>>,
}

impl Load {
    /// GETs of `target`, `at_once` of them on each of so many connections.
    pub(crate) async fn start(
        endpoint: &Endpoint,
        account: &Account,
        target: &'static str,
        [connections, at_once]: [usize; 2],
    ) -> Self {
        let (tally, mut clients) = (Arc::new(Tally::default()), JoinSet::new());
        for _ in 0..connections {
            let client = Http2::connect(endpoint).await;
            for _ in 0..at_once {
                clients.spawn(ask(client.clone(), account.authorization(), target, Arc::clone(&tally)));
            }
        }
        Self { tally, clients, began: Instant::now() }
    }

    /// Requests so far.
    pub(crate) fn done(&self) -> usize {
        self.tally.done.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(self) -> Outcome {
        self.tally.over.store(true, Ordering::Relaxed);
        let times = self.clients.join_all().await.concat();
        let (requests, elapsed) = (times.len(), self.began.elapsed());
        let a_second = requests * 1_000 / usize::try_from(elapsed.as_millis()).unwrap();
        let unserved = std::mem::take(&mut *self.tally.unserved.lock().unwrap());
        Outcome { requests, a_second, unserved, times }
    }
}

impl Outcome {
    /// Asserts that every request was served.
    pub(crate) fn expect_all_served(&self) {
        let (unserved, requests) = (self.unserved.len(), self.requests);
        assert_eq!(unserved, 0, "of {requests}, first {:#?}", self.unserved.first());
    }
}

async fn ask(client: Http2, authorization: String, target: &'static str, tally: Arc<Tally>) -> Vec<Duration> {
    let lines = [("authorization", authorization.as_str())];
    let mut times = Vec::new();
    while !tally.over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer = client.request("GET", target, &lines, b"").await;
        times.push(asked.elapsed());
        tally.done.fetch_add(1, Ordering::Relaxed);
        if !answer.as_ref().is_ok_and(|answer| answer.status == 200 && answer.broken.is_none()) {
            tally.unserved.lock().unwrap().push(answer.map_err(|error| error.to_string()));
        }
    }
    times
}
