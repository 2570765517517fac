//! What can go wrong while a cluster is brought up, and how it is told.

use std::fmt::Display;
use std::io;

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line is not one of ours.
    #[error("{0}\nusage: controlplane [--dir DIRECTORY] [--no-node] [--json]")]
    Usage(String),
    /// A file, a process or a socket could not be had.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A command ran and failed.
    #[error("`{command}` failed: {output}")]
    Command {
        /// The command line.
        command: String,
        /// What it wrote on standard error.
        output: String,
    },
    /// A program of the cluster ended or was never ready.
    #[error("{name} {what}; the end of its log:\n{tail}")]
    Daemon {
        /// Its name.
        name: &'static str,
        /// What it did instead of working.
        what: String,
        /// The last lines it logged.
        tail: String,
    },
    /// A certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file is not the JSON it should be.
    #[error("json: {0}")]
    Json(#[from] serde_json::Error),
    /// Something that has to exist does not.
    #[error("{0}")]
    Missing(String),
    /// We were told to stop before the cluster was up.
    #[error("stopped while starting")]
    Interrupted,
}

/// Says what was being done when an input or output failed: `.map_err(doing("read the log"))`.
pub(crate) fn doing(what: impl Display) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what: what.to_string(), source }
}
