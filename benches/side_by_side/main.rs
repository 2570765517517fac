//! The product beside other proxies, in one interleaved run: CPU a request, requests a second, latency, and the ratios.
//!
//! `make bench`; with words after `--` the scenarios with one of them in their name. The proxy under load has one core
//! for itself, origin and clients share the other. The product runs as it is shipped, with authentication, metrics and
//! access log; the others authenticate nobody and write no log, but Go's, which compares one token.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::format_push_string)]
#![allow(
    clippy::similar_names,
    reason = "a place and a pace go together, and each has the best name there is"
)]

mod apiserver;
#[path = "../../tests/support/certificates.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod certificates;
mod client;
#[path = "../../tests/support/cluster/mod.rs"]
mod cluster;
mod cores;
mod fan_out;
mod figures;
#[path = "../filling.rs"]
mod filling;
#[path = "../fixtures.rs"]
mod fixtures;
mod flood;
mod footprint;
mod goals;
mod handshake_client;
mod handshakes;
mod load;
mod machine;
mod memory;
mod origin;
mod overload;
mod own_origin;
mod part;
mod peers;
mod process;
mod product;
mod relay;
mod reload;
mod report;
mod requests;
mod revocation;
mod scenario;
mod steady;
mod tokens;
mod tunnel;
mod uses;
mod watch_client;
mod watch_origin;
mod watches;

use std::path::PathBuf;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if part::run(&words) {
        return;
    }
    let is_trial = std::env::args().any(|word| word == "--trial");
    let machine = machine::describe();
    if let Err(busy) = machine::is_idle()
        && !is_trial
    {
        eprintln!("the cores are busy, and what is measured beside that is worth nothing:\n{busy}");
        eprintln!("`--trial` runs all the same, for a moment each, and writes no results");
        std::process::exit(1);
    }
    machine::allow_open_files();
    let (place, pace) = (process::Place::new(&programs()), scenario::Pace::new(is_trial));
    let scenarios: Vec<_> =
        scenario::all().into_iter().filter(|scenario| scenario.is_meant(&words)).collect();
    for scenario in scenarios {
        eprintln!("{}", scenario.name);
        let table = scenario.run(&place, pace, &machine);
        println!("{}", report::markdown(&table));
        if !is_trial {
            report::write(table);
        }
    }
}

/// The directory of peers and load generators, installed if need be.
fn programs() -> PathBuf {
    let installer = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/install");
    let output =
        std::process::Command::new(installer).stderr(std::process::Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{installer} failed");
    String::from_utf8(output.stdout).unwrap().trim().into()
}
