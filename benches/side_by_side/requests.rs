//! Requests over connections that stay: CPU a request, requests a second, latency.

use std::time::Duration;

use crate::figures::{Measure, Table, micros};
use crate::load::{Load, Protocol};
use crate::origin::{KILOBYTE, LIST, LONG_LIST, Origin};
use crate::peers::{Peer, Proxy};
use crate::process::Place;
use crate::scenario::{Pace, Scenario};

/// Of a load at full speed.
pub(crate) fn measures() -> Vec<Measure> {
    vec![
        Measure::compared("CPU a request, µs", 1),
        Measure::told("requests/s", 0),
        Measure::told("p50, µs", 0),
        Measure::told("p99, µs", 0),
    ]
}

/// All pairs of protocols for an object of a kilobyte, and lists and single requests for those of one protocol.
pub(crate) fn all() -> Vec<Scenario> {
    let pairs = [
        (Protocol::Http1, Protocol::Http1),
        (Protocol::Http2, Protocol::Http2),
        (Protocol::Http1, Protocol::Http2),
        (Protocol::Http2, Protocol::Http1),
    ];
    let mut scenarios: Vec<_> =
        pairs.iter().map(|(client, upstream)| scenario("1 KB", *client, *upstream, KILOBYTE, 64)).collect();
    for (client, upstream) in &pairs[..2] {
        scenarios.push(scenario("one at a time", *client, *upstream, KILOBYTE, 1));
        scenarios.push(scenario("1.2 MB", *client, *upstream, LIST, 8));
        scenarios.push(scenario("20 MB", *client, *upstream, LONG_LIST, 4));
    }
    scenarios
}

fn scenario(name: &str, client: Protocol, upstream: Protocol, path: &'static str, at_once: u32) -> Scenario {
    let (connections, streams) = match client {
        Protocol::Http2 if at_once >= 4 => (at_once / 4, 4),
        Protocol::Http1 | Protocol::Http2 => (at_once, 1),
    };
    let load = Load { protocol: client, connections, streams, path, status: 200 };
    let name = format!("{} to {}, {name}", client.name(), upstream.name());
    Scenario::new(name, move |name, place, pace| run(name, place, pace, &load, upstream))
}

/// All proxies run from the beginning to the end; those that are not asked just now cost nothing.
fn run(name: &str, place: &Place, pace: Pace, load: &Load, upstream: Protocol) -> Table {
    let origin = Origin::start(place);
    let proxies = Peer::start_all(place, &origin, load.protocol, upstream);
    let names: Vec<_> = proxies.iter().map(|proxy| proxy.peer.name()).collect();
    let mut table = Table::new(name, measures(), &names);
    for proxy in &proxies {
        load.run(place, proxy, pace.warm_up);
    }
    for round in 1..=pace.rounds {
        for (proxy, row) in proxies.iter().zip(&mut table.rows) {
            let values = measure(load, place, proxy, pace.round);
            eprintln!("  round {round}, {}: {:.1} µs", row.name, values[0]);
            row.add(&values);
        }
    }
    table
}

/// In the order of [`measures`].
fn measure(load: &Load, place: &Place, proxy: &Proxy, time: Duration) -> [f64; 4] {
    let before = proxy.process.cpu();
    let served = load.run(place, proxy, time);
    let cpu = proxy.process.cpu().saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let requests = served.requests as f64;
    let per_second = requests / served.elapsed.as_secs_f64();
    [micros(cpu) / requests, per_second, micros(served.p50), micros(served.p99)]
}
