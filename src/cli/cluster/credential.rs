//! How the server reaches a cluster and who it is there, by flags. Secrets come from files or standard input: every user
//! of a machine can read the arguments of its processes.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::kubeconfig::Kubeconfig;
use crate::cli::error::CliError;
use crate::secret::Secret;

/// Flags of `add` and `set`.
#[derive(Debug, Args)]
pub(super) struct ConnectionOptions {
    /// A kubeconfig on this machine: its server, authority and credential are sent
    #[arg(long, value_name = "FILE", conflicts_with_all = SERVER_SIDE)]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; unless given, its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// URL of an apiserver; may be repeated for several of one cluster
    #[arg(long = "server", value_name = "URL")]
    servers: Vec<String>,
    /// PEM file of the authority that signed the apiserver's certificate; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    certificate_authority: Option<PathBuf>,
    /// The name in the apiserver's certificate, if it is not that of the URL
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// File with a bearer token; `-` reads standard input
    #[arg(long, value_name = "FILE", group = CREDENTIAL)]
    token_file: Option<PathBuf>,
    /// PEM file of a client certificate; `-` reads standard input
    #[arg(long, value_name = "FILE", requires = "client_key", group = CREDENTIAL)]
    client_certificate: Option<PathBuf>,
    /// PEM file of the client certificate's key; `-` reads standard input
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// A token file on the server, in its directory of cluster files; read again whenever it changes
    #[arg(long, value_name = "NAME", group = CREDENTIAL)]
    server_side_token_file: Option<String>,
    /// A client certificate on the server, in its directory of cluster files
    #[arg(long, value_name = "NAME", requires = "server_side_client_key", group = CREDENTIAL)]
    server_side_client_certificate: Option<String>,
    /// The client certificate's key on the server, in its directory of cluster files
    #[arg(long, value_name = "NAME", requires = "server_side_client_certificate")]
    server_side_client_key: Option<String>,
    /// A kubeconfig on the server, in its directory of cluster files; it may have an exec plugin
    #[arg(long, value_name = "NAME", group = CREDENTIAL)]
    server_side_kubeconfig: Option<String>,
}

/// What is there once, of the flags above.
const CREDENTIAL: &str = "credential";

/// What a kubeconfig of this machine does not go with.
const SERVER_SIDE: &[&str] = &["server_side_kubeconfig"];

impl ConnectionOptions {
    /// Adds what was asked for to the fields of the API.
    pub(super) fn add_to(&self, fields: &mut Map<String, Value>) -> Result<(), CliError> {
        if self.context.is_some() && self.kubeconfig.is_none() && self.server_side_kubeconfig.is_none() {
            return Err(CliError::Usage("--context is of a kubeconfig: name that too".to_owned()));
        }
        if self.reads_input_twice() {
            return Err(CliError::Usage("standard input can be read once".to_owned()));
        }
        // A flag beats the kubeconfig.
        if let Some(path) = &self.kubeconfig {
            let local = Kubeconfig::read(path, self.context.as_deref())?;
            let has_credential = self.credential()?;
            fields.extend(local.connection()?);
            let credential = match has_credential {
                Some(credential) => credential,
                None => local.credential()?,
            };
            fields.insert("credential".to_owned(), Value::Object(credential));
        } else if let Some(credential) = self.credential()? {
            fields.insert("credential".to_owned(), Value::Object(credential));
        }
        if !self.servers.is_empty() {
            fields.insert("endpoints".to_owned(), self.servers.clone().into());
        }
        if let Some(path) = &self.certificate_authority {
            fields.insert("caCert".to_owned(), read(path)?.expose().into());
        }
        fields.extend(self.tls_server_name.clone().map(|name| ("tlsServerName".to_owned(), name.into())));
        Ok(())
    }

    fn credential(&self) -> Result<Option<Map<String, Value>>, CliError> {
        let mut fields = Map::new();
        let by_value = [
            ("token", &self.token_file),
            ("clientCertificate", &self.client_certificate),
            ("clientKey", &self.client_key),
        ];
        for (name, path) in by_value {
            if let Some(path) = path {
                // Trimmed as client-go does: an editor's newline can't be in a header.
                let text = read(path)?;
                let text = if name == "token" { text.expose().trim() } else { text.expose() };
                fields.insert(name.to_owned(), text.into());
            }
        }
        let by_name = [
            ("tokenFile", &self.server_side_token_file),
            ("clientCertificateFile", &self.server_side_client_certificate),
            ("clientKeyFile", &self.server_side_client_key),
            ("kubeconfigFile", &self.server_side_kubeconfig),
        ];
        for (name, file) in by_name {
            fields.extend(file.clone().map(|file| (name.to_owned(), file.into())));
        }
        if self.server_side_kubeconfig.is_some() {
            fields.extend(self.context.clone().map(|context| ("context".to_owned(), context.into())));
        }
        Ok((!fields.is_empty()).then_some(fields))
    }

    fn reads_input_twice(&self) -> bool {
        let files =
            [&self.certificate_authority, &self.token_file, &self.client_certificate, &self.client_key];
        files.into_iter().flatten().filter(|path| path.as_os_str() == STDIN).count() > 1
    }
}

/// A file's text, or that of standard input.
fn read(path: &Path) -> Result<Secret, CliError> {
    let mut text = String::new();
    let read = if path.as_os_str() == STDIN {
        std::io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
    };
    read.map_err(|error| CliError::File(path.to_owned(), error))?;
    Ok(Secret::new(text))
}

/// Stands for standard input.
const STDIN: &str = "-";

/// More than any certificate or token; the server takes no more.
const MAX_BYTES: u64 = 1 << 20;
