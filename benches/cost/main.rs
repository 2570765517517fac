//! What the steps of the hot path cost in instructions and allocations, which are the same on a crowded machine and a quiet
//! one: two runs differ by less than a hundredth.
//!
//! `cargo bench --profile cost --bench cost` compares them with `benches/cost/baseline.json` and fails if one has grown by more than a
//! twentieth; with `-- --write` they become the baseline. Instructions are counted by valgrind's callgrind, on the
//! processor that it imitates, which knows no SHA instructions: a hash costs more here than it does.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::format_push_string)]

mod baseline;
mod count;
#[path = "../fixtures.rs"]
mod fixtures;
mod served;
#[path = "../steps.rs"]
mod steps;
#[path = "../../tests/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "tests need more of it")]
mod support;

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what is allocated. Not the product's allocator, but asked as often.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The word that makes this program one step, done over and over.
const STEP: &str = "step";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [word, name, times, directory] = &words[..]
        && word == STEP
    {
        count::repeat(name, times.parse().unwrap(), directory.as_ref());
        return ExitCode::SUCCESS;
    }
    if words.first().is_some_and(|word| word == served::SERVE) {
        served::serve();
        return ExitCode::SUCCESS;
    }
    let valgrind = match count::valgrind() {
        Ok(version) => version,
        Err(missing) => {
            eprintln!("{missing}");
            return ExitCode::FAILURE;
        }
    };
    let tools =
        baseline::Tools { rustc: count::rustc(), valgrind, processor: std::env::consts::ARCH.to_owned() };
    let costs = count::all();
    if words.iter().any(|word| word == "--write") {
        baseline::write(&tools, &costs);
        return ExitCode::SUCCESS;
    }
    match baseline::compare(&tools, &costs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(grown) => {
            eprintln!("{grown}");
            ExitCode::FAILURE
        }
    }
}
