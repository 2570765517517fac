//! `portcullis cluster`: the clusters behind the server. Everybody sees those that they may use; administrators add,
//! change, test and delete them.

mod access;
mod credential;
mod kubeconfig;
mod remove;
mod resource;
mod test;
mod write;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::error::CliError;
use super::listing::PageOptions;
use super::output::{OutputOptions, print_as};
use super::table;
use super::trust::TrustOptions;
use resource::ClusterResource;

/// Arguments of `cluster`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Cluster {
    #[command(subcommand)]
    command: ClusterCommand,
    #[command(flatten)]
    trust: TrustOptions,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Add a cluster; what it needs is sent to the server, which keeps the credential encrypted
    #[command(after_help = write::ADD_EXAMPLES)]
    Add(Box<write::Add>),
    /// List the clusters that you may use, or all of them for administrators
    List(PageOptions),
    /// Show one cluster; its credential is shown by its kind alone
    Show(Show),
    /// Change a cluster that was added; what is not given stays as it is
    Set(Box<write::Set>),
    /// Have the server connect to a cluster, and say what is wrong if it can't use it
    Test(test::Test),
    /// Remove a cluster that was added, and cut what is open to it
    Delete(remove::Delete),
}

/// A cluster on the command line.
#[derive(Debug, Args)]
struct Named {
    /// Name or id of the cluster
    cluster: String,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    output: OutputOptions,
}

const EXAMPLES: &str = "\
Examples:
  portcullis cluster add eu-1 --kubeconfig eu-1.yaml
  portcullis cluster add us-1 --server https://10.0.0.1:6443 --certificate-authority ca.crt --token-file - < token
  portcullis cluster set eu-1 --group oncall --user alice
  portcullis cluster test eu-1
  portcullis cluster delete eu-1 --dry-run
  portcullis kubeconfig --all --output-file gate.yaml";

impl Cluster {
    /// Runs one of the subcommands.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        match self.command {
            ClusterCommand::Add(add) => add.run(&client),
            ClusterCommand::List(page) => page.print::<ClusterResource, 6>(&client, "/v3/clusters"),
            ClusterCommand::Show(show) => {
                let (cluster, resource) = resource::find(&client, &show.named.cluster)?;
                print_one(&show.output, &cluster, &resource)
            }
            ClusterCommand::Set(set) => set.run(&client),
            ClusterCommand::Test(test) => test.run(&client),
            ClusterCommand::Delete(delete) => delete.run(&client),
        }
    }
}

/// The id of the cluster with this name or id.
pub(super) fn id_of(client: &Client, name_or_id: &str) -> Result<String, CliError> {
    resource::find(client, name_or_id).map(|(cluster, _)| cluster.id)
}

fn print_one(options: &OutputOptions, cluster: &ClusterResource, resource: &Value) -> Result<(), CliError> {
    let names = || vec![cluster.id.clone()];
    print_as(options.output, resource, names, || table::facts(&cluster.facts()))
}
