//! The costs that were once written down, and what has become of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::count::Cost;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/cost/baseline.json");
/// By how much a cost may grow.
const TOLERANCE: f64 = 1.05;
/// What chance adds at most to either count: a hash table that grows, a timer that fires.
const SLACK: Cost = Cost { instructions: 50.0, allocations: 0.1 };

/// Makes these the baseline.
pub(crate) fn write(costs: &BTreeMap<String, Cost>) {
    let rows: serde_json::Map<_, _> = costs
        .iter()
        .map(|(name, cost)| {
            let allocations = (cost.allocations * 10.0).round() / 10.0;
            (name.clone(), json!({ "instructions": cost.instructions.round(), "allocations": allocations }))
        })
        .collect();
    std::fs::write(FILE, format!("{:#}\n", Value::Object(rows))).unwrap();
}

/// Prints both side by side. An error names what has grown too much, or is not in the baseline.
pub(crate) fn compare(costs: &BTreeMap<String, Cost>) -> Result<(), String> {
    let baseline: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let mut grown = String::new();
    println!("| step | instructions | before | allocations | before |\n|---|---|---|---|---|");
    for (name, cost) in costs {
        let before = |what: &str| baseline[name][what].as_f64();
        let (Some(instructions), Some(allocations)) = (before("instructions"), before("allocations")) else {
            writeln!(grown, "{name} has no baseline").unwrap();
            continue;
        };
        println!(
            "| {name} | {:.0} | {instructions:.0} | {:.1} | {allocations:.1} |",
            cost.instructions, cost.allocations
        );
        if cost.instructions > instructions * TOLERANCE + SLACK.instructions {
            writeln!(grown, "{name} takes {:.0} instructions, and took {instructions:.0}", cost.instructions)
                .unwrap();
        }
        if cost.allocations > allocations * TOLERANCE + SLACK.allocations {
            writeln!(grown, "{name} makes {:.1} allocations, and made {allocations:.1}", cost.allocations)
                .unwrap();
        }
    }
    if grown.is_empty() { Ok(()) } else { Err(grown) }
}
