//! A kubeconfig on this machine, read to be sent by value. What could not be sent, or would not mean the same on the
//! server, is refused and never left out.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::cli::error::CliError;
use crate::secret::Secret;

/// One context of a kubeconfig.
pub(super) struct Kubeconfig {
    path: PathBuf,
    cluster: Value,
    user: Value,
    user_name: String,
}

impl Kubeconfig {
    /// Reads `context`, or the current one.
    pub(super) fn read(path: &Path, context: Option<&str>) -> Result<Self, CliError> {
        let bytes = std::fs::read(path).map_err(|error| CliError::File(path.to_owned(), error))?;
        let text = Secret::new(String::from_utf8_lossy(&bytes));
        let wrong = |what: String| CliError::LocalKubeconfig(path.to_owned(), what);
        // Without the parser's own words, which may quote a token.
        let config: Value =
            serde_saphyr::from_str(text.expose()).map_err(|_| wrong("not valid YAML".to_owned()))?;
        let current = config.get("current-context").and_then(Value::as_str).filter(|name| !name.is_empty());
        let context = context
            .or(current)
            .ok_or_else(|| wrong("it has no current context: pass --context".to_owned()))?;
        let part = |list: &str, kind: &str, name: &str| {
            let entries = config.get(list).and_then(Value::as_array).into_iter().flatten();
            let mut named = entries.filter(|entry| entry.get("name").is_some_and(|own| own == name));
            let entry = named.next().and_then(|entry| entry.get(kind)).filter(|entry| entry.is_object());
            entry.cloned().ok_or_else(|| wrong(format!("it has no {kind} {name:?}")))
        };
        let found = part("contexts", "context", context)?;
        let word = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
        let cluster = part("clusters", "cluster", word("cluster"))?;
        let user = part("users", "user", word("user"))?;
        let read = Self { path: path.to_owned(), cluster, user, user_name: word("user").to_owned() };
        read.refuse_unsafe()?;
        Ok(read)
    }

    /// Where the cluster is, as fields of the API.
    pub(super) fn connection(&self) -> Result<Map<String, Value>, CliError> {
        let server = text(&self.cluster, "server").ok_or_else(|| self.wrong("it names no server"))?;
        let mut fields = Map::from_iter([("endpoints".to_owned(), Value::from(vec![server]))]);
        if let Some(pem) = self.content(&self.cluster, "certificate-authority")? {
            fields.insert("caCert".to_owned(), pem.expose().into());
        }
        let name = text(&self.cluster, "tls-server-name");
        fields.extend(name.map(|name| ("tlsServerName".to_owned(), name.into())));
        Ok(fields)
    }

    /// The user's credential, as fields of the API's credential.
    pub(super) fn credential(&self) -> Result<Map<String, Value>, CliError> {
        if let Some(exec) = self.user.get("exec").filter(|exec| !exec.is_null()) {
            let command = text(exec, "command").unwrap_or("?");
            return Err(self.wrong(&format!(
                "user {:?} gets its credential from the plugin {command:?}, which would have to run on the server: \
                 give a token with --token-file, or put a kubeconfig where the server keeps files of clusters and name \
                 it with --server-side-kubeconfig",
                self.user_name
            )));
        }
        for (field, what) in [("auth-provider", "an auth-provider"), ("username", "a password")] {
            if self.user.get(field).is_some_and(|value| !value.is_null()) {
                return Err(self.wrong(&format!(
                    "user {:?} has {what}, which no apiserver takes any more: give a token with --token-file",
                    self.user_name
                )));
            }
        }
        let mut fields = Map::new();
        if let Some(token) = self.token()? {
            fields.insert("token".to_owned(), token.expose().into());
            return Ok(fields);
        }
        let certificate = self.content(&self.user, "client-certificate")?;
        let key = self.content(&self.user, "client-key")?;
        let (Some(certificate), Some(key)) = (certificate, key) else {
            return Err(self.wrong(&format!(
                "user {:?} has neither a token nor a client certificate with its key",
                self.user_name
            )));
        };
        fields.insert("clientCertificate".to_owned(), certificate.expose().into());
        fields.insert("clientKey".to_owned(), key.expose().into());
        Ok(fields)
    }

    fn token(&self) -> Result<Option<Secret>, CliError> {
        if let Some(token) = text(&self.user, "token") {
            return Ok(Some(Secret::new(token)));
        }
        match text(&self.user, "tokenFile") {
            Some(path) => Ok(Some(Secret::new(self.file(path)?.expose().trim()))),
            None => Ok(None),
        }
    }

    fn refuse_unsafe(&self) -> Result<(), CliError> {
        if self.cluster.get("insecure-skip-tls-verify") == Some(&Value::Bool(true)) {
            return Err(self.wrong(
                "it has insecure-skip-tls-verify: whoever answers in the apiserver's place would get the credential",
            ));
        }
        if text(&self.cluster, "proxy-url").is_some() {
            return Err(self.wrong("it has a proxy-url, and the server connects to apiservers directly"));
        }
        let impersonates = ["as", "as-uid", "as-groups", "as-user-extra"]
            .iter()
            .find(|field| self.user.get(**field).is_some());
        match impersonates {
            Some(field) => Err(self.wrong(&format!("it has {field}, which is the server's to send"))),
            None => Ok(()),
        }
    }

    /// What `<name>-data` has, else the file that `name` names.
    fn content(&self, entry: &Value, name: &str) -> Result<Option<Secret>, CliError> {
        if let Some(data) = text(entry, &format!("{name}-data")) {
            let bytes = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            return bytes
                .map(|text| Some(Secret::new(text)))
                .ok_or_else(|| self.wrong(&format!("{name}-data is no PEM in base64")));
        }
        text(entry, name).map(|path| self.file(path)).transpose()
    }

    /// Paths in a kubeconfig begin where it is.
    fn file(&self, path: &str) -> Result<Secret, CliError> {
        let path = self.path.parent().unwrap_or(Path::new("")).join(path);
        std::fs::read_to_string(&path).map(Secret::new).map_err(|error| CliError::File(path, error))
    }

    fn wrong(&self, what: &str) -> CliError {
        CliError::LocalKubeconfig(self.path.clone(), what.to_owned())
    }
}

fn text<'a>(entry: &'a Value, name: &str) -> Option<&'a str> {
    entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}
