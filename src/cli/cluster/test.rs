//! `portcullis cluster test`: the server connects, and says what is wrong.

use clap::Args;
use serde::Deserialize;

use super::{Named, resource};
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::output::{OutputOptions, print_as};
use crate::cli::table;

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(super) struct Test {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    output: OutputOptions,
}

/// What the server found.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    usable: bool,
    problem: Option<String>,
    message: String,
}

impl Test {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        let (cluster, _) = resource::find(client, &self.named.cluster)?;
        let answer = client.post(&format!("{}?action=test", cluster.path()), None)?;
        let verdict: Verdict = client.parse(&answer)?;
        let names = || vec![cluster.id.clone()];
        print_as(self.output.output, &answer, names, || table::facts(&verdict.facts(&cluster.name)))?;
        verdict.refuse_bad()
    }
}

impl Verdict {
    /// The command fails if the cluster can't be used.
    pub(super) fn refuse_bad(self) -> Result<(), CliError> {
        if self.usable { Ok(()) } else { Err(CliError::ClusterUnusable(table::printable(&self.message))) }
    }

    fn facts(&self, name: &str) -> Vec<(&'static str, String)> {
        let mut facts = vec![("Cluster", name.to_owned()), ("Usable", table::yes(self.usable))];
        facts.extend(self.problem.clone().map(|problem| ("Problem", problem)));
        facts.push(("Message", self.message.clone()));
        facts
    }
}
