//! The costs that were once written down, and what has become of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::count::Cost;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/cost/baseline.json");
/// By how much a cost may grow.
const TOLERANCE: f64 = 1.05;
/// What chance adds at most: a hash table that grows, a timer that fires.
const MORE_INSTRUCTIONS: f64 = 50.0;
const MORE_ALLOCATIONS: f64 = 0.1;

/// What counted, and for which kind of processor. Others count something else for the same source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tools {
    pub(crate) rustc: String,
    pub(crate) valgrind: String,
    pub(crate) processor: String,
}

/// Makes these the baseline.
pub(crate) fn write(tools: &Tools, costs: &BTreeMap<String, Cost>) {
    let rows: serde_json::Map<_, _> = costs
        .iter()
        .map(|(name, cost)| {
            let allocations = (cost.allocations * 10.0).round() / 10.0;
            let instructions = cost.instructions.map(f64::round);
            (name.clone(), json!({ "instructions": instructions, "allocations": allocations }))
        })
        .collect();
    std::fs::write(FILE, format!("{:#}\n", json!({ "tools": tools, "costs": rows }))).unwrap();
}

/// Prints both side by side. An error names what has grown too much, or is not in the baseline.
pub(crate) fn compare(tools: &Tools, costs: &BTreeMap<String, Cost>) -> Result<(), String> {
    let baseline: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let before = Tools::deserialize(&baseline["tools"]).unwrap();
    let is_comparable = *tools == before;
    if !is_comparable {
        println!(
            "Instructions are not judged: the baseline was counted by other tools, which alone makes a difference."
        );
        println!("{before:?}\n{tools:?}\n");
    }
    let mut grown = String::new();
    println!("| step | instructions | before | allocations | before |\n|---|---|---|---|---|");
    for (name, cost) in costs {
        let before = |what: &str| baseline["costs"][name][what].as_f64();
        let counts = [
            ("instructions", cost.instructions, before("instructions"), MORE_INSTRUCTIONS),
            ("allocations", Some(cost.allocations), before("allocations"), MORE_ALLOCATIONS),
        ];
        let mut row = format!("| {name} |");
        for (what, now, before, slack) in counts {
            let text = |count: Option<f64>| count.map(|count| format!("{count:.1}")).unwrap_or_default();
            row += &format!(" {} | {} |", text(now), text(before));
            match (now, before) {
                (Some(_), Some(_)) if what == "instructions" && !is_comparable => {}
                (Some(now), Some(before)) if now > before * TOLERANCE + slack => {
                    writeln!(grown, "{name} takes {now:.1} {what}, and took {before:.1}").unwrap();
                }
                (Some(_), None) => writeln!(grown, "{name} has no baseline of {what}").unwrap(),
                (Some(_) | None, _) => {}
            }
        }
        println!("{row}");
    }
    if grown.is_empty() { Ok(()) } else { Err(grown) }
}
