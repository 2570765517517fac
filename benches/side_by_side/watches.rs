//! Watches that are open and idle: what each costs in memory, and whether requests notice them.
//!
//! A client opens them all, each with its first event, and leaves them open. Memory is the proportional set size of the
//! proxy and its children: before, with all open, and after all have been closed at once. Beside it are GETs, one after
//! the other on a connection of their own, before and meanwhile. Buffers of the kernel are not counted, and one event
//! each says nothing of watches that are busy: [`crate::fan_out`] does.

use std::net::SocketAddr;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::figures::{Measure, Table};
use crate::load::Protocol;
use crate::memory::{connections, proportional};
use crate::part;
use crate::peers::{Peer, Proxy};
use crate::process::Place;
use crate::scenario::{Pace, Scenario};
use crate::watch_client::{Client, Gets, Target};
use crate::watch_origin::WatchOrigin;

/// The word that makes this program the client.
pub(crate) const COMMAND: &str = "watch-client";

/// How many, and between which protocols.
#[derive(Debug, Clone, Copy)]
struct Shape {
    count: usize,
    client: Protocol,
    upstream: Protocol,
    /// Peers have bounds of their own, which at so many tell more of their configuration than of them.
    is_alone: bool,
}

#[derive(Serialize, Deserialize)]
struct Question {
    target: Target,
    origin: SocketAddr,
    /// The proxy.
    process: u32,
    count: usize,
    gets: usize,
}

/// Memory is in KiB.
#[derive(Serialize, Deserialize)]
struct Seen {
    before: f64,
    open: f64,
    after: f64,
    opened: usize,
    connections: usize,
    idle: Gets,
    meanwhile: Gets,
}

/// Memory settles for so long before it is measured, and for so long after the watches were closed.
const SETTLED: Duration = Duration::from_secs(2);
const CLOSED: Duration = Duration::from_secs(5);
/// From then on to the later looks at ours: half a minute after the watches were closed, and a minute.
const LATER: [Duration; 2] = [Duration::from_secs(25), Duration::from_secs(30)];

/// In KiB a MiB.
const MIB: f64 = 1024.0;

pub(crate) fn all() -> Vec<Scenario> {
    let (http1, http2) = (Protocol::Http1, Protocol::Http2);
    let shape = |count, client, upstream, is_alone| Shape { count, client, upstream, is_alone };
    let shapes = [
        shape(4_000, http1, http1, false),
        shape(4_000, http2, http2, false),
        shape(4_000, http1, http2, false),
        shape(10_000, http2, http2, true),
        // With the connection of the GETs as many as a client may open by default, and as files may be open here.
        shape(9_900, http1, http2, true),
    ];
    shapes.into_iter().map(Shape::scenario).collect()
}

impl Shape {
    fn scenario(self) -> Scenario {
        let (client, upstream) = (self.client.name(), self.upstream.name());
        let name = format!("{client} to {upstream}, {} idle watches", self.count);
        Scenario::new(name, move |name, place, pace| self.run(name, place, pace))
    }

    /// One round: what is measured is memory, and a proxy that has had its watches is not what it was.
    fn run(self, name: &str, place: &Place, pace: Pace) -> Table {
        let origin = WatchOrigin::start(place);
        let proxies = if self.is_alone {
            vec![Peer::Portcullis.start(place, &origin.origin, self.upstream)]
        } else {
            Peer::start_all(place, &origin.origin, self.client, self.upstream)
        };
        let names: Vec<_> = proxies.iter().map(|proxy| proxy.peer.name()).collect();
        let mut table = Table::new(name, measures(), &names);
        let mut later = None;
        let mut rounds = Vec::new();
        for proxy in &proxies {
            let seen = self.ask(place, &origin, proxy, pace);
            eprintln!("  {}: {} opened", proxy.peer.name(), seen.opened);
            if proxy.peer == Peer::Portcullis && !pace.is_trial {
                later = Some(look_later(proxy.process.id()));
            }
            rounds.push(seen);
        }
        let mut later = later.map(|later| later.join().unwrap());
        for (row, seen) in table.rows.iter_mut().zip(&rounds) {
            row.add(&self.values(pace, seen, later.take()));
        }
        table
    }

    fn ask(self, place: &Place, origin: &WatchOrigin, proxy: &Proxy, pace: Pace) -> Seen {
        let question = Question {
            target: Target::new(place, proxy, self.client),
            origin: match self.upstream {
                Protocol::Http1 => origin.origin.http1,
                Protocol::Http2 => origin.origin.http2,
            },
            process: proxy.process.id(),
            count: self.count(pace),
            gets: if pace.is_trial { 500 } else { 5_000 },
        };
        part::ask(COMMAND, &question)
    }

    fn count(self, pace: Pace) -> usize {
        if pace.is_trial { self.count / 10 } else { self.count }
    }

    /// In the order of [`measures`]; `later` is memory in KiB.
    #[expect(clippy::cast_precision_loss, reason = "counts of watches")]
    fn values(self, pace: Pace, seen: &Seen, later: Option<[f64; 2]>) -> Vec<f64> {
        let (before, meanwhile) = (seen.idle.p99.unwrap_or(f64::NAN), seen.meanwhile.p99.unwrap_or(f64::NAN));
        let [half_a_minute, a_minute] = later.unwrap_or([f64::NAN; 2]);
        vec![
            (seen.open - seen.before) / seen.opened as f64,
            100.0 * seen.opened as f64 / self.count(pace) as f64,
            before,
            meanwhile,
            meanwhile / before,
            seen.meanwhile.failures as f64,
            seen.connections as f64,
            seen.before / MIB,
            seen.after / seen.before,
            half_a_minute / seen.before,
            a_minute / seen.before,
        ]
    }
}

fn measures() -> Vec<Measure> {
    vec![
        Measure::compared("memory a watch, KiB", 1),
        Measure::told("opened, %", 1),
        Measure::told("GET p99 before, µs", 0),
        Measure::told("GET p99 meanwhile, µs", 0),
        Measure::told("meanwhile to before", 2),
        Measure::told("failed GETs", 0),
        Measure::told("upstream connections", 0),
        Measure::told("memory before, MiB", 1),
        Measure::told("5 s after to before", 2),
        Measure::told("30 s after to before", 2),
        Measure::told("60 s after to before", 2),
    ]
}

/// Memory of ours while the others are measured: it has nothing to do then.
fn look_later(process: u32) -> JoinHandle<[f64; 2]> {
    spawn(move || {
        LATER.map(|time| {
            sleep(time);
            proportional(process)
        })
    })
}

/// In the process of the client.
pub(crate) fn run_client(arguments: &[String]) {
    part::answer(arguments, async |question: Question| {
        let client = Client::new(question.target);
        let _warm = client.gets(question.gets / 5).await;
        let idle = client.gets(question.gets).await;
        assert_eq!(idle.failures, 0, "a GET has failed with no watches open");
        tokio::time::sleep(SETTLED).await;
        let before = proportional(question.process);
        let mut watches = client.open(question.count).await;
        let meanwhile = client.gets(question.gets).await;
        tokio::time::sleep(SETTLED).await;
        let (open, connections) = (proportional(question.process), connections(question.origin));
        let opened = watches.opened - watches.ended();
        drop(watches);
        tokio::time::sleep(CLOSED).await;
        let after = proportional(question.process);
        Seen { before, open, after, opened, connections, idle, meanwhile }
    });
}
