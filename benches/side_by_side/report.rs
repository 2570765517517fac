//! The figures as people and as programs read them.

use std::fs;

use crate::figures::{Measure, Spread, Table};
use crate::{goals, scenario};

/// A table in Markdown: what each proxy took, and what we took for each that it took.
pub(crate) fn markdown(table: &Table) -> String {
    let is_compared = |measure: &Measure| measure.is_compared && table.rows.len() > 1;
    let mut text = format!("### {}\n\n{}\n\n| proxy |", table.scenario, table.machine);
    let mut line = "|---|".to_owned();
    for measure in &table.measures {
        text += &format!(" {} |", measure.name);
        line += "---|";
        if is_compared(measure) {
            text += " we to it |";
            line += "---|";
        }
    }
    text += &format!("\n{line}\n");
    for row in &table.rows {
        text += &format!("| {} |", row.name);
        for (index, measure) in table.measures.iter().enumerate() {
            let (ours, its) = (&table.rows[0].values[index], &row.values[index]);
            text += &format!(" {} |", spread(Spread::of(its), measure.digits));
            if is_compared(measure) {
                text += &format!(" {} |", spread(Spread::of_ratios(ours, its), 2));
            }
        }
        text += "\n";
    }
    text
}

/// The median, and in parentheses from where to where it went.
fn spread(spread: Option<Spread>, digits: usize) -> String {
    let Some(Spread { median, least, most }) = spread else { return "–".to_owned() };
    if least < most {
        return format!("{median:.digits$} ({least:.digits$} to {most:.digits$})");
    }
    format!("{median:.digits$}")
}

/// Where results stay.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results");

/// Writes a table to `benches/results`, in place of one of the same scenario there. What was not measured now stays.
pub(crate) fn write(table: Table) {
    fs::create_dir_all(DIRECTORY).unwrap();
    let json = format!("{DIRECTORY}/side-by-side.json");
    let before = fs::read_to_string(&json).unwrap_or_else(|_| "[]".to_owned());
    let mut all: Vec<Table> = serde_json::from_str(&before).unwrap();
    all.retain(|old| old.scenario != table.scenario);
    all.push(table);
    all.sort_by_key(|table| scenario::place(&table.scenario));
    let body: Vec<_> = all.iter().map(markdown).collect();
    let text = format!("# Side by side\n\n{}\n{}", goals::markdown(&all), body.join("\n"));
    fs::write(format!("{DIRECTORY}/side-by-side.md"), text).unwrap();
    fs::write(json, format!("{}\n", serde_json::to_string_pretty(&all).unwrap())).unwrap();
}
