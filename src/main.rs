//! The `portcullis` program.

use std::process::ExitCode;

/// Many small, short-lived allocations on many threads: with it they cost less, and memory comes back after a peak.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    portcullis::cli::run(std::env::args_os())
}
