//! What can be wrong between us and a cluster. No message repeats what a kubeconfig or a plugin says beyond what is known
//! to be no secret.

use std::time::Duration;

use kube::client::AuthError;
use kube::config::KubeconfigError;

use super::seal::SealError;

/// Why a cluster can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig that was asked for can't be used.
    #[error("kubeconfig {file}: {reason}")]
    Kubeconfig {
        /// Which one, as the operator named it.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing was asked for, and neither place that is looked in has a cluster.
    #[error(
        "no cluster is configured; in-cluster environment: {in_cluster}; current kubeconfig context: {kubeconfig}"
    )]
    NotConfigured {
        /// Why the pod's environment is none.
        in_cluster: String,
        /// Why the kubeconfig is none.
        kubeconfig: String,
    },
    /// The address has another scheme than https.
    #[error("apiserver address {0} is not https: our credential would cross the network in clear")]
    NotHttps(String),
    /// The address can't be connected to.
    #[error("apiserver address {0} is not usable: {1}")]
    Address(String, &'static str),
    /// The kubeconfig switches verification off.
    #[error(
        "kubeconfig has insecure-skip-tls-verify: whoever answers in the apiserver's place would get our credential"
    )]
    Unverified,
    /// The kubeconfig uses what we don't support.
    #[error("kubeconfig uses {0}")]
    Unsupported(&'static str),
    /// A file that the kubeconfig names can't be read.
    #[error("can't read {0}")]
    File(String, #[source] std::io::Error),
    /// A file was named by the API, and the operator allows none.
    #[error("files can't be named here: the operator has set no clusterFilesDir")]
    FilesNotAllowed,
    /// A file was named by the API that is not where the operator allows it.
    #[error("{0} is not a file below {1} (clusterFilesDir)")]
    FileOutside(String, String),
    /// Our credential is sealed and can't be opened.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// Certificates or keys can't be used.
    #[error("certificate authority or client certificate can't be used: {0}")]
    Tls(String),
    /// Our credential can't be had.
    #[error("our credential can't be had: {0}")]
    Credential(String),
    /// Reading our credential, a plugin most likely, takes too long.
    #[error("our credential could not be had within {0:?}")]
    CredentialTimeout(Duration),
    /// The apiserver does not answer, or not with sense.
    #[error("apiserver does not answer: {0}")]
    Unreachable(String),
    /// The apiserver's name leads nowhere.
    #[error("apiserver's name can't be looked up: {0}")]
    UnknownHost(String),
    /// Whoever answers can't show that it is the apiserver.
    #[error("apiserver's certificate is not trusted: {0}")]
    Untrusted(String),
    /// The apiserver does not know us.
    #[error("apiserver refuses our credential")]
    CredentialRefused,
    /// The apiserver knows us and does not let us do our work.
    #[error("apiserver denies us the right to {0}")]
    Forbidden(String),
}

/// An error and what caused it, in one line.
pub(super) fn with_causes(error: &ClusterError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What is wrong with a kubeconfig. A parser's message may quote the file, tokens included: of that, only the place.
pub(super) fn kubeconfig_reason(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(place) => format!("not valid, near line {} column {}", place.line(), place.column()),
            None => "not valid".to_owned(),
        },
        other => other.to_string(),
    }
}

/// Why the credential can't be had. A plugin's output is left out of it: it is there that a token stands.
pub(super) fn credential_reason(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => format!("plugin failed with {}", out.status),
        AuthError::AuthExecStart(error) => format!("plugin can't be started: {error}"),
        AuthError::AuthExecParse(_) => "plugin's output is no ExecCredential".to_owned(),
        AuthError::ExecPluginFailed => "plugin's output has no status".to_owned(),
        AuthError::MissingCommand => "plugin has no command".to_owned(),
        AuthError::MalformedTokenExpirationDate(_) => "plugin's expirationTimestamp is no time".to_owned(),
        AuthError::InvalidBearerToken(_) => "token has characters that no header can carry".to_owned(),
        AuthError::ReadTokenFile(error, path) => {
            format!("token file {} can't be read: {error}", path.display())
        }
        AuthError::UnrefreshableTokenResponse => "plugin gave no token when it was asked again".to_owned(),
        _ => "unusable".to_owned(),
    }
}
