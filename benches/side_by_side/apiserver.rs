//! What the way through a proxy adds before a real apiserver: to a GET, to a LIST, and to an event of a watch.
//!
//! Upstream stands the cluster of the tests, etcd and kube-apiserver as they are built there, on the core of origin and
//! clients. The same thing is asked for directly, through us, and through other proxies, one request at a time and in
//! turn. Whoever asks directly or by the relay is a service account; through us it is a user of ours, through the other
//! proxies a user whom they always impersonate. All have their rights by the same binding. What the apiserver does to
//! find out whether the proxy may impersonate is thus part of what the way adds.
//!
//! What is added is the difference to the direct way in the same round. The relay shows how much of it is one more hop
//! between two cores. It can't show what a network between the machines takes, nor what an apiserver with other work
//! takes: its own time is so long here, and so uneven, that the far percentiles are its own more than ours. Nor does it
//! show compressed answers, for the clients ask for none.

mod client;
mod upstream;
mod watch;
mod way;

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use crate::figures::{Measure, Table, micros};
use crate::load::{Load, Protocol, Served};
use crate::process::{Place, cpu_of};
use crate::scenario::{Pace, Scenario};
use upstream::{LIST, OBJECT, Upstream};
use way::Way;

/// The longest that is spent on one way in a round, and before the first.
const LONGEST: Duration = Duration::from_secs(3);
const LONGEST_WARM_UP: Duration = Duration::from_secs(1);

/// Each over both protocols. They share a cluster, which starts with the first of them and ends with the last.
pub(crate) fn all() -> Vec<Scenario> {
    let upstream = Rc::new(OnceCell::new());
    let mut scenarios = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for (name, path) in [("GET of 1 KB", OBJECT), ("LIST of 1.2 MB", LIST)] {
            let load = Load { protocol, connections: 1, streams: 1, path, status: 200 };
            scenarios.push(scenario(name, protocol, &upstream, move |name, place, pace, upstream| {
                requests(name, place, pace, upstream, &load)
            }));
        }
        scenarios.push(scenario(
            "event of a watch",
            protocol,
            &upstream,
            move |name, place, pace, upstream| watch::run(name, place, pace, upstream, protocol),
        ));
    }
    scenarios
}

fn scenario(
    name: &str,
    protocol: Protocol,
    upstream: &Rc<OnceCell<Upstream>>,
    run: impl Fn(&str, &Place, Pace, &Upstream) -> Table + 'static,
) -> Scenario {
    let upstream = Rc::clone(upstream);
    let name = format!("real apiserver, {}, {name}", protocol.name());
    Scenario::new(name, move |name, place, pace| {
        let upstream = upstream.get_or_init(|| Upstream::start(place));
        place.stand_before(&upstream.authorities_pem, &upstream.credential);
        let table = run(name, place, pace, upstream);
        place.stand_before_origin();
        table
    })
}

fn measures() -> Vec<Measure> {
    vec![
        Measure::compared("p50, µs", 0),
        Measure::told("added p50, µs", 0),
        Measure::compared("p99, µs", 0),
        Measure::told("added p99, µs", 0),
        Measure::compared("CPU a request, µs", 1),
        Measure::told("CPU of the apiserver a request, µs", 0),
    ]
}

fn requests(name: &str, place: &Place, pace: Pace, upstream: &Upstream, load: &Load) -> Table {
    let ways = Way::all(place, upstream, load.protocol);
    let mut table = Table::new(name, measures(), &way::names(&ways));
    for way in &ways {
        load.run_on(place, &way.target(), pace.warm_up.min(LONGEST_WARM_UP));
    }
    for round in 1..=pace.rounds {
        let asked: Vec<_> =
            ways.iter().map(|way| Asked::measure(load, place, upstream, way, pace.round)).collect();
        let direct = &asked[way::DIRECT].served;
        for (asked, row) in asked.iter().zip(&mut table.rows) {
            let values = asked.values(direct);
            eprintln!("  round {round}, {}: {:.0} µs", row.name, values[0]);
            row.add(&values);
        }
    }
    table
}

/// What one way came to in a round.
struct Asked {
    served: Served,
    /// Of the proxy and of the apiserver, where there is one and it runs here.
    proxy: Option<Duration>,
    apiserver: Option<Duration>,
}

impl Asked {
    fn measure(load: &Load, place: &Place, upstream: &Upstream, way: &Way, time: Duration) -> Self {
        let cpu = || (way.cpu(), upstream.process.map(cpu_of));
        let (proxy, apiserver) = cpu();
        let served = load.run_on(place, &way.target(), time.min(LONGEST));
        let (proxy_later, apiserver_later) = cpu();
        let between = |before: Option<Duration>, later: Option<Duration>| later?.checked_sub(before?);
        Self { served, proxy: between(proxy, proxy_later), apiserver: between(apiserver, apiserver_later) }
    }

    /// In the order of [`measures`].
    fn values(&self, direct: &Served) -> [f64; 6] {
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let requests = self.served.requests as f64;
        // Less than the kernel's clock can tell is nothing to compare with.
        let each = |cpu: Option<Duration>| {
            cpu.filter(|cpu| !cpu.is_zero()).map_or(f64::NAN, |cpu| micros(cpu) / requests)
        };
        let (p50, p99) = (micros(self.served.p50), micros(self.served.p99));
        let (added_p50, added_p99) = (p50 - micros(direct.p50), p99 - micros(direct.p99));
        [p50, added_p50, p99, added_p99, each(self.proxy), each(self.apiserver)]
    }
}
