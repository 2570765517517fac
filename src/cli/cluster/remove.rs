//! `portcullis cluster delete`: first it is said what that would cut, then it is done.

use clap::Args;
use http::Method;
use serde::Deserialize;

use super::{Named, resource};
use crate::cli::client::Client;
use crate::cli::confirm::ConfirmOptions;
use crate::cli::error::CliError;
use crate::cli::output::{print, remark};

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    named: Named,
    /// Say what it would cut, and leave the cluster alone
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: ConfirmOptions,
}

/// What a deletion would cut.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consequences {
    open_streams: u64,
    scoped_tokens: u64,
}

impl Delete {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        let (cluster, _) = resource::find(client, &self.named.cluster)?;
        let asked = client.send(Method::DELETE, &format!("{}?dryRun=true", cluster.path()), None)?;
        let consequences: Consequences = client.parse(&asked)?;
        let sentence = consequences.sentence(&cluster.name);
        if self.dry_run {
            return print(&format!("{sentence}\n"));
        }
        remark(&sentence);
        self.confirm.confirm(&format!("Delete cluster {}?", cluster.name))?;
        client.delete(&cluster.path())?;
        remark(&format!("Cluster {} was deleted.", cluster.name));
        Ok(())
    }
}

impl Consequences {
    fn sentence(&self, name: &str) -> String {
        let count = |number: u64, what: &str| {
            if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
        };
        format!(
            "Deleting cluster {name} cuts {} to it, and deletes {} good for it alone.",
            count(self.open_streams, "open stream"),
            if self.scoped_tokens == 1 {
                "1 token that is".to_owned()
            } else {
                format!("{} tokens that are", self.scoped_tokens)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stream_is_no_streams() {
        let consequences = Consequences { open_streams: 1, scoped_tokens: 0 };
        assert_eq!(
            consequences.sentence("eu-1"),
            "Deleting cluster eu-1 cuts 1 open stream to it, and deletes 0 tokens that are good for it alone."
        );
    }
}
