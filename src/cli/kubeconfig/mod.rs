//! `portcullis kubeconfig`: what kubectl needs to reach clusters through the server, a context each.

mod earlier;
mod merge;

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Client, encoded};
use super::error::CliError;
use super::trust::TrustOptions;
use super::{output, private_file};
use crate::token::Bearer;
use earlier::{Earlier, token_of};

/// Arguments of `kubeconfig`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Kubeconfig {
    /// Names or ids of the clusters, a context each; the first is the current one [default: local]
    #[arg(value_name = "CLUSTER", conflicts_with = "all")]
    clusters: Vec<String>,
    /// All clusters that you may use; administrators see others besides
    #[arg(long)]
    all: bool,
    /// The cluster whose context is the current one
    #[arg(long, value_name = "CLUSTER")]
    current: Option<String>,
    /// A token a cluster, good for that one alone, instead of one for all
    #[arg(long)]
    cluster_scoped: bool,
    /// Write to a file that only you can read, instead of to standard output
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Put the contexts into the file beside those it has, and leave its current context unless --current names one
    #[arg(long, requires = "output_file")]
    merge: bool,
    /// Keep the tokens that are in the file, if more than half of their life is left, and write the rest anew
    #[arg(long, requires = "output_file")]
    reuse: bool,
    /// Replace the file if there is one, or with --merge the contexts of other servers that have the same name
    #[arg(long, requires = "output_file")]
    force: bool,
    #[command(flatten)]
    trust: TrustOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis kubeconfig --output-file gate.yaml
  portcullis kubeconfig --output-file gate.yaml --reuse
  portcullis kubeconfig --all --current eu-1 --output-file gate.yaml
  portcullis kubeconfig eu-1 us-1 --cluster-scoped --merge --output-file ~/.kube/config
  kubectl --kubeconfig gate.yaml --context eu-1 get pods

Each kubeconfig has a token of its own: `portcullis token list` shows it, `portcullis token delete` ends it. Where the server is
set to give kubeconfigs without one (kubeconfig-generate-token), kubectl calls `portcullis credential` instead.";

impl Kubeconfig {
    /// Asks the server for a kubeconfig, which makes a token.
    pub(super) fn run(self) -> Result<(), CliError> {
        // Before a token is made for nothing.
        let earlier = self.output_file.as_deref().map(read).transpose()?.flatten();
        let client = Client::of_profile(&self.trust)?;
        let kept = match (&self.output_file, &earlier) {
            (Some(path), Some(text)) if self.merge => Some(merge::parse(path, text)?),
            _ => None,
        };
        if let (Some(kept), Some(path)) = (&kept, &self.output_file) {
            self.check_names(kept, path, &client)?;
        }
        let reused = match &kept {
            Some(kept) if self.reuse => earlier::tokens(kept, client.server()),
            Some(_) => Vec::new(),
            None => self.earlier_tokens(earlier.as_deref(), client.server())?,
        };
        let answer = client.post(&self.path(), Some(&self.body(&reused)))?;
        let config = client.text(&answer, "config")?;
        let text = match kept {
            Some(kept) => self.merged(kept, &config, &client)?,
            None => config.clone(),
        };
        match &self.output_file {
            Some(path) => private_file::write(path, text.as_bytes())?,
            None => output::print(&text)?,
        }
        explain(&client, &config, &reused);
        Ok(())
    }

    /// Whether nothing was said: then it is the cluster that every server has.
    fn is_default(&self) -> bool {
        self.clusters.is_empty() && !self.all
    }

    fn path(&self) -> String {
        let one = if self.is_default() { format!("/{DEFAULT_CLUSTER}") } else { String::new() };
        format!("/v3/clusters{one}?action=generateKubeconfig")
    }

    fn body(&self, reused: &[(String, Bearer)]) -> Value {
        let mut body = Map::new();
        let text = |bearer: &Bearer| Value::from(bearer.expose().expose());
        if self.is_default() {
            let own = reused.iter().find(|(name, _)| name == DEFAULT_CLUSTER).or_else(|| reused.first());
            body.extend(own.map(|(_, bearer)| ("reuse".to_owned(), text(bearer))));
        } else {
            let mut tokens: Vec<_> = reused.iter().map(|(_, bearer)| text(bearer)).collect();
            tokens.dedup();
            body.extend((!tokens.is_empty()).then(|| ("reuse".to_owned(), tokens.into())));
            body.extend((!self.all).then(|| ("clusters".to_owned(), json!(self.clusters))));
            body.extend(self.current.clone().map(|current| ("currentCluster".to_owned(), current.into())));
        }
        body.extend(self.cluster_scoped.then(|| ("clusterScoped".to_owned(), true.into())));
        Value::Object(body)
    }

    /// The tokens in the file that is to be replaced, if it may be replaced and its tokens are to be kept.
    fn earlier_tokens(&self, earlier: Option<&str>, server: &str) -> Result<Vec<(String, Bearer)>, CliError> {
        let (Some(path), Some(text)) = (&self.output_file, earlier) else { return Ok(Vec::new()) };
        // A kubeconfig with other clusters in it is easily lost and hard to replace.
        let ours = self.reuse.then(|| Earlier::of(text, server)).flatten();
        if self.reuse && ours.is_none() {
            output::remark(&format!(
                "{} is no kubeconfig for {server} alone: its token is not used again.",
                path.display()
            ));
        }
        match ours {
            Some(earlier) => Ok(earlier.tokens),
            None if self.force => Ok(Vec::new()),
            None => Err(CliError::FileExists(path.clone())),
        }
    }

    /// Refuses before a token is made for nothing.
    fn check_names(&self, kept: &Value, path: &Path, client: &Client) -> Result<(), CliError> {
        let is_asked = |cluster: &ClusterName| {
            let is = |asked: &String| *asked == cluster.id || *asked == cluster.name;
            self.all || self.clusters.iter().any(is) || (self.is_default() && cluster.id == DEFAULT_CLUSTER)
        };
        let list = if self.all { "/v3/clusters?usable=true" } else { "/v3/clusters" };
        for resource in client.list(list)? {
            let cluster: ClusterName = client.parse(&resource)?;
            if is_asked(&cluster) && !self.force && merge::is_taken(kept, &cluster.name, client.server()) {
                return Err(CliError::ContextTaken { name: cluster.name, path: path.to_owned() });
            }
        }
        Ok(())
    }

    fn merged(&self, kept: Value, config: &str, client: &Client) -> Result<String, CliError> {
        let new = serde_saphyr::from_str(config).map_err(|_| client.unexpected("config is no YAML"))?;
        output::yaml(&merge::merged(kept, &new, self.current.is_some()))
    }
}

/// How a cluster is called: its contexts have its name.
#[derive(Deserialize)]
struct ClusterName {
    id: String,
    name: String,
}

/// Says which tokens are in the kubeconfig and when they end.
fn explain(client: &Client, config: &str, reused: &[(String, Bearer)]) {
    let config: Value = serde_saphyr::from_str(config).unwrap_or_default();
    let users = config.get("users").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut bearers: Vec<_> = users.iter().filter_map(token_of).collect();
    bearers.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
    bearers.dedup_by(|one, other| one.name == other.name);
    if bearers.is_empty() && users.iter().any(|user| user.pointer("/user/exec").is_some()) {
        output::remark(
            "There is no token in it: kubectl calls `portcullis credential`, from PATH, to get one.",
        );
    }
    for bearer in bearers {
        // The kubeconfig is good without this.
        let token = client.get(&format!("/v3/tokens/{}", encoded(bearer.name.as_str()))).unwrap_or_default();
        let end = token
            .get("expiresAt")
            .map_or_else(String::new, |moment| format!(" (expires: {})", output::remaining(moment.as_str())));
        let is_reused = reused.iter().any(|(_, reused)| reused.name == bearer.name);
        let done = if is_reused { "is used again" } else { "was made for it" };
        output::remark(&format!("Token {} {done}{end}.", bearer.name));
    }
}

/// A file's text; none if there is no such file.
fn read(path: &Path) -> Result<Option<String>, CliError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::File(path.to_owned(), error)),
    }
}

const DEFAULT_CLUSTER: &str = "local";
