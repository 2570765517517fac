//! The serving certificate and the configuration are replaced twice a second while h2load asks as fast as it can, 50
//! watches are open, and a client of our own asks without a pause: beside the same without a reload. New connections are
//! made until one shows the new certificate.
//!
//! Failed is a request that is not answered with 200 and a connection that can't be made; cut is a watch that ends or is
//! silent. The run itself fails when h2load got anything but 200, or the configuration was not taken over as often as it was
//! replaced. All clients share a core, so the longest time of a request is theirs as well: what a reload adds is the
//! difference between the rows. Who reads its files later than on SIGHUP, as without one, it can't show.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{fs, io};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::{JoinSet, LocalSet};

use crate::certificates::{Authority, Issued};
use crate::client::{Client, Connection};
use crate::figures::{Measure, Table};
use crate::load::{Load, Protocol};
use crate::origin::KILOBYTE;
use crate::own_origin;
use crate::process::{self, Place};
use crate::product::{Product, Setup};
use crate::revocation::WATCH;
use crate::scenario::{Pace, Scenario};
use crate::steady::percentile;

const WATCHES: usize = 50;
const EVERY: Duration = Duration::from_millis(500);
/// The shortest round with enough of them.
const SHORTEST: Duration = Duration::from_secs(3);
/// For a new certificate to be shown.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is replaced, and how often it was.
struct Replaced<'p> {
    product: &'p Product,
    authority: Authority,
    /// Trusts the authority, and not that of the product's first certificate.
    client: Client,
    times: Cell<u32>,
}

/// What all clients of a round share.
struct Round {
    client: Client,
    authorization: String,
    until: Instant,
    /// How long requests took.
    took: RefCell<Vec<Duration>>,
    /// How long it was until a new certificate was shown.
    shown: RefCell<Vec<Duration>>,
    connections: Cell<u32>,
    failed: Cell<u32>,
    cut: Cell<u32>,
}

pub(crate) fn all() -> Vec<Scenario> {
    vec![Scenario::new("certificate and configuration replaced".to_owned(), run)]
}

fn run(name: &str, place: &Place, pace: Pace) -> Table {
    process::move_to_others();
    let origin = own_origin::start(place, Duration::ZERO);
    let product = Product::start(place, origin.http2);
    let measures = vec![
        Measure::told("failed", 0),
        Measure::told("watches cut", 0),
        Measure::told("longest time of a request, ms", 2),
        Measure::told("p99, ms", 2),
        Measure::told("requests/s of h2load", 0),
        Measure::told("p99 of h2load, ms", 2),
        Measure::told("reloads", 0),
        Measure::told("new certificate shown after, ms", 0),
        Measure::told("new connections", 0),
    ];
    let mut table = Table::new(name, measures, &["as it is", "with reloads"]);
    let authority = Authority::new();
    // Whoever resumes is shown no certificate, and believes in the one before.
    let client = Client::new(product.proxy.address, &authority.pem()).without_resumption();
    let replaced = Replaced { product: &product, authority, client, times: Cell::new(0) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(replaced.once_more());
    for round in 1..=pace.rounds {
        for (reloads, row) in [false, true].into_iter().zip(&mut table.rows) {
            let values = measure(place, pace.round.max(SHORTEST), &replaced, reloads);
            eprintln!("  round {round}, {}: {:.2} ms", row.name, values[2]);
            row.add(&values);
        }
    }
    table
}

fn measure(place: &Place, time: Duration, replaced: &Replaced<'_>, reloads: bool) -> [f64; 9] {
    let product = replaced.product;
    let load = Load { protocol: Protocol::Http2, connections: 16, streams: 4, path: KILOBYTE, status: 200 };
    let applied = || {
        let of = |what: &str| format!("portcullis_reload_total{{what=\"{what}\",result=\"ok\"}}");
        product.metric(&of("configuration")).min(product.metric(&of("serving-certificate")))
    };
    let before = applied();
    let round = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load.run(place, &product.proxy, time));
        let round = clients(replaced, reloads, time);
        (round, loading.join().unwrap())
    });
    let (round, served) = round;
    let (mut took, mut shown) = (round.took.take(), round.shown.take());
    let reloads = u32::try_from(shown.len()).unwrap();
    assert!((applied() - before - f64::from(reloads)).abs() < 0.5, "{reloads} reloads");
    let mut at = |percent| percentile(&mut took, percent).as_secs_f64() * 1e3;
    [
        f64::from(round.failed.get()),
        f64::from(round.cut.get()),
        at(100),
        at(99),
        f64::from(u32::try_from(served.requests).unwrap()) / served.elapsed.as_secs_f64(),
        served.p99.as_secs_f64() * 1e3,
        f64::from(reloads),
        if reloads == 0 { f64::NAN } else { percentile(&mut shown, 50).as_secs_f64() * 1e3 },
        f64::from(round.connections.get()),
    ]
}

/// What goes on in a round, on this thread.
fn clients(replaced: &Replaced<'_>, reloads: bool, time: Duration) -> Rc<Round> {
    let round = Rc::new(Round {
        client: replaced.client.clone(),
        authorization: replaced.product.proxy.authorization.clone(),
        until: Instant::now() + time,
        took: RefCell::default(),
        shown: RefCell::default(),
        connections: Cell::default(),
        failed: Cell::default(),
        cut: Cell::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let all = async {
        let mut clients = JoinSet::new();
        for _ in 0..WATCHES {
            clients.spawn_local(watch(Rc::clone(&round)));
        }
        clients.spawn_local(ask(Rc::clone(&round)));
        if reloads {
            reload(replaced, &round).await;
        }
        clients.join_all().await;
    };
    LocalSet::new().block_on(&runtime, all);
    round
}

async fn reload(replaced: &Replaced<'_>, round: &Round) {
    let mut turns = tokio::time::interval(EVERY);
    while Instant::now() + 2 * EVERY < round.until {
        turns.tick().await;
        let begun = Instant::now();
        let (connections, failed) = replaced.once_more().await;
        round.connections.update(|count| count + connections);
        round.failed.update(|count| count + failed);
        round.shown.borrow_mut().push(begun.elapsed());
    }
}

impl Replaced<'_> {
    /// Replaces certificate and configuration, says so, and connects until the new certificate is shown; says how often,
    /// and how many of these connections failed.
    async fn once_more(&self) -> (u32, u32) {
        let times = self.times.get();
        self.times.set(times + 1);
        let issued = self.authority.issue(&["localhost", "127.0.0.1"]);
        swap(&self.product.installation.directory, &issued);
        // One of the keys that hold at once, and another value each time.
        let more = format!("limits:\n  maxStreams: {}\n", 15_000 + times);
        self.product.installation.configure(Setup { more: &more, ..Setup::default() });
        let process = &self.product.proxy.process;
        kill(Pid::from_raw(process.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
        let (begun, mut connections, mut failed) = (Instant::now(), 0, 0);
        loop {
            let connection = self.client.connect().await;
            connections += 1;
            let is_new = connection.as_ref().is_ok_and(|connection| connection.shows(&issued));
            // The predecessor of the first one is of another authority, and is not trusted.
            if !self.serves(connection).await && times > 0 {
                failed += 1;
            }
            if is_new {
                return (connections, failed);
            }
            assert!(begun.elapsed() < PATIENCE, "the new certificate is not shown");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn serves(&self, connection: io::Result<Connection>) -> bool {
        let Ok(mut connection) = connection else { return false };
        let request = self.client.request("GET", KILOBYTE, &self.product.proxy.authorization, "");
        connection.ask(&request).await.is_ok_and(|answer| answer.status == 200)
    }
}

fn swap(directory: &Path, issued: &Issued) {
    for (name, text) in [("server.crt", &issued.certificate_pem), ("server.key", &issued.key_pem)] {
        let new = directory.join(format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, directory.join(name)).unwrap();
    }
}

/// Watches until the round is over, and has an event all the while.
async fn watch(round: Rc<Round>) {
    let mut connection = round.client.connect().await.unwrap();
    let request = round.client.request("GET", WATCH, &round.authorization, "");
    assert_eq!(connection.begin(&request).await.unwrap().status, 200);
    let silence = own_origin::EVERY * 10;
    while Instant::now() < round.until {
        let read = tokio::time::timeout(silence, connection.read()).await;
        let is_over = connection.received().ends_with(b"0\r\n\r\n");
        if is_over || !matches!(read, Ok(Ok(_))) {
            round.cut.update(|count| count + 1);
            return;
        }
        connection.received().clear();
    }
}

/// Asks without a pause until the round is over, or a request fails.
async fn ask(round: Rc<Round>) {
    let mut connection = round.client.connect().await.unwrap();
    let request = round.client.request("GET", KILOBYTE, &round.authorization, "");
    while Instant::now() < round.until {
        let begun = Instant::now();
        let answer = connection.ask(&request).await;
        if !answer.is_ok_and(|answer| answer.status == 200 && !answer.is_last) {
            round.failed.update(|count| count + 1);
            return;
        }
        round.took.borrow_mut().push(begun.elapsed());
    }
}
