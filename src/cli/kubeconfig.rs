//! `portcullis kubeconfig`: what kubectl needs to reach a cluster through the server.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, encoded};
use super::error::CliError;
use super::trust::TrustOptions;
use super::{output, private_file};
use crate::token::Bearer;

/// Arguments of `kubeconfig`.
#[derive(Debug, Args)]
pub(super) struct Kubeconfig {
    /// The cluster's id
    #[arg(default_value = "local")]
    cluster: String,
    /// Write to a file that only you can read, instead of to standard output
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Keep the token that is in the file, if more than half of its life is left, and write the rest anew
    #[arg(long, requires = "output_file")]
    reuse: bool,
    /// Replace the file if there is one
    #[arg(long, requires = "output_file")]
    force: bool,
    #[command(flatten)]
    trust: TrustOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis kubeconfig --output-file gate.yaml
  portcullis kubeconfig --output-file gate.yaml --reuse
  kubectl --kubeconfig gate.yaml get pods

Each kubeconfig has a token of its own: `portcullis token list` shows it, `portcullis token delete` ends it. Where the server is
set to give kubeconfigs without one (kubeconfig-generate-token), kubectl calls `portcullis credential` instead.";

impl Kubeconfig {
    /// Asks the server for a kubeconfig, which makes a token.
    pub(super) fn run(self) -> Result<(), CliError> {
        // Before a token is made for nothing.
        let earlier = self.output_file.as_deref().map(read).transpose()?.flatten();
        let client = Client::of_profile(&self.trust)?;
        let reused = self.earlier_token(earlier.as_deref(), client.server())?;

        let path = format!("/v3/clusters/{}?action=generateKubeconfig", encoded(&self.cluster));
        let body = match &reused {
            Some(bearer) => json!({ "reuse": bearer.expose().expose() }),
            None => json!({}),
        };
        let answer = client.post(&path, Some(&body))?;
        let config = client.text(&answer, "config")?;
        match &self.output_file {
            Some(path) => private_file::write(path, config.as_bytes())?,
            None => output::print(&config)?,
        }
        explain(&client, &config, reused.as_ref());
        Ok(())
    }

    /// The token in the file that is to be replaced, if it may be replaced and its token is to be kept.
    fn earlier_token(&self, earlier: Option<&str>, server: &str) -> Result<Option<Bearer>, CliError> {
        let (Some(path), Some(text)) = (&self.output_file, earlier) else { return Ok(None) };
        // A kubeconfig with other clusters in it is easily lost and hard to replace.
        let ours = self.reuse.then(|| Earlier::of(text, server)).flatten();
        if self.reuse && ours.is_none() {
            output::remark(&format!(
                "{} is no kubeconfig for {server} alone: its token is not used again.",
                path.display()
            ));
        }
        match ours {
            Some(earlier) => Ok(earlier.token),
            None if self.force => Ok(None),
            None => Err(CliError::FileExists(path.clone())),
        }
    }
}

/// A kubeconfig that is for nothing but a cluster of one server.
struct Earlier {
    token: Option<Bearer>,
}

impl Earlier {
    /// A token is sent to no other server than the one that it was for.
    fn of(text: &str, server: &str) -> Option<Self> {
        let config: Value = serde_saphyr::from_str(text).ok()?;
        let only = |list: &str| config.get(list)?.as_array().filter(|list| list.len() == 1)?.first();
        let cluster = only("clusters")?.pointer("/cluster/server")?.as_str()?;
        let user = only("users")?;
        only("contexts")?;
        let beneath = cluster.strip_prefix(server).is_some_and(|path| path.starts_with('/'));
        beneath.then(|| Self { token: token_of(user) })
    }
}

/// Says which token is in the kubeconfig and when it ends.
fn explain(client: &Client, config: &str, reused: Option<&Bearer>) {
    let config: Value = serde_saphyr::from_str(config).unwrap_or_default();
    let Some(user) = config.pointer("/users/0") else { return };
    let Some(bearer) = token_of(user) else {
        if user.pointer("/user/exec").is_some() {
            output::remark(
                "There is no token in it: kubectl calls `portcullis credential`, from PATH, to get one.",
            );
        }
        return;
    };
    // The kubeconfig is good without this.
    let token = client.get(&format!("/v3/tokens/{}", encoded(bearer.name.as_str()))).unwrap_or_default();
    let end = token
        .get("expiresAt")
        .map_or_else(String::new, |moment| format!(" (expires: {})", output::remaining(moment.as_str())));
    let done = if reused.is_some_and(|reused| reused.name == bearer.name) {
        "is used again"
    } else {
        "was made for it"
    };
    output::remark(&format!("Token {} {done}{end}.", bearer.name));
}

fn token_of(user: &Value) -> Option<Bearer> {
    Bearer::try_from(user.pointer("/user/token")?.as_str()?).ok()
}

/// A file's text; none if there is no such file.
fn read(path: &Path) -> Result<Option<String>, CliError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::File(path.to_owned(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(server: &str, token: &str) -> Value {
        json!({
            "clusters": [{ "name": "local", "cluster": { "server": server } }],
            "users": [{ "name": "local", "user": { "token": token } }],
            "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "local" } }],
        })
    }

    #[test]
    fn only_a_kubeconfig_of_this_server_alone_is_replaced_and_its_token_sent() {
        let bearer = format!("kubeconfig-user-bcdfgbcdfg:{}", "b".repeat(54));
        let gate = "https://gate.example.org";
        let ours = config("https://gate.example.org/k8s/clusters/local", &bearer);
        let of = |config: &Value| Earlier::of(&config.to_string(), gate);
        assert_eq!(of(&ours).unwrap().token.unwrap().name.as_str(), "kubeconfig-user-bcdfgbcdfg");

        let foreign = config("https://gate.example.org/k8s/clusters/local", "eyJhbGciOi.a.b");
        assert!(of(&foreign).unwrap().token.is_none());
        for server in [
            "https://gate.example.org.evil/k8s/clusters/local",
            "https://gate.example.org:8443/k8s/clusters/local",
            "http://gate.example.org/k8s/clusters/local",
            "https://other/k8s/clusters/local",
        ] {
            assert!(of(&config(server, &bearer)).is_none(), "{server}");
        }
        for list in ["clusters", "users", "contexts"] {
            let mut more = ours.clone();
            let first = more[list][0].clone();
            more[list].as_array_mut().unwrap().push(first);
            assert!(of(&more).is_none(), "{list}");
        }
        for text in ["", "[", "precious", "clusters: 5"] {
            assert!(Earlier::of(text, gate).is_none(), "{text}");
        }
    }
}
