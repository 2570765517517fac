//! `portcullis cluster add` and `set`.

use clap::Args;
use serde_json::{Map, Value};

use super::access::AccessOptions;
use super::credential::ConnectionOptions;
use super::resource::{self, ClusterResource};
use super::test::Verdict;
use super::{Named, print_one};
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::output::{OutputOptions, remark};

/// Arguments of `add`.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// What it is called, here and as a context in kubeconfigs
    name: String,
    #[command(flatten)]
    connection: ConnectionOptions,
    #[command(flatten)]
    access: AccessOptions,
    /// Add it even if the server can't use it now
    #[arg(long)]
    no_test: bool,
    #[command(flatten)]
    output: OutputOptions,
}

/// Arguments of `set`.
#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    named: Named,
    /// A new name
    #[arg(long, value_name = "NAME")]
    rename: Option<String>,
    #[command(flatten)]
    connection: ConnectionOptions,
    #[command(flatten)]
    access: AccessOptions,
    #[command(flatten)]
    output: OutputOptions,
}

pub(super) const ADD_EXAMPLES: &str = "\
Examples:
  portcullis cluster add eu-1 --kubeconfig eu-1.yaml --group oncall
  portcullis cluster add us-1 --server https://10.0.0.1:6443 --certificate-authority ca.crt --token-file token
  portcullis cluster add us-2 --server https://10.0.0.2:6443 --certificate-authority ca.crt --server-side-token-file us-2.token
  portcullis cluster add eks --server-side-kubeconfig eks.yaml

The server tries the cluster before it adds it. The account that the credential is of needs the rights of deploy/rbac.yaml. Files
named by --server-side-… are in the server's clusterFilesDir, and are read again when they change.";

impl Add {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        let mut fields = Map::from_iter([("name".to_owned(), self.name.into())]);
        self.connection.add_to(&mut fields)?;
        self.access.add_to(&mut fields);
        let body = Value::Object(fields);
        if !self.no_test {
            let verdict = client.post("/v3/clusters?action=test", Some(&body))?;
            client.parse::<Verdict>(&verdict)?.refuse_bad()?;
        }
        let resource = client.post("/v3/clusters", Some(&body))?;
        let cluster: ClusterResource = client.parse(&resource)?;
        remark(&format!("Cluster {} was added as {}.", cluster.name, cluster.id));
        print_one(&self.output, &cluster, &resource)
    }
}

impl Set {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        let mut fields = Map::new();
        fields.extend(self.rename.map(|name| ("name".to_owned(), name.into())));
        self.connection.add_to(&mut fields)?;
        self.access.add_to(&mut fields);
        if fields.is_empty() {
            return Err(CliError::Usage("say what is to be changed".to_owned()));
        }
        let (cluster, _) = resource::find(client, &self.named.cluster)?;
        let resource = client.put(&cluster.path(), &Value::Object(fields))?;
        let cluster: ClusterResource = client.parse(&resource)?;
        remark(&format!("Cluster {} was changed.", cluster.name));
        print_one(&self.output, &cluster, &resource)
    }
}
