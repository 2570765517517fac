//! The program's own log: what happened, to standard error, through `tracing`.

use std::error::Error;
use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::LogFormat;

/// Libraries that see whole headers, credentials included, and say so below this level. Never raised, whatever the level
/// of the log is.
const QUIET: [&str; 8] = ["h2", "hyper", "hyper_util", "kube", "kube_client", "rustls", "tower", "ureq"];

/// What of the log can be changed once it is set up.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Why the log can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is none of error, warn, info, debug, trace.
    #[error("unknown log level")]
    UnknownLevel(#[source] tracing::level_filters::ParseLevelFilterError),
    /// Something in this process has set up a log already.
    #[error("log is already set up")]
    AlreadySet(#[source] TryInitError),
    /// The log that there is can't be changed.
    #[error("log can't be changed")]
    Fixed(#[source] reload::Error),
}

/// Sends the log of the whole process to standard error, at `level` and above.
pub fn init_logging(format: LogFormat, level: &str) -> Result<(), LoggingError> {
    let (filter, handle) = reload::Layer::new(targets(level.parse().map_err(LoggingError::UnknownLevel)?));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(std::io::stderr().is_terminal())).try_init(),
    }
    .map_err(LoggingError::AlreadySet)?;
    // The first one is the one that was set up.
    let _already = FILTER.set(handle);
    Ok(())
}

/// From now on this level and above. A log that was not set up here is left alone.
pub fn set_log_level(level: &str) -> Result<(), LoggingError> {
    let targets = targets(level.parse().map_err(LoggingError::UnknownLevel)?);
    FILTER.get().map_or(Ok(()), |filter| filter.reload(targets).map_err(LoggingError::Fixed))
}

/// An error and what caused it, in one line. As a field of JSON an error is its outermost message alone, and the reason is
/// the innermost.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn targets(level: LevelFilter) -> Targets {
    let quiet = level.min(LevelFilter::WARN);
    Targets::new().with_default(level).with_targets(QUIET.map(|target| (target, quiet)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_that_see_credentials_stay_quiet_at_every_level() {
        let targets = targets(LevelFilter::TRACE);
        assert!(targets.would_enable("portcullis::proxy", &Level::TRACE));
        for target in ["h2::codec", "hyper::proto::h1", "kube_client::client", "rustls::conn"] {
            assert!(targets.would_enable(target, &Level::WARN), "{target}");
            assert!(!targets.would_enable(target, &Level::INFO), "{target}");
        }
    }

    #[test]
    fn a_quiet_log_is_quiet_about_libraries_too() {
        assert!(!targets(LevelFilter::ERROR).would_enable("hyper", &Level::WARN));
        assert!(init_logging(LogFormat::Json, "loud").is_err());
    }
}
