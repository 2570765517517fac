//! An event to a thousand watches: how long it takes from the origin to each of them.
//!
//! The origin makes an event, with the time in it, and hands it to all watches at once; the client takes the time at
//! which each of them has it, and the next event is made when the last has. All have the same clock. Origin and client
//! share a core, so much of a figure is theirs: the relay's shows how much.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::figures::{Measure, Table};
use crate::load::Protocol;
use crate::part;
use crate::peers::{Peer, Proxy};
use crate::process::Place;
use crate::scenario::{Pace, Scenario};
use crate::watch_client::{Client, Target, percentile};
use crate::watch_origin::{Orders, WatchOrigin};

/// The word that makes this program the client.
pub(crate) const COMMAND: &str = "event-client";

#[derive(Serialize, Deserialize)]
struct Question {
    target: Target,
    orders: SocketAddr,
    watches: usize,
    events: usize,
}

/// Times in microseconds.
#[derive(Serialize, Deserialize)]
struct Seen {
    opened: usize,
    p50: f64,
    p99: f64,
}

const PROTOCOL: Protocol = Protocol::Http2;
/// For an event to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between an event's last arrival and the next event.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn all() -> Vec<Scenario> {
    vec![Scenario::new("h2 to h2, an event to 1000 watches".to_owned(), run)]
}

fn run(name: &str, place: &Place, pace: Pace) -> Table {
    let origin = WatchOrigin::start(place);
    let proxies = Peer::start_all(place, &origin.origin, PROTOCOL, PROTOCOL);
    let names: Vec<_> = proxies.iter().map(|proxy| proxy.peer.name()).collect();
    let measures = vec![
        Measure::compared("p50, µs", 0),
        Measure::compared("p99, µs", 0),
        Measure::told("watches open", 0),
    ];
    let mut table = Table::new(name, measures, &names);
    // The first round warms up.
    for round in 0..=pace.rounds {
        for (proxy, row) in proxies.iter().zip(&mut table.rows) {
            let seen = ask(place, &origin, proxy, pace);
            eprintln!("  round {round}, {}: {:.0} µs", row.name, seen.p50);
            #[expect(clippy::cast_precision_loss, reason = "a count of watches")]
            let opened = seen.opened as f64;
            if round > 0 {
                row.add(&[seen.p50, seen.p99, opened]);
            }
        }
    }
    table
}

fn ask(place: &Place, origin: &WatchOrigin, proxy: &Proxy, pace: Pace) -> Seen {
    let (watches, events) = if pace.is_trial { (300, 5) } else { (1_000, 20) };
    let target = Target::new(place, proxy, PROTOCOL);
    part::ask(COMMAND, &Question { target, orders: origin.orders, watches, events })
}

/// In the process of the client.
pub(crate) fn run_client(arguments: &[String]) {
    part::answer(arguments, async |question: Question| {
        let client = Client::new(question.target);
        let mut orders = Orders::connect(question.orders).await;
        let mut watches = client.open(question.watches).await;
        let mut times = Vec::new();
        for _ in 0..question.events {
            tokio::time::sleep(PAUSE).await;
            orders.send_event().await;
            for _ in 0..watches.opened {
                let arrival = timeout(PATIENCE, watches.arrivals.recv()).await;
                let age = arrival.expect("an event did not arrive").unwrap().unwrap();
                times.push(Duration::from_nanos(age).as_secs_f64() * 1e6);
            }
        }
        let (p50, p99) = (percentile(&mut times, 50).unwrap(), percentile(&mut times, 99).unwrap());
        Seen { opened: watches.opened, p50, p99 }
    });
}
