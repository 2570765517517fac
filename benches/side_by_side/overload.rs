//! More than can be served. First the cluster is what is full: an object takes it 30 ms, the gate has 100 places, and
//! twice as many requests are offered as that makes, whether they are answered or not. Then the gate's core is: eight
//! times as many clients as it has places, each of which comes again at once when it is refused, against its
//! `Retry-After`. What is served is compared with the peak, which is what as many clients are served as there are places.
//!
//! It fails when an answer is neither 200 nor 429 with `Retry-After`. One user makes all the load: what users take from each
//! other it can't show. The client reads the clock when it sends, so what a request waited for a free connection is not
//! in its time; how much was offered in fact is a column.

use std::time::Duration;

use crate::client::Client;
use crate::figures::{Measure, Table, micros};
use crate::origin::{KILOBYTE, Origin};
use crate::own_origin;
use crate::process::{self, Place};
use crate::product::{Product, Setup};
use crate::scenario::{Pace, Scenario};
use crate::steady::{Outcome, Steady, percentile};

/// How long an object takes the cluster that is slow: so long that clients and cluster, who share a core, have it half free
/// when twice as much is offered. Where they have not, it is they who are full.
const SLOW: Duration = Duration::from_millis(30);
/// For a cluster that is slow, and for one that is not.
const PLACES: [usize; 2] = [100, 64];

pub(crate) fn all() -> Vec<Scenario> {
    let slow = |name: &str, place: &Place, pace: Pace| {
        run(name, place, pace, &own_origin::start(place, SLOW), PLACES[0], |peak, places, time| Steady {
            connections: places * 8,
            rate: Some(2.0 * peak),
            time,
        })
    };
    let full = |name: &str, place: &Place, pace: Pace| {
        run(name, place, pace, &Origin::start(place), PLACES[1], |_, places, time| Steady {
            connections: places * 8,
            rate: None,
            time,
        })
    };
    vec![
        Scenario::new("overload, twice what the cluster takes".to_owned(), slow),
        Scenario::new("overload, clients that don't wait".to_owned(), full),
    ]
}

fn run(
    name: &str,
    place: &Place,
    pace: Pace,
    origin: &Origin,
    places: usize,
    overload: fn(f64, usize, Duration) -> Steady,
) -> Table {
    process::move_to_others();
    let more = format!("limits:\n  maxRequestsInFlight: {places}\n  maxRequestsInFlightPerUser: {places}\n");
    let product = Product::start_with(place, origin.http1, Setup { more: &more, ..Setup::default() });
    let measures = vec![
        Measure::told("offered/s", 0),
        Measure::told("served/s", 0),
        Measure::told("of the peak", 3),
        Measure::told("refused, %", 1),
        Measure::told("served, p50, ms", 2),
        Measure::told("served, p99, ms", 2),
        Measure::told("p99 to that at the peak", 2),
        Measure::told("CPU an answer, µs", 1),
        Measure::told("of its core, %", 0),
    ];
    let mut table = Table::new(name, measures, &["at the peak", "overloaded"]);
    let peak = |time| Steady { connections: places, rate: None, time };
    measure(place, &product, peak(pace.warm_up));
    for round in 1..=pace.rounds {
        let at_peak = measure(place, &product, peak(pace.round));
        let mut overloaded = measure(place, &product, overload(at_peak[1], places, pace.round));
        overloaded[2] = overloaded[1] / at_peak[1];
        overloaded[6] = overloaded[5] / at_peak[5];
        eprintln!("  round {round}: {:.3} of the peak", overloaded[2]);
        table.rows[0].add(&at_peak);
        table.rows[1].add(&overloaded);
    }
    table
}

fn measure(place: &Place, product: &Product, load: Steady) -> [f64; 9] {
    let client = Client::new(product.proxy.address, &place.ca_pem);
    let request = client.request("GET", KILOBYTE, &product.proxy.authorization, "");
    let cpu = product.proxy.process.cpu();
    let mut outcome = load.run(&client, &request);
    let cpu = product.proxy.process.cpu().saturating_sub(cpu);
    values(&mut outcome, cpu)
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn values(outcome: &mut Outcome, cpu: Duration) -> [f64; 9] {
    let answers = outcome.answers();
    let (offered, served) = (outcome.per_second(answers), outcome.per_second(outcome.served.len()));
    let refused = outcome.refused as f64 / answers as f64;
    let mut at = |percent| percentile(&mut outcome.served, percent).as_secs_f64() * 1e3;
    let (p50, p99) = (at(50), at(99));
    let core = cpu.as_secs_f64() / outcome.elapsed.as_secs_f64() * 100.0;
    let cpu = micros(cpu) / answers as f64;
    [offered, served, 1.0, refused * 100.0, p50, p99, 1.0, cpu, core]
}
