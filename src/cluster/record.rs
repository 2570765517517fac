//! A cluster as it is stored or configured: where it is, how we prove ourselves there, and who may use it.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use serde::{Deserialize, Serialize};

use super::Cluster;
use crate::clock::UnixMillis;
use crate::config::{ClusterRules, ConfiguredCluster, CredentialFiles, ServiceAccountMode};
use crate::identity::{Access, ClusterId};

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRecord {
    /// Its id, which never changes.
    pub id: ClusterId,
    /// What people call it.
    pub name: String,
    /// Where it is, and how we prove ourselves there.
    pub reach: Reach,
    /// What is done with the tokens of its own service accounts.
    pub service_accounts: ServiceAccountMode,
    /// Who may use it at all.
    pub access: Access,
    /// When it was added; for a configured one, when we started.
    pub created_at: UnixMillis,
}

/// How a cluster is reached. It changes as a whole: a credential belongs to the place it is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// URLs of its apiservers. None with a kubeconfig's file, which has its own.
    pub endpoints: Vec<Uri>,
    /// Who vouches for the apiservers' certificates; the system's authorities without.
    pub ca: Option<CertificateAuthority>,
    /// The name in their certificates, if it is not the host of the URL.
    pub tls_server_name: Option<String>,
    /// What we prove ourselves with.
    pub credential: Credential,
}

/// Certificates of authorities, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateAuthority {
    /// These.
    Pem(String),
    /// Those in this file, which is read again and again.
    File(PathBuf),
}

/// What we prove ourselves with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Credential {
    /// What the keys `cluster.…` of the configuration lead to; of the default cluster alone.
    Configuration,
    /// A file with a bearer token.
    TokenFile {
        /// Which.
        path: PathBuf,
    },
    /// Files with a client certificate and its key, PEM.
    ClientCertificate {
        /// The certificate and its chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// A kubeconfig, which may have a plugin.
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// A context other than its current one.
        context: Option<String>,
    },
    /// Given by value, and readable with the key file alone.
    Sealed {
        /// What is in it.
        content: SealedKind,
        /// The sealed text.
        sealed: Sealed,
    },
}

/// What was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealedKind {
    /// A bearer token.
    Token,
    /// A client certificate and its key, PEM, one after the other.
    ClientCertificate,
}

/// A sealed text: without the key file it says nothing, so it may be stored and copied. Printing it would help nobody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sealed(pub(super) Vec<u8>);

impl ClusterRecord {
    /// A cluster of the configuration's list.
    pub fn configured(cluster: &ConfiguredCluster, created_at: UnixMillis) -> Self {
        let credential = match cluster.credential.clone() {
            CredentialFiles::Kubeconfig(path, context) => Credential::Kubeconfig { path, context },
            CredentialFiles::Token(path) => Credential::TokenFile { path },
            CredentialFiles::ClientCertificate(certificate, key) => {
                Credential::ClientCertificate { certificate, key }
            }
        };
        let reach = Reach {
            endpoints: cluster.endpoints.clone(),
            ca: cluster.certificate_authority.clone().map(CertificateAuthority::File),
            tls_server_name: cluster.tls_server_name.clone(),
            credential,
        };
        let (id, name, rules) = (cluster.id.clone(), cluster.name.clone(), &cluster.rules);
        let (service_accounts, access) = (rules.service_accounts, rules.access.clone());
        Self { id, name, reach, service_accounts, access, created_at }
    }

    /// The default cluster.
    pub fn of_default(cluster: &Cluster, rules: &ClusterRules, created_at: UnixMillis) -> Self {
        let id = ClusterId::of_default();
        let reach = Reach {
            endpoints: cluster.urls(),
            ca: None,
            tls_server_name: None,
            credential: Credential::Configuration,
        };
        let (service_accounts, access) = (rules.service_accounts, rules.access.clone());
        Self { name: id.to_string(), id, reach, service_accounts, access, created_at }
    }
}

impl Reach {
    /// Whether requests for `other` go to the same place, whatever we prove ourselves with.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let by_file = |reach: &Self| match &reach.credential {
            Credential::Kubeconfig { path, context } => Some((path.clone(), context.clone())),
            _ => None,
        };
        (&self.endpoints, &self.ca, &self.tls_server_name)
            == (&other.endpoints, &other.ca, &other.tls_server_name)
            && by_file(self) == by_file(other)
    }

    /// Whether the credential was given by value.
    pub fn is_sealed(&self) -> bool {
        matches!(self.credential, Credential::Sealed { .. })
    }
}

impl Credential {
    /// The kind as it is shown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::TokenFile { .. } => "tokenFile",
            Self::ClientCertificate { .. } => "clientCertificateFile",
            Self::Kubeconfig { .. } => "kubeconfigFile",
            Self::Sealed { content: SealedKind::Token, .. } => "token",
            Self::Sealed { content: SealedKind::ClientCertificate, .. } => "clientCertificate",
        }
    }
}

impl SealedKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::ClientCertificate => "client-certificate",
        }
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> Self {
        STANDARD.encode(sealed.0)
    }
}

impl TryFrom<String> for Sealed {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, base64::DecodeError> {
        STANDARD.decode(text).map(Self)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}
