//! What we want to be, and what the tables say of it.

use crate::figures::{Spread, Table};

/// One figure that is to stay on its side of a bound.
struct Goal {
    name: &'static str,
    /// Of which scenario, by name.
    scenario: &'static str,
    /// Of which measure, by the beginning of its name.
    measure: &'static str,
    figure: Figure,
    bound: Bound,
}

/// What is made of the values.
#[derive(Clone, Copy)]
enum Figure {
    /// What we take for each that this proxy takes in the same round.
    To(&'static str),
    /// How much more we take than this proxy.
    Above(&'static str),
    /// What stands in this row.
    Of(&'static str),
}

#[derive(Clone, Copy)]
enum Bound {
    Most(f64),
    Least(f64),
}

use Bound::{Least, Most};
use Figure::{Above, Of, To};

const US: &str = "portcullis";
const CPU: &str = "CPU a";
const STORES: &str = "tokens in the store";
const DELETED: &str = "a token is deleted";
const TEN_THOUSAND: &str = "h2 to h2, 10000 idle watches";
const FULL: &str = "overload, twice what the cluster takes";
const RELOADS: &str = "certificate and configuration replaced";
const FLOOD: &str = "a flood of bad tokens";

const GOALS: [Goal; 39] = [
    goal("CPU, HTTP/1.1, to nginx", "h1 to h1, 1 KB", CPU, To("nginx"), Most(0.95)),
    goal("CPU, HTTP/1.1, to HAProxy", "h1 to h1, 1 KB", CPU, To("HAProxy"), Most(0.95)),
    goal("CPU, HTTP/2, to HAProxy", "h2 to h2, 1 KB", CPU, To("HAProxy"), Most(1.0)),
    goal("CPU, HTTP/2, to Envoy", "h2 to h2, 1 KB", CPU, To("Envoy"), Most(0.4)),
    goal("CPU, HTTP/2, to Go", "h2 to h2, 1 KB", CPU, To("Go ReverseProxy"), Most(0.22)),
    goal(
        "p50 over the relay, HTTP/1.1, µs",
        "h1 to h1, one at a time",
        "p50",
        Above("TLS relay"),
        Most(12.0),
    ),
    goal("p50 over the relay, HTTP/2, µs", "h2 to h2, one at a time", "p50", Above("TLS relay"), Most(20.0)),
    goal("CPU, a million tokens to a thousand", STORES, "1,000 tokens, µs", To("1000 tokens"), Most(1.01)),
    goal("second use of a token, the same", STORES, "second use", To("1000 tokens"), Most(1.2)),
    goal("memory with a million tokens, MiB", STORES, "memory, ready", Of("1000000 tokens"), Most(150.0)),
    goal("start to first 200, a million, ms", STORES, "start to first", Of("1000000 tokens"), Most(500.0)),
    goal("start to ready, no tokens, ms", STORES, "start to ready", Of("none"), Most(50.0)),
    goal("success after a deletion, ms", DELETED, "last success", Of("under load"), Most(1.0)),
    goal("watches after a deletion, ms", DELETED, "end of the last", Of("under load"), Most(1000.0)),
    goal(
        "memory a watch, h2 to h2, KiB",
        "h2 to h2, 4000 idle watches",
        "memory a watch",
        Of(US),
        Most(14.0),
    ),
    goal(
        "memory a watch, h1 to h2, KiB",
        "h1 to h2, 4000 idle watches",
        "memory a watch",
        Of(US),
        Most(26.0),
    ),
    goal(
        "memory a watch, h1 to h1, KiB",
        "h1 to h1, 4000 idle watches",
        "memory a watch",
        Of(US),
        Most(45.0),
    ),
    goal("memory 60 s after them", "h2 to h2, 4000 idle watches", "60 s after", Of(US), Most(1.5)),
    goal("GET p99 beside 10,000 watches", TEN_THOUSAND, "meanwhile to before", Of(US), Most(1.2)),
    goal("failed GETs beside them", TEN_THOUSAND, "failed GETs", Of(US), Most(0.0)),
    goal("upstream connections of them", TEN_THOUSAND, "upstream connections", Of(US), Most(127.0)),
    goal("of them opened, %", TEN_THOUSAND, "opened", Of(US), Least(100.0)),
    goal("full handshake to Envoy", "handshakes, full, X25519", "CPU", To("Envoy"), Most(0.85)),
    goal("full handshake to nginx", "handshakes, full, X25519", "CPU", To("nginx"), Most(0.45)),
    goal("resumed, %", "handshakes, resumed, X25519 and a GET", "resumed", Of(US), Least(99.0)),
    goal("1.2 MB, HTTP/1.1, to Envoy", "h1 to h1, 1.2 MB", CPU, To("Envoy"), Most(1.0)),
    goal("1.2 MB, HTTP/2, to Envoy", "h2 to h2, 1.2 MB", CPU, To("Envoy"), Most(1.0)),
    goal("20 MB, HTTP/1.1, to Envoy", "h1 to h1, 20 MB", CPU, To("Envoy"), Most(1.0)),
    goal("20 MB, HTTP/2, to Envoy", "h2 to h2, 20 MB", CPU, To("Envoy"), Most(1.0)),
    goal("two cores for one", "a second core", "could serve", Of("two workers"), Least(1.8)),
    goal("served when overloaded", FULL, "of the peak", Of("overloaded"), Least(0.95)),
    goal(
        "refusals to good ones",
        FLOOD,
        "answers/s to good",
        Of("unknown tokens, from many addresses"),
        Least(1.5),
    ),
    goal(
        "upstream beside them, our own probes, 1/s",
        FLOOD,
        "requests upstream",
        Of("unknown tokens, from many addresses"),
        Most(10.0),
    ),
    goal("failed while it reloads", RELOADS, "failed", Of("with reloads"), Most(0.0)),
    goal("watches cut while it reloads", RELOADS, "watches cut", Of("with reloads"), Most(0.0)),
    goal("program, MiB", "program and memory", "program", Of(US), Most(20.0)),
    goal("memory without a request, MiB", "program and memory", "memory", Of(US), Most(15.0)),
    goal("exec to the relay, it says", "exec, what it says", "CPU", To("TLS relay"), Most(1.15)),
    goal("exec to the relay, it is told", "exec, what it is told", "CPU", To("TLS relay"), Most(1.15)),
];

const fn goal(
    name: &'static str,
    scenario: &'static str,
    measure: &'static str,
    figure: Figure,
    bound: Bound,
) -> Goal {
    Goal { name, scenario, measure, figure, bound }
}

/// Each goal in Markdown, with what was measured.
pub(crate) fn markdown(tables: &[Table]) -> String {
    let mut text = "## Goals\n\n| | measured | goal | |\n|---|---|---|---|\n".to_owned();
    for goal in &GOALS {
        let measured = goal.measured(tables);
        let (bound, is_met) = match goal.bound {
            Most(bound) => (format!("≤ {bound}"), measured.map(|measured| measured <= bound)),
            Least(bound) => (format!("≥ {bound}"), measured.map(|measured| measured >= bound)),
        };
        let verdict = match is_met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "not measured",
        };
        let measured = measured.map_or("–".to_owned(), |measured| format!("{measured:.2}"));
        text += &format!("| {} | {measured} | {bound} | {verdict} |\n", goal.name);
    }
    text
}

impl Goal {
    fn measured(&self, tables: &[Table]) -> Option<f64> {
        let table = tables.iter().find(|table| table.scenario == self.scenario)?;
        let index = table.measures.iter().position(|measure| measure.name.starts_with(self.measure))?;
        let ours = &table.rows.first()?.values[index];
        let of = |name: &str| table.rows.iter().find(|row| row.name == name).map(|row| &row.values[index]);
        let median = |values: &[Option<f64>]| Spread::of(values).map(|spread| spread.median);
        match self.figure {
            To(peer) => Spread::of_ratios(ours, of(peer)?).map(|spread| spread.median),
            Above(peer) => Some(median(ours)? - median(of(peer)?)?),
            Of(row) => median(of(row)?),
        }
    }
}
