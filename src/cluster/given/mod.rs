//! Clusters as somebody describes them: each field is checked, and what is wrong is said with the field's name. A
//! credential that is given by value is taken apart here, so that nothing but a token or a certificate is ever stored.

mod kubeconfig;
#[cfg(test)]
mod tests;

use std::path::{Component, PathBuf};

use http::Uri;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

use super::endpoint::Endpoint;
use super::record::{CertificateAuthority, Credential, Reach, SealedKind};
use crate::secret::Secret;

/// Endpoints of one cluster.
const MAX_ENDPOINTS: usize = 16;
/// Bytes of anything that is given as text.
const MAX_TEXT_BYTES: usize = 256 << 10;

/// Where a cluster is and what we prove ourselves with there, as somebody gives it.
#[derive(Debug, Clone)]
pub struct GivenReach {
    /// URLs of its apiservers. None with a kubeconfig, unless others than the kubeconfig's.
    pub endpoints: Vec<String>,
    /// Certificates of authorities, PEM.
    pub ca: Option<String>,
    /// The name in the apiservers' certificates.
    pub tls_server_name: Option<String>,
    /// What we prove ourselves with.
    pub credential: GivenCredential,
}

/// A credential, as somebody gives it.
#[derive(Debug, Clone)]
pub enum GivenCredential {
    /// A bearer token.
    Token(Secret),
    /// A client certificate and its key, PEM.
    ClientCertificate {
        /// The certificate and its chain.
        certificate: String,
        /// Its key.
        key: Secret,
    },
    /// The text of a kubeconfig, and a context of it other than the current one.
    Kubeconfig {
        /// The text.
        text: Secret,
        /// The context.
        context: Option<String>,
    },
    /// A file with a bearer token.
    TokenFile(PathBuf),
    /// Files with a client certificate and its key, PEM.
    ClientCertificateFiles {
        /// The certificate and its chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// A kubeconfig's file.
    KubeconfigFile {
        /// The file.
        path: PathBuf,
        /// The context.
        context: Option<String>,
    },
}

/// Which field of a description is wrong, and why. No message repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct GivenError {
    /// The field, as the API calls it.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// A description that was checked. The credential by value is not sealed yet, as it is sealed for a cluster's id.
#[derive(Debug, Clone)]
pub struct CheckedReach {
    /// All but a credential by value, in whose place stands [`Credential::Configuration`].
    pub reach: Reach,
    /// What is to be sealed.
    pub secret: Option<(SealedKind, Secret)>,
}

impl GivenReach {
    /// Checks every field.
    pub fn check(self) -> Result<CheckedReach, GivenError> {
        let mut reach = Reach {
            endpoints: endpoints(&self.endpoints)?,
            ca: self.ca.map(|pem| authorities("caCert", pem)).transpose()?,
            tls_server_name: self.tls_server_name.map(server_name).transpose()?,
            credential: Credential::Configuration,
        };
        let has_own_address = matches!(
            self.credential,
            GivenCredential::Kubeconfig { .. } | GivenCredential::KubeconfigFile { .. }
        );
        if reach.endpoints.is_empty() && !has_own_address {
            return Err(wrong("endpoints", "at least one is needed"));
        }
        let mut secret = None;
        match self.credential {
            GivenCredential::Token(text) => secret = Some((SealedKind::Token, token("token", &text)?)),
            GivenCredential::ClientCertificate { certificate, key } => {
                secret = Some(client_certificate(&certificate, &key)?);
            }
            GivenCredential::Kubeconfig { text, context } => {
                secret = Some(kubeconfig::take_apart(&mut reach, &text, context.as_deref())?);
            }
            GivenCredential::TokenFile(path) => {
                reach.credential = Credential::TokenFile { path: plain("tokenFile", path)? };
            }
            GivenCredential::ClientCertificateFiles { certificate, key } => {
                let certificate = plain("clientCertificateFile", certificate)?;
                let key = plain("clientKeyFile", key)?;
                reach.credential = Credential::ClientCertificate { certificate, key };
            }
            GivenCredential::KubeconfigFile { path, context } => {
                let path = plain("kubeconfigFile", path)?;
                reach.credential = Credential::Kubeconfig { path, context };
            }
        }
        Ok(CheckedReach { reach, secret })
    }
}

fn endpoints(texts: &[String]) -> Result<Vec<Uri>, GivenError> {
    if texts.len() > MAX_ENDPOINTS {
        return Err(wrong("endpoints", format!("{MAX_ENDPOINTS} are the most a cluster can have")));
    }
    let mut endpoints = Vec::with_capacity(texts.len());
    for text in texts {
        let url = endpoint("endpoints", text)?;
        if endpoints.contains(&url) {
            return Err(wrong("endpoints", "one of them is there twice"));
        }
        endpoints.push(url);
    }
    Ok(endpoints)
}

fn endpoint(field: &'static str, text: &str) -> Result<Uri, GivenError> {
    let url: Uri = text.parse().map_err(|_| wrong(field, "not a URL such as https://10.0.0.1:6443"))?;
    Endpoint::new(&url, None).map_err(|error| wrong(field, error.to_string()))?;
    if url.query().is_some() {
        return Err(wrong(field, "a URL with a query can't be the beginning of others"));
    }
    Ok(url)
}

fn authorities(field: &'static str, pem: String) -> Result<CertificateAuthority, GivenError> {
    bounded(field, &pem)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or_else(|| wrong(field, "not certificates in PEM"))?;
    }
    if roots.is_empty() {
        Err(wrong(field, "no certificate in it"))
    } else {
        Ok(CertificateAuthority::Pem(pem))
    }
}

fn server_name(name: String) -> Result<String, GivenError> {
    match ServerName::try_from(name.as_str()) {
        Ok(_) => Ok(name),
        Err(_) => Err(wrong("tlsServerName", "not a host name or an address")),
    }
}

fn token(field: &'static str, text: &Secret) -> Result<Secret, GivenError> {
    bounded(field, text.expose())?;
    let text = text.expose().trim();
    if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(wrong(field, "not a bearer token: visible ASCII characters, and at least one"));
    }
    Ok(Secret::new(text))
}

/// Certificate and key in one text, which is how they are sealed.
fn client_certificate(certificate: &str, key: &Secret) -> Result<(SealedKind, Secret), GivenError> {
    bounded("clientCertificate", certificate)?;
    bounded("clientKey", key.expose())?;
    if !CertificateDer::pem_slice_iter(certificate.as_bytes()).any(|found| found.is_ok()) {
        return Err(wrong("clientCertificate", "no certificate in it"));
    }
    if !key.expose().contains("PRIVATE KEY-----") {
        return Err(wrong("clientKey", "no private key in it"));
    }
    let both = format!("{}\n{}\n", certificate.trim(), key.expose().trim());
    Ok((SealedKind::ClientCertificate, Secret::new(both)))
}

/// A path in which nothing leads back up. Where it may lead is checked whenever it is read.
fn plain(field: &'static str, path: PathBuf) -> Result<PathBuf, GivenError> {
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::RootDir | Component::CurDir));
    if path.as_os_str().is_empty() || !is_plain {
        return Err(wrong(field, "not a plain path: it may not be empty or have .. in it"));
    }
    Ok(path)
}

fn bounded(field: &'static str, text: &str) -> Result<(), GivenError> {
    let too_long = || wrong(field, format!("longer than {MAX_TEXT_BYTES} bytes"));
    if text.len() > MAX_TEXT_BYTES { Err(too_long()) } else { Ok(()) }
}

fn wrong(field: &'static str, reason: impl Into<String>) -> GivenError {
    GivenError { field, reason: reason.into() }
}

/// The field of a kubeconfig by value.
const KUBECONFIG: &str = "kubeconfig";
