//! What a second core brings. Clients and origin need the two cores as well, so the rate that two workers could serve can't
//! be measured here; it is computed. One worker on one core and two workers on both are asked for the same number of
//! requests a second, less than they could serve, and what a request costs is compared. What two cores serve for
//! each request that one serves is what they have, divided by what it costs, as far as the busier worker gets: a
//! connection stays with the worker that the kernel gave it to.
//!
//! It can't show what cores take from each other at full speed (memory, shared caches), nor more than two.

use std::fs::{read_dir, read_to_string};
use std::time::Duration;

use crate::client::Client;
use crate::figures::{Measure, Table, micros};
use crate::load::{Load, Protocol};
use crate::origin::{KILOBYTE, Origin};
use crate::process::{self, Place};
use crate::product::{Product, Setup};
use crate::scenario::{Pace, Scenario};
use crate::steady::Steady;

/// Enough of them for chance to spread them well.
const CONNECTIONS: u32 = 128;
/// Requests a second: a good half of what one core serves.
const RATE: f64 = 15_000.0;

pub(crate) fn all() -> Vec<Scenario> {
    vec![Scenario::new("a second core".to_owned(), run)]
}

fn run(name: &str, place: &Place, pace: Pace) -> Table {
    process::move_to_others();
    let origin = Origin::start(place);
    let both = Setup { cores: "0,1", workers: 2, more: "" };
    let products = [
        Product::start_with(place, origin.http2, Setup::default()),
        Product::start_with(place, origin.http2, both),
    ];
    let measures = vec![
        Measure::told("CPU a request at 15,000/s, µs", 1),
        Measure::told("requests/s", 0),
        Measure::told("of it by the busier worker, %", 0),
        Measure::told("could serve for each of one core", 2),
        Measure::told("the same if evenly spread", 2),
        Measure::told("CPU a request at full speed, µs", 1),
    ];
    let mut table = Table::new(name, measures, &["one worker", "two workers"]);
    let ids = products.each_ref().map(|product| product.proxy.process.id());
    let proxies = products.map(Product::into_proxy);
    let time = pace.round;
    for round in 0..=pace.rounds {
        let mut of_one = f64::NAN;
        for ((proxy, id), row) in proxies.iter().zip(ids).zip(&mut table.rows) {
            let time = if round == 0 { pace.warm_up } else { time };
            let client = Client::new(proxy.address, &place.ca_pem);
            let request = client.request("GET", KILOBYTE, &proxy.authorization, "");
            let load = Steady { connections: CONNECTIONS as usize, rate: Some(RATE), time };
            let (cpu, before) = (proxy.process.cpu(), workers(id));
            let outcome = load.run(&client, &request);
            assert_eq!(outcome.refused, 0);
            let took = micros(proxy.process.cpu().saturating_sub(cpu)) / count(outcome.answers() as u64);
            let share = busier(&before, &workers(id));
            let rate = outcome.per_second(outcome.answers());
            let full = full_speed(place, proxy, time);
            if of_one.is_nan() {
                of_one = took;
            }
            let evenly = of_one / took * count(before.len() as u64);
            if round > 0 {
                eprintln!("  round {round}, {}: {took:.1} µs", row.name);
                row.add(&[took, rate, share * 100.0, of_one / (took * share), evenly, full]);
            }
        }
    }
    table
}

/// CPU of a request when clients don't wait.
fn full_speed(place: &Place, proxy: &crate::peers::Proxy, time: Duration) -> f64 {
    let load =
        Load { protocol: Protocol::Http1, connections: CONNECTIONS, streams: 1, path: KILOBYTE, status: 200 };
    let cpu = proxy.process.cpu();
    let served = load.run(place, proxy, time);
    micros(proxy.process.cpu().saturating_sub(cpu)) / count(served.requests)
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests and workers")]
fn count(number: u64) -> f64 {
    number as f64
}

/// Ticks of each worker of the gate so far.
fn workers(process: u32) -> Vec<(String, u64)> {
    let mut workers: Vec<_> = read_dir(format!("/proc/{process}/task"))
        .unwrap()
        .flatten()
        .filter_map(|thread| {
            let name = read_to_string(thread.path().join("comm")).ok()?.trim().to_owned();
            let stat = read_to_string(thread.path().join("stat")).ok()?;
            let fields: Vec<u64> =
                stat.rsplit_once(')')?.1.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            // After the state, which is a letter, user and system time are the eleventh and twelfth.
            name.starts_with("worker-").then_some((name, fields.get(10)? + fields.get(11)?))
        })
        .collect();
    workers.sort();
    workers
}

/// The share of the one with the most, of what all have done since `before`.
fn busier(before: &[(String, u64)], after: &[(String, u64)]) -> f64 {
    let ticks: Vec<_> = before.iter().zip(after).map(|(before, after)| after.1 - before.1).collect();
    let most = ticks.iter().max().copied().unwrap_or_default();
    count(most) / count(ticks.iter().sum::<u64>().max(1))
}
