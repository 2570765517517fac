//! How large the programs are, and how much memory they take before anybody asks them anything.
//!
//! The file is what `strip` leaves of it. It says nothing about libraries: ours, Envoy and Go's bring all but the C library
//! with them, nginx and `HAProxy` take TLS from the system. Memory is the proportional set size of a process and its children,
//! one core and one worker each, taken once: it is the same in every round.

use std::path::Path;
use std::process::Command;

use crate::figures::{Measure, Table};
use crate::load::Protocol;
use crate::memory;
use crate::origin::Origin;
use crate::peers::Peer;
use crate::process::Place;
use crate::scenario::{Pace, Scenario};

pub(crate) fn all() -> Vec<Scenario> {
    vec![Scenario::new("program and memory".to_owned(), run)]
}

fn run(name: &str, place: &Place, _pace: Pace) -> Table {
    let origin = Origin::start(place);
    let proxies = Peer::start_all(place, &origin, Protocol::Http1, Protocol::Http1);
    let names: Vec<_> = proxies.iter().map(|proxy| proxy.peer.name()).collect();
    let measures =
        vec![Measure::compared("program, MiB", 1), Measure::compared("memory without a request, MiB", 1)];
    let mut table = Table::new(name, measures, &names);
    for (proxy, row) in proxies.iter().zip(&mut table.rows) {
        let size = proxy.peer.program(place).map_or(f64::NAN, |program| stripped_size(place, &program));
        row.add(&[size, memory::proportional(proxy.process.id()) / 1024.0]);
    }
    table
}

/// Of a program without what only a debugger wants, in MiB.
fn stripped_size(place: &Place, program: &Path) -> f64 {
    let stripped = place.directory().join("stripped");
    let output = Command::new("strip").arg("-o").arg(&stripped).arg(program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = u32::try_from(stripped.metadata().unwrap().len()).unwrap();
    f64::from(bytes) / f64::from(1 << 20)
}
