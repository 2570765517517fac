//! The tables as ARCHITECTURE.md shows them.

use std::path::Path;

use crate::source::read;

/// Level and room, in the order of the table under "Rooms".
pub(crate) fn rooms() -> Vec<(usize, String)> {
    let rows = table("## Rooms");
    let rooms = rows
        .iter()
        .flat_map(|cells| names(&cells[1]).into_iter().map(|room| (cells[0].parse().unwrap(), room)));
    rooms.collect()
}

/// Library and rooms, in the order of the table under "Libraries and their rooms".
pub(crate) fn borders() -> Vec<(String, Vec<String>)> {
    table("## Libraries and their rooms")
        .iter()
        .map(|cells| (names(&cells[0]).remove(0), names(&cells[1])))
        .collect()
}

/// The cells of the first table below a heading, without the table's own heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = read(Path::new("ARCHITECTURE.md"));
    let section = text.split_once(heading).unwrap_or_else(|| panic!("no heading {heading:?}")).1;
    let lines =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// What stands between backticks.
fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
