//! Load by a client of our own: as fast as it goes by so many at once, or at a rate that does not wait for answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use crate::client::{Answer, Client, Connection};

/// A load over connections that stay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steady {
    pub(crate) connections: usize,
    /// Requests a second, sent at their time as long as a connection is free; as fast as they are answered if `None`.
    pub(crate) rate: Option<f64>,
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How long those took that were answered with 200.
    pub(crate) served: Vec<Duration>,
    /// Answered with 429 and `Retry-After`.
    pub(crate) refused: usize,
    pub(crate) elapsed: Duration,
}

struct Work {
    client: Client,
    request: Vec<u8>,
    begun: Instant,
    load: Steady,
    /// How many requests were taken up.
    taken: Cell<u32>,
    outcome: RefCell<Outcome>,
}

impl Steady {
    /// Runs it on this thread.
    ///
    /// # Panics
    /// When an answer is neither 200 nor 429, or a 429 does not say when to come again.
    pub(crate) fn run(self, client: &Client, request: &[u8]) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, self.offer(client.clone(), request.to_vec()))
    }

    async fn offer(self, client: Client, request: Vec<u8>) -> Outcome {
        let mut connecting = JoinSet::new();
        for _ in 0..self.connections {
            let (client, request) = (client.clone(), request.clone());
            connecting.spawn_local(async move {
                let mut connection = client.connect().await.unwrap();
                // A connection that has asked nothing yet is soon closed, and the others may take long.
                let answer = connection.ask(&request).await.unwrap();
                assert!(matches!(answer.status, 200 | 429), "{answer:?}");
                connection
            });
        }
        let connections = connecting.join_all().await;
        let (taken, outcome) = (Cell::new(0), RefCell::default());
        let work = Rc::new(Work { client, request, begun: Instant::now(), load: self, taken, outcome });
        let mut workers = JoinSet::new();
        for connection in connections {
            workers.spawn_local(Rc::clone(&work).go_on(connection));
        }
        workers.join_all().await;
        let elapsed = work.begun.elapsed();
        Outcome { elapsed, ..work.outcome.take() }
    }
}

impl Work {
    async fn go_on(self: Rc<Self>, mut connection: Connection) {
        while self.turn().await {
            let begun = Instant::now();
            let answer = connection.ask(&self.request).await.unwrap();
            self.outcome.borrow_mut().add(answer, begun.elapsed());
            if answer.is_last {
                connection = self.client.connect().await.unwrap();
            }
        }
    }

    /// Waits for the time of the next request; `false` if it is after the end.
    async fn turn(&self) -> bool {
        let number = self.taken.get();
        self.taken.set(number + 1);
        let due = self
            .load
            .rate
            .map_or(self.begun, |rate| self.begun + Duration::from_secs_f64(f64::from(number) / rate));
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        due.max(Instant::now()) < self.begun + self.load.time
    }
}

impl Outcome {
    fn add(&mut self, answer: Answer, took: Duration) {
        match answer.status {
            200 => self.served.push(took),
            429 if answer.has_retry_after => self.refused += 1,
            _ => panic!("{answer:?}"),
        }
    }

    pub(crate) fn answers(&self) -> usize {
        self.served.len() + self.refused
    }

    pub(crate) fn per_second(&self, count: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let count = count as f64;
        count / self.elapsed.as_secs_f64()
    }
}

/// The time that so many in a hundred don't exceed; zero of none.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get(last * percent / 100).copied().unwrap_or_default()
}
