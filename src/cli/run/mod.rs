//! `portcullis run`: a token for one command. The command finds it in a kubeconfig that nobody else can read; token and
//! file go when the command ends. Should we be killed before, the token goes with its lease, which nobody renews any more,
//! and the file with the next run.

mod child;
mod lease;
mod place;
mod signals;

use std::ffi::OsString;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::client::{Client, encoded};
use super::error::CliError;
use super::trust::TrustOptions;
use lease::Lease;
use place::Place;
use signals::Signals;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// What the token is for; its name says so in logs
    #[arg(long, value_enum)]
    kind: Kind,
    /// The cluster's id
    #[arg(long, value_name = "ID", default_value = "local")]
    cluster: String,
    /// What is said of the token in lists; the command's name if nothing is given
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    trust: TrustOptions,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The kinds of token that a command is run with.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// For helm
    HelmToken,
    /// For `kubectl drain`
    DrainNode,
    /// For what sets up many things together
    ComposeToken,
    /// For a shell in which kubectl works
    KubectlShell,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis run --kind drain-node -- kubectl drain node-7 --ignore-daemonsets
  portcullis run --kind helm-token -- helm upgrade --install web ./chart
  portcullis run --kind kubectl-shell -- bash

The command runs with KUBECONFIG set, on the same terminal; signals are passed on, and its exit code is ours. 126 and 127 mean
that it could not be started, 128 and more that a signal ended it.";

impl Run {
    /// Runs the command; the exit code is its own.
    pub(super) fn run(self) -> Result<u8, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(CliError::CannotSupervise)?;
        let code = runtime.block_on(self.supervise());
        // A renewal that is still under way is of no use to anybody.
        runtime.shutdown_background();
        code
    }

    async fn supervise(self) -> Result<u8, CliError> {
        // Before there is a token, so that no signal ends us with one.
        let mut signals = Signals::listen()?;
        let client = Client::of_profile(&self.trust)?;
        // A cluster that does not exist is told better now than by the command.
        client.get(&format!("/v3/clusters/{}", encoded(&self.cluster)))?;
        let place = Place::make()?;
        let program = self.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
        let description = self.description.unwrap_or_else(|| format!("portcullis run: {program}"));
        let lease = Arc::new(Lease::take(&client, self.kind.as_str(), &description)?);
        let code = match place.write(&client, &self.cluster, lease.token()) {
            Ok(()) => child::run(&self.command, &place, &lease, &mut signals).await,
            Err(error) => Err(error),
        };
        drop(place);
        lease.end();
        code
    }
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::HelmToken => "helm-token",
            Self::DrainNode => "drain-node",
            Self::ComposeToken => "compose-token",
            Self::KubectlShell => "kubectl-shell",
        }
    }
}
