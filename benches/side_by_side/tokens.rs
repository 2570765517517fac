//! What the number of stored tokens costs: the start, memory, the first and the second use of one, CPU a request.
//!
//! The product alone, with stores that are filled once a run. Each round starts it on every one of them. The rows are
//! stores instead of proxies, the fullest first, so that "we to it" is what the fullest took for each that this one took.
//! An empty store has not even its tables: what it takes until it is ready is a first start, with everything made.
//!
//! Starts are timed from before the process is made (by taskset and a shell, 2 ms) to the moment when `/readyz` says so,
//! and to the first request that comes back from the origin. A first use finds the token in the store, as the gate has
//! never seen it; the store's file is in the kernel's memory, as it was just written, so that no disk is in these
//! figures. The uses are one after the other on one connection. CPU is at full speed, 32 requests at once, with one token,
//! or with thousands at random.

use std::time::{Duration, Instant};

use portcullis::store::Store;

use crate::figures::{Measure, Table, micros};
use crate::filling::Filling;
use crate::memory;
use crate::origin::Origin;
use crate::process::{Place, Running};
use crate::product::{Installation, Setup};
use crate::scenario::{Pace, Scenario};
use crate::uses::{self, Uses};

/// Tokens in the stores.
const STORED: [usize; 4] = [1_000_000, 100_000, 1_000, 0];
/// In a trial no token is the millionth.
const STORED_IN_A_TRIAL: [usize; 3] = [100_000, 1_000, 0];
/// As many different tokens are used, if there are so many.
const MANY: usize = 100_000;
/// So many are used one after the other.
const SOME: usize = 1_000;
/// And as many as these at random.
const HOT: [usize; 3] = [1, 1_000, 10_000];
const AT_ONCE: usize = 32;
/// For the first request to be let through.
const PATIENCE: Duration = Duration::from_secs(30);

fn measures() -> Vec<Measure> {
    vec![
        Measure::told("start to ready, ms", 0),
        Measure::told("start to first 200, ms", 0),
        Measure::told("memory, ready, MiB", 1),
        Measure::told("1,000 tokens used, MiB", 1),
        Measure::told("100,000 used, MiB", 1),
        Measure::told("first use p50, µs", 0),
        Measure::told("p99", 0),
        Measure::compared("second use p50, µs", 0),
        Measure::told("p99", 0),
        Measure::compared("CPU a request, one token, µs", 1),
        Measure::compared("1,000 tokens, µs", 1),
        Measure::compared("10,000 tokens, µs", 1),
    ]
}

pub(crate) fn all() -> Vec<Scenario> {
    vec![Scenario::new("tokens in the store".to_owned(), run)]
}

fn run(name: &str, place: &Place, pace: Pace) -> Table {
    let origin = Origin::start(place);
    let stored = if pace.is_trial { &STORED_IN_A_TRIAL[..] } else { &STORED };
    let stores: Vec<_> = stored.iter().map(|tokens| Filled::new(place, &origin, *tokens)).collect();
    let names: Vec<_> = stores.iter().map(|store| store.name.as_str()).collect();
    let mut table = Table::new(name, measures(), &names);
    for round in 1..=pace.rounds {
        for (store, row) in stores.iter().zip(&mut table.rows) {
            let values = store.measure(place, pace);
            eprintln!("  round {round}, {}: first 200 after {:.0} ms", row.name, values[1]);
            row.add(&values);
        }
    }
    table
}

/// A gate that does not run yet, with so many tokens in its store.
struct Filled {
    name: String,
    installation: Installation,
    /// What is used of them.
    bearers: Vec<String>,
}

impl Filled {
    fn new(place: &Place, origin: &Origin, tokens: usize) -> Self {
        let installation = Installation::new(place, origin.http2, Setup::default());
        if tokens == 0 {
            return Self { name: "none".to_owned(), installation, bearers: Vec::new() };
        }
        drop(Store::open(&installation.data(), None).unwrap());
        let database = installation.data().join("portcullis.db");
        let begun = Instant::now();
        let bearers = Filling { tokens, bearers: MANY, has_expired: false }.fill(&database);
        eprintln!("  {tokens} tokens made in {:.1} s", begun.elapsed().as_secs_f64());
        Self { name: format!("{tokens} tokens"), installation, bearers }
    }

    /// One start of it, in the order of [`measures`].
    fn measure(&self, place: &Place, pace: Pace) -> [f64; 12] {
        self.forget();
        let begun = Instant::now();
        let process = self.installation.start(place, Setup::default().cores);
        let ready = milliseconds(begun.elapsed());
        if self.bearers.is_empty() {
            let mut values = [f64::NAN; 12];
            (values[0], values[2]) = (ready, mebibytes(&process));
            return values;
        }
        self.wait_until_let_in(place);
        let let_in = milliseconds(begun.elapsed());
        let at_start = mebibytes(&process);
        let some = &self.bearers[1..self.bearers.len().min(SOME)];
        let one_by_one = Uses { bearers: some, at_once: 1, time: None };
        let first = one_by_one.run(place, self.installation.address);
        let some_used = mebibytes(&process);
        let second = one_by_one.run(place, self.installation.address);
        let hot = HOT.map(|count| self.cpu(place, &process, pace, count));
        let many_used = match self.used(place, &self.bearers) {
            MANY => mebibytes(&process),
            _ => f64::NAN,
        };
        [
            ready, let_in, at_start, some_used, many_used, first.p50, first.p99, second.p50, second.p99,
            hot[0], hot[1], hot[2],
        ]
    }

    /// CPU a request with so many tokens, each of which was used before; NaN if there are not so many.
    fn cpu(&self, place: &Place, process: &Running, pace: Pace, count: usize) -> f64 {
        let Some(bearers) = self.bearers.get(..count) else { return f64::NAN };
        self.used(place, bearers);
        let before = process.cpu();
        let time = Some(pace.round.min(Duration::from_secs(3)));
        let used = Uses { bearers, at_once: AT_ONCE, time }.run(place, self.installation.address);
        micros(process.cpu().saturating_sub(before)) / used.requests
    }

    /// Uses each of these once, many at a time, and says how many that were.
    fn used(&self, place: &Place, bearers: &[String]) -> usize {
        Uses { bearers, at_once: AT_ONCE, time: None }.run(place, self.installation.address);
        bearers.len()
    }

    /// A start of an empty store is one without anything from the start before.
    fn forget(&self) {
        if self.bearers.is_empty() {
            std::fs::remove_dir_all(self.installation.data()).unwrap();
            std::fs::create_dir(self.installation.data()).unwrap();
        }
    }

    /// Asks until the answer is the origin's.
    fn wait_until_let_in(&self, place: &Place) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (address, authorization) = (self.installation.address, uses::authorization(&self.bearers[0]));
        let begun = Instant::now();
        runtime.block_on(async {
            let connection = uses::connect(address, place.ca_pem.as_bytes()).await;
            while uses::ask(&connection, address, &authorization).await != http::StatusCode::OK {
                assert!(begun.elapsed() < PATIENCE, "no request is let through");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

fn mebibytes(process: &Running) -> f64 {
    memory::proportional(process.id()) / 1024.0
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
