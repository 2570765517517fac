//! What is asked of every proxy, in turn, round after round.

use std::time::Duration;

use crate::figures::Figures;
use crate::load::{Load, Protocol};
use crate::origin::{KILOBYTE, LIST, LONG_LIST, Origin};
use crate::peers::{Peer, Proxy};
use crate::process::Place;

const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_secs(8);
/// Of a trial.
const MOMENT: Duration = Duration::from_secs(1);

/// A kind of load, and which protocol the origin speaks.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) load: Load,
    upstream: Protocol,
}

/// What came of it, ourselves first.
pub(crate) struct Table {
    pub(crate) scenario: Scenario,
    pub(crate) rows: Vec<(Peer, Figures)>,
}

/// All there are.
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
    Scenario { name: format!("{} to {}, {name}", client.name(), upstream.name()), load, upstream }
}

impl Scenario {
    /// Whether one of the words, if there are any, is in its name.
    pub(crate) fn is_meant(&self, words: &[String]) -> bool {
        words.is_empty() || words.iter().any(|word| self.name.contains(word.as_str()))
    }

    /// All proxies run from the beginning to the end; those that are not asked just now cost nothing.
    pub(crate) fn run(self, place: &Place, is_trial: bool) -> Table {
        let (rounds, warm_up, time) = if is_trial { (1, MOMENT, MOMENT) } else { (ROUNDS, WARM_UP, ROUND) };
        let origin = Origin::start(place);
        let proxies: Vec<_> = Peer::ALL
            .into_iter()
            .filter(|peer| peer.speaks(self.load.protocol, self.upstream))
            .map(|peer| peer.start(place, &origin, self.upstream))
            .collect();
        let mut rows: Vec<_> = proxies.iter().map(|proxy| (proxy.peer, Figures::default())).collect();
        for proxy in &proxies {
            self.load.run(place, proxy, warm_up);
        }
        for round in 1..=rounds {
            for (proxy, (peer, figures)) in proxies.iter().zip(&mut rows) {
                self.measure(place, proxy, time, figures);
                eprintln!("  round {round}, {}: {:.1} µs", peer.name(), figures.cpu.last().unwrap());
            }
        }
        Table { scenario: self, rows }
    }

    fn measure(&self, place: &Place, proxy: &Proxy, time: Duration, figures: &mut Figures) {
        let before = proxy.process.cpu();
        let served = self.load.run(place, proxy, time);
        figures.add(&served, proxy.process.cpu().saturating_sub(before));
    }
}
