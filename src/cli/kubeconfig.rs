//! `portcullis kubeconfig`: what kubectl needs to reach a cluster through the server.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::client::{Client, encoded};
use super::error::CliError;
use super::trust::TrustOptions;
use super::{output, private_file};

/// Arguments of `kubeconfig`.
#[derive(Debug, Args)]
pub(super) struct Kubeconfig {
    /// The cluster's id
    #[arg(default_value = "local")]
    cluster: String,
    /// Write to a file that only you can read, instead of to standard output
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Replace the file if there is one
    #[arg(long, requires = "output_file")]
    force: bool,
    #[command(flatten)]
    trust: TrustOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis kubeconfig --output-file gate.yaml
  kubectl --kubeconfig gate.yaml get pods

Each kubeconfig has a token of its own: `portcullis token list` shows it, `portcullis token delete` ends it.";

impl Kubeconfig {
    /// Asks the server for a kubeconfig, which makes a token.
    pub(super) fn run(self) -> Result<(), CliError> {
        if let Some(path) = self.output_file.as_ref().filter(|path| path.exists() && !self.force) {
            // Before the token is made: a kubeconfig with other clusters in it is easily lost and hard to replace.
            return Err(CliError::FileExists(path.clone()));
        }
        let client = Client::of_profile(&self.trust)?;
        let path = format!("/v3/clusters/{}?action=generateKubeconfig", encoded(&self.cluster));
        let answer = client.post(&path, Some(&json!({})))?;
        let config = client.text(&answer, "config")?;
        match self.output_file {
            Some(path) => private_file::write(&path, config.as_bytes()),
            None => output::print(&config),
        }
    }
}
