//! What tests have measured, as JSON in `target/reliability`. `tests/reliability-report` makes tables of it, which
//! `docs/reliability.md` quotes.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Keeps the figures of one test. `command` says how to get them again; what is an object of objects (a row by name, a
/// figure by column) becomes a table of its own, and all that is not becomes one of facts.
pub(crate) fn write(name: &str, figures: &Value) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("reliability");
    std::fs::create_dir_all(&directory).unwrap();
    let text = serde_json::to_string_pretty(figures).unwrap();
    std::fs::write(directory.join(format!("{name}.json")), text + "\n").unwrap();
}

/// One row of a table of durations.
pub(crate) fn spread(durations: &[Duration]) -> Value {
    let [p50, p99, max] = [50, 99, 100].map(|percent| millis(percentile(durations, percent)));
    json!({ "count": durations.len(), "p50 ms": p50, "p99 ms": p99, "max ms": max })
}

/// The least of `durations` that is not exceeded by `percent` of them; nothing if there are none.
pub(crate) fn percentile(durations: &[Duration], percent: usize) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// To a tenth: more would be noise.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[test]
fn a_percentile_is_one_of_the_measured_values() {
    let durations: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
    let row = spread(&durations);
    assert_eq!(row, json!({ "count": 200, "p50 ms": 100.0, "p99 ms": 198.0, "max ms": 200.0 }));
    assert_eq!(percentile(&[], 99), Duration::ZERO);
}
