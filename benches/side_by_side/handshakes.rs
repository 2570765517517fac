//! Handshakes of TLS 1.3: what one costs a proxy, full or resumed, classic or with a post-quantum key exchange.
//!
//! Eight connections at a time are opened, shaken hands on, and closed in order; in some scenarios each also carries a GET,
//! as in all that resume: `BoringSSL` sends its tickets with the first answer. The certificate's key is of ECDSA P-256. Who does not negotiate the key exchange
//! of a scenario has no figures in it; the relay is left out, as for each client it shakes hands with the origin too.
//! What all spend on TCP is in the figures.

use std::time::Duration;

use crate::figures::{Measure, Table, micros};
use crate::handshake_client::{COMMAND, Group, Question, Seen};
use crate::load::Protocol;
use crate::origin::Origin;
use crate::part;
use crate::peers::{Peer, Proxy};
use crate::process::Place;
use crate::scenario::{Pace, Scenario};

/// What is done on a connection.
#[derive(Debug, Clone, Copy)]
struct Kind {
    group: Group,
    is_resumed: bool,
    has_request: bool,
}

const WARM_UP: Duration = Duration::from_millis(500);
const ROUND: Duration = Duration::from_secs(2);

pub(crate) fn all() -> Vec<Scenario> {
    let kind = |group, is_resumed, has_request| Kind { group, is_resumed, has_request };
    let kinds = [
        kind(Group::X25519, false, false),
        kind(Group::X25519MLKEM768, false, false),
        kind(Group::X25519, false, true),
        kind(Group::X25519, true, true),
        kind(Group::X25519MLKEM768, true, true),
    ];
    kinds.into_iter().map(Kind::scenario).collect()
}

impl Kind {
    fn scenario(self) -> Scenario {
        let length = if self.is_resumed { "resumed" } else { "full" };
        let request = if self.has_request { " and a GET" } else { "" };
        let name = format!("handshakes, {length}, {:?}{request}", self.group);
        Scenario::new(name, move |name, place, pace| self.run(name, place, pace))
    }

    fn run(self, name: &str, place: &Place, pace: Pace) -> Table {
        let origin = Origin::start(place);
        let peers = Peer::ALL.into_iter().filter(|peer| *peer != Peer::Relay);
        let proxies: Vec<_> = peers.map(|peer| peer.start(place, &origin, Protocol::Http1)).collect();
        let names: Vec<_> = proxies.iter().map(|proxy| proxy.peer.name()).collect();
        let measures = vec![
            Measure::compared("CPU a handshake, µs", 1),
            Measure::told("resumed, %", 1),
            Measure::told("handshakes/s", 0),
        ];
        let mut table = Table::new(name, measures, &names);
        let able: Vec<_> =
            proxies.iter().map(|proxy| self.ask(place, proxy, WARM_UP).group == self.group).collect();
        let time = if pace.is_trial { ROUND / 2 } else { ROUND };
        for round in 1..=pace.rounds {
            for ((proxy, row), able) in proxies.iter().zip(&mut table.rows).zip(&able) {
                let values = if *able { self.measure(place, proxy, time) } else { [f64::NAN; 3] };
                eprintln!("  round {round}, {}: {:.1} µs", row.name, values[0]);
                row.add(&values);
            }
        }
        table
    }

    fn measure(self, place: &Place, proxy: &Proxy, time: Duration) -> [f64; 3] {
        let before = proxy.process.cpu();
        let seen = self.ask(place, proxy, time);
        let cpu = proxy.process.cpu().saturating_sub(before);
        let share = f64::from(seen.resumed) / f64::from(seen.resumable).max(1.0);
        let (count, seconds) = (f64::from(seen.handshakes), seen.elapsed.as_secs_f64());
        [micros(cpu) / count, 100.0 * share, count / seconds]
    }

    fn ask(self, place: &Place, proxy: &Proxy, time: Duration) -> Seen {
        let question = Question {
            address: proxy.address,
            ca_pem: place.ca_pem.clone(),
            group: self.group,
            is_resumed: self.is_resumed,
            authorization: self.has_request.then(|| proxy.authorization.clone()),
            time,
        };
        part::ask(COMMAND, &question)
    }
}
