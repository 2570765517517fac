//! The programs of the cluster: built if need be, and found by name.

use std::path::PathBuf;
use std::process::Command;

use crate::daemon::run_watched;
use crate::error::Error;
use crate::events::Interrupt;

/// The directory that holds the programs.
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// Builds them, which takes minutes the first time and nothing after that.
    pub(crate) fn build(interrupt: &Interrupt) -> Result<Self, Error> {
        let directory = run_watched(&mut Command::new(format!("{SOURCES}/build")), interrupt, || Ok(()))?;
        Ok(Self(PathBuf::from(directory)))
    }

    /// Where a program is.
    pub(crate) fn find(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.0.join(name);
        if path.exists() {
            Ok(path)
        } else {
            Err(Error::Missing(format!("there is no {name} in {}", self.0.display())))
        }
    }

    /// A command that runs a program.
    pub(crate) fn command(&self, name: &str) -> Result<Command, Error> {
        self.find(name).map(Command::new)
    }

    /// `PATH` with the programs before the system's, those for the administrator included.
    pub(crate) fn search_path(&self) -> String {
        let inherited = std::env::var("PATH").unwrap_or_default();
        format!("{}:{inherited}:/usr/local/sbin:/usr/sbin:/sbin", self.0.display())
    }
}

/// Sees to it that the system has what a node needs.
pub(crate) fn install_packages(interrupt: &Interrupt) -> Result<(), Error> {
    run_watched(&mut Command::new(format!("{SOURCES}/packages")), interrupt, || Ok(())).map(drop)
}

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controlplane");
