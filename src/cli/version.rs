//! `portcullis version`: which build this is.

use super::error::CliError;
use super::output;

/// Prints name and version.
pub(super) fn run() -> Result<(), CliError> {
    output::print(concat!("portcullis ", env!("CARGO_PKG_VERSION"), "\n"))
}
