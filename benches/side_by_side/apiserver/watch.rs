//! From a change to the event of it on a watch: directly, and through a proxy.
//!
//! Two watches are open at a time: a direct one, and one on the way that is measured. Of every event it is written down
//! when it came on each. What is added is how much later it came on the second, event by event; on the direct way both
//! are direct, which shows what the order adds in which the apiserver tells its watchers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::client::Client;
use super::upstream::{Pinned, Upstream, object};
use super::way::{self, Way};
use crate::figures::{Measure, Table, micros};
use crate::load::Protocol;
use crate::process::Place;
use crate::scenario::Pace;

const WATCHED: &str = "/api/v1/namespaces/measured/configmaps/item-000";
/// For an event to come.
const PATIENCE: Duration = Duration::from_secs(10);

fn measures() -> Vec<Measure> {
    vec![
        Measure::compared("from the change to the event, p50, µs", 0),
        Measure::told("added p50, µs", 0),
        Measure::compared("from the change to the event, p99, µs", 0),
        Measure::told("added p99, µs", 0),
    ]
}

pub(super) fn run(name: &str, place: &Place, pace: Pace, upstream: &Upstream, protocol: Protocol) -> Table {
    let _pinned = Pinned::to_others();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ways = Way::all(place, upstream, protocol);
    let mut table = Table::new(name, measures(), &way::names(&ways));
    let events = if pace.is_trial { 30 } else { 300 };
    for way in &ways {
        runtime.block_on(measure(place, upstream, way, protocol, events / 10));
    }
    for round in 1..=pace.rounds {
        for (way, row) in ways.iter().zip(&mut table.rows) {
            let values = runtime.block_on(measure(place, upstream, way, protocol, events));
            eprintln!("  round {round}, {}: {:.0} µs", row.name, values[0]);
            row.add(&values);
        }
    }
    table
}

/// In the order of [`measures`].
async fn measure(
    place: &Place,
    upstream: &Upstream,
    way: &Way,
    protocol: Protocol,
    events: usize,
) -> [f64; 4] {
    let direct = Way::direct(upstream);
    let mut writer = Client::connect(place, &direct.target(), Protocol::Http2).await;
    let mut version = version_of(&writer.ask(Method::GET, WATCHED, String::new()).await);
    let mut beside = Watch::open(place, &direct, protocol, &version).await;
    let mut watch = Watch::open(place, way, protocol, &version).await;
    let (mut took, mut added) = (Vec::new(), Vec::new());
    for _ in 0..events {
        let changed = object("item-000", &format!("{}after {version}", "abcdefgh".repeat(98)));
        let begun = Instant::now();
        let all =
            async { tokio::join!(writer.ask(Method::PUT, WATCHED, changed), beside.next(), watch.next()) };
        let (answer, first, second) = tokio::time::timeout(PATIENCE, all).await.expect("an event came");
        version = version_of(&answer);
        assert_eq!((&first.version, &second.version), (&version, &version), "{}", way.target().name);
        took.push(micros(second.came - begun));
        added.push(micros(second.came - begun) - micros(first.came - begun));
    }
    [at(50, &mut took), at(50, &mut added), at(99, &mut took), at(99, &mut added)]
}

/// An open watch of the one object.
struct Watch {
    body: Incoming,
    /// What came of the next line so far.
    line: Vec<u8>,
    /// HTTP/2's connection ends with the last that could send on it.
    _client: Client,
}

/// That the object has changed.
struct Event {
    came: Instant,
    /// Of the object since.
    version: String,
}

impl Watch {
    /// Of what comes after `version`.
    async fn open(place: &Place, way: &Way, protocol: Protocol, version: &str) -> Self {
        let mut client = Client::connect(place, &way.target(), protocol).await;
        let path = format!(
            "/api/v1/namespaces/measured/configmaps?watch=true&fieldSelector=metadata.name%3Ditem-000\
             &resourceVersion={version}"
        );
        let answer = tokio::time::timeout(PATIENCE, client.send(Method::GET, &path, String::new()));
        let body = answer.await.expect("a watch opens").into_body();
        Self { body, line: Vec::new(), _client: client }
    }

    async fn next(&mut self) -> Event {
        loop {
            let frame = self.body.frame().await.expect("the watch goes on").unwrap();
            let came = Instant::now();
            let Ok(bytes) = frame.into_data() else { continue };
            self.line.extend_from_slice(&bytes);
            if self.line.last() == Some(&b'\n') {
                let event: Value = serde_json::from_slice(&std::mem::take(&mut self.line)).unwrap();
                assert_eq!(event["type"], "MODIFIED");
                return Event { came, version: version_in(&event["object"]) };
            }
        }
    }
}

fn version_of(object: &Bytes) -> String {
    version_in(&serde_json::from_slice(object).unwrap())
}

fn version_in(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// So many percent of `values` are not above it.
fn at(percent: usize, values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}
