//! Columns for people, in kubectl's manner.

use std::fmt::Write as _;

/// A table that is printed piece by piece: a heading, then rows; three blanks between columns.
#[derive(Debug)]
pub(super) struct Columns<const N: usize> {
    heading: Option<[&'static str; N]>,
    widths: [usize; N],
}

impl<const N: usize> Columns<N> {
    pub(super) fn new(heading: [&'static str; N]) -> Self {
        Self { heading: Some(heading), widths: [0; N] }
    }

    /// The next lines. A column is as wide as its widest cell so far: what is printed can't be moved any more.
    pub(super) fn lines(&mut self, rows: &[[String; N]]) -> String {
        let heading = self.heading.take().map(|heading| heading.map(str::to_owned));
        let lines: Vec<[String; N]> =
            heading.iter().chain(rows).map(|row| row.each_ref().map(|cell| printable(cell))).collect();
        for line in &lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for line in &lines {
            let padded: Vec<_> =
                line.iter().zip(self.widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            // Writing to a `String` can't fail.
            let _ = writeln!(text, "{}", padded.join("   ").trim_end());
        }
        text
    }
}

/// One fact a line, the values aligned.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count() + 1).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in facts {
        let line = format!("{:width$}  {}", format!("{name}:"), printable(value));
        // Writing to a `String` can't fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Yes or no.
pub(super) fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

/// Texts as one cell.
pub(super) fn joined(texts: &[String]) -> String {
    if texts.is_empty() { "-".to_owned() } else { texts.join(",") }
}

/// The age of something made at `created`, or the time until it ends: the largest unit that gives at least two.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    match units.iter().find(|(_, length)| seconds >= 2 * length) {
        Some((unit, length)) => format!("{}{unit}", seconds / length),
        None => format!("{seconds}s"),
    }
}

/// Text from the server without what could move the cursor or change colours: others choose names and descriptions.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let rows = [["alice".to_owned(), "-".to_owned()], ["ü".to_owned(), "developers".to_owned()]];
        let mut columns = Columns::new(["NAME", "GROUPS"]);
        assert_eq!(columns.lines(&rows), "NAME    GROUPS\nalice   -\nü       developers\n");
        let more = [["christopher".to_owned(), "x".to_owned()]];
        assert_eq!(columns.lines(&more), "christopher   x\n", "the heading comes once");
        assert_eq!(
            facts(&[("Name", "alice".to_owned()), ("Id", "u".to_owned())]),
            "Name:  alice\nId:    u\n"
        );
    }

    #[test]
    fn a_description_cannot_steer_the_terminal() {
        let rows = [["\u{1b}[2J\nadmin\u{9b}".to_owned()]];
        assert_eq!(Columns::new(["D"]).lines(&rows), "D\n\u{fffd}[2J\u{fffd}admin\u{fffd}\n");
    }

    #[test]
    fn a_span_keeps_two_of_its_unit() {
        for (millis, text) in
            [(0, "0s"), (119_000, "119s"), (120_000, "2m"), (7_199_000, "119m"), (172_800_000, "2d")]
        {
            assert_eq!(span(millis), text);
        }
    }
}
