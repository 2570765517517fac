//! `portcullis backup` and `portcullis restore`: copies of the server's store, on the server's machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::error::CliError;
use super::output;
use super::progress::{Amount, Progress};
use crate::config::{Resolution, Sources};
use crate::store;

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Where to write it; must not exist, nor be in the data directory
    file: PathBuf,
    #[command(flatten)]
    store: StoreOptions,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup; its checksum is expected beside it
    file: PathBuf,
    /// Replace a store that has changed since the backup was made: what was revoked since is good again
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    store: StoreOptions,
}

/// Which store.
#[derive(Debug, Args)]
struct StoreOptions {
    /// The server's data directory [default: the one that `serve` would take]
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// The server's configuration file [env: `PORTCULLIS_CONFIG`]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) const BACKUP_EXAMPLES: &str = "\
Examples:
  portcullis backup /backups/portcullis-$(date +%F).db    while the server runs
  sha256sum --check /backups/portcullis-2026-01-31.db.sha256";

pub(super) const RESTORE_EXAMPLES: &str = "\
Examples:
  portcullis restore /backups/portcullis-2026-01-31.db    after the server was stopped
  portcullis restore --force /backups/portcullis-2026-01-31.db --data-dir /var/lib/portcullis";

impl Backup {
    /// Copies the store, whether or not the server runs.
    pub(super) fn run(self) -> Result<(), CliError> {
        let data_dir = self.store.data_dir()?;
        let mut progress = Progress::start();
        store::backup(&data_dir, &self.file, &mut |done, total| {
            progress.at("copying", Amount::Bytes(done, total));
        })?;
        drop(progress);
        let file = self.file.display();
        output::remark(&format!("The backup is {file}, its checksum {file}.sha256."));
        Ok(())
    }
}

impl Restore {
    /// Makes a backup the store again.
    pub(super) fn run(self) -> Result<(), CliError> {
        let data_dir = self.store.data_dir()?;
        let mut progress = Progress::start();
        store::restore(&self.file, &data_dir, self.force, &mut |done, total| {
            progress.at("copying", Amount::Bytes(done, total));
        })?;
        drop(progress);
        output::remark(&format!("The store in {} is that of {}.", data_dir.display(), self.file.display()));
        Ok(())
    }
}

impl StoreOptions {
    fn data_dir(&self) -> Result<PathBuf, CliError> {
        let flags: BTreeMap<_, _> = self.data_dir.iter().map(|path| ("dataDir", path.clone())).collect();
        let sources = Sources::of_process(flags, self.config.clone()).map_err(CliError::Config)?;
        Ok(Resolution::of(&sources).map_err(CliError::Config)?.config.data_dir)
    }
}
