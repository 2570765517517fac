//! The figures as people and as programs read them.

use std::fs;

use serde_json::{Value, json};

use crate::figures::{Figures, Spread};
use crate::scenario::Table;

/// A table in Markdown: what each proxy took, and what we took for each that it took.
pub(crate) fn markdown(table: &Table) -> String {
    let mut text = format!("### {}\n\n", table.scenario.name);
    text += "| proxy | CPU a request, µs | we to it | requests/s | p50, µs | p99, µs |\n|---|---|---|---|---|---|\n";
    let ours = &table.rows[0].1;
    for (peer, figures) in &table.rows {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).median;
        let (cpu, ratio) =
            (Spread::of(figures.cpu.iter().copied()), Spread::of_ratios(&ours.cpu, &figures.cpu));
        text += &format!(
            "| {} | {:.1} ({:.1} to {:.1}) | {:.2} ({:.2} to {:.2}) | {:.0} | {:.0} | {:.0} |\n",
            peer.name(),
            cpu.median,
            cpu.least,
            cpu.most,
            ratio.median,
            ratio.least,
            ratio.most,
            median(&figures.per_second),
            median(&figures.p50),
            median(&figures.p99),
        );
    }
    text
}

/// Writes all tables to `benches/results`.
pub(crate) fn write(machine: &str, tables: &[Table]) {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results");
    fs::create_dir_all(directory).unwrap();
    let head = format!("# Side by side\n\n{machine}. `make bench`\n");
    let body: Vec<_> = tables.iter().map(markdown).collect();
    fs::write(format!("{directory}/side-by-side.md"), format!("{head}\n{}", body.join("\n"))).unwrap();
    let scenarios: Vec<_> = tables.iter().map(as_json).collect();
    let all = json!({ "machine": machine, "scenarios": scenarios });
    fs::write(format!("{directory}/side-by-side.json"), format!("{all:#}\n")).unwrap();
}

fn as_json(table: &Table) -> Value {
    let row = |figures: &Figures| {
        json!({
            "cpuMicroseconds": figures.cpu,
            "requestsPerSecond": figures.per_second,
            "p50Microseconds": figures.p50,
            "p99Microseconds": figures.p99,
        })
    };
    let proxies: serde_json::Map<_, _> =
        table.rows.iter().map(|(peer, figures)| (peer.name().to_owned(), row(figures))).collect();
    json!({ "scenario": table.scenario.name, "proxies": proxies })
}
