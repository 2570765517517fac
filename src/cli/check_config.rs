//! `portcullis check-config`: what `serve` with the same flags would run with.

use super::config_flags::ConfigFlags;
use super::error::CliError;
use super::output;

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis check-config --config config.yaml    check a file before a server is started with it
  portcullis check-config > config.yaml           start a file from the defaults";

/// Prints the resolved configuration, or fails with all that is wrong.
pub(super) fn run(flags: &ConfigFlags) -> Result<(), CliError> {
    output::print(&flags.resolve()?.to_yaml())
}
