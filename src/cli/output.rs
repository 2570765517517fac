//! What commands print, and where.

use std::error::Error;
use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::error::CliError;
use super::table::span;
use crate::clock::now;

/// The flag `-o`.
#[derive(Debug, Clone, Args)]
pub(super) struct OutputOptions {
    /// How to print
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(super) output: Format,
}

/// How a resource is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for people
    Table,
    /// The API's objects as JSON
    Json,
    /// The API's objects as YAML
    Yaml,
    /// Names alone, one a line
    Name,
}

/// Prints `value` as JSON, as YAML, as what `names` or as what `table` makes of it.
pub(super) fn print_as(
    format: Format,
    value: &Value,
    names: impl FnOnce() -> Vec<String>,
    table: impl FnOnce() -> String,
) -> Result<(), CliError> {
    match format {
        Format::Table => print(&table()),
        Format::Json => print(&format!("{value:#}\n")),
        Format::Yaml => print(&yaml(value)?),
        Format::Name => {
            let mut names = names();
            names.push(String::new());
            print(&names.join("\n"))
        }
    }
}

/// Writes to standard output. A reader that has gone away (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    print_on(text).map(drop)
}

/// As [`print`]; false if the reader has gone away, so that nothing more needs to be made for it.
pub(super) fn print_on(text: &str) -> Result<bool, CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::Terminal(error)),
    }
}

/// A remark for the person at the terminal, out of the way of results.
pub(super) fn remark(text: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints an error with its causes.
pub(super) fn complain(error: &CliError) {
    let mut texts = vec![format!("error: {error}")];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    remark(&texts.join(": "));
}

/// A value as YAML.
pub(super) fn yaml(value: &impl serde::Serialize) -> Result<String, CliError> {
    serde_saphyr::to_string(value).map_err(|error| CliError::Terminal(io::Error::other(error)))
}

/// How long ago a moment of the API's was.
pub(super) fn age(moment: Option<&str>) -> String {
    match millis(moment) {
        Some(then) => span(now().0.saturating_sub(then)),
        None => "-".to_owned(),
    }
}

/// How long it is until a moment of the API's; none means that it never comes.
pub(super) fn remaining(moment: Option<&str>) -> String {
    match (moment.unwrap_or_default(), millis(moment)) {
        ("", _) => "never".to_owned(),
        (_, Some(then)) => span(then.saturating_sub(now().0)),
        (text, None) => text.to_owned(),
    }
}

fn millis(moment: Option<&str>) -> Option<u64> {
    let timestamp: jiff::Timestamp = moment?.parse().ok()?;
    u64::try_from(timestamp.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_told_from_what_ends_now() {
        assert_eq!(remaining(None), "never");
        assert_eq!(remaining(Some("")), "never");
        assert_eq!(remaining(Some("2001-01-01T00:00:00Z")), "0s");
        assert_eq!(age(None), "-");
        assert!(age(Some("2001-01-01T00:00:00Z")).ends_with('d'));
    }
}
