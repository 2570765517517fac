//! Which servers the command line believes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::error::CliError;
use super::output;

/// Flags of every command that talks to a server.
#[derive(Debug, Clone, Args)]
pub(super) struct TrustOptions {
    /// PEM file of the authority that signed the server's certificate, instead of the system's authorities
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "insecure_skip_tls_verify")]
    ca_file: Option<PathBuf>,
    /// Don't check the server's certificate: whoever is in between can read and change everything
    #[arg(long, global = true)]
    insecure_skip_tls_verify: bool,
}

/// Who may have signed the server's certificate.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    /// The authorities of the system.
    System,
    /// These certificates alone, PEM.
    Authority(String),
    /// Anybody. Never kept: only a flag of the same command line can say so.
    Anybody,
}

impl TrustOptions {
    /// What the flags ask for; without one, what the profile remembers.
    pub(super) fn trust(&self, remembered: Option<&str>) -> Result<Trust, CliError> {
        if self.insecure_skip_tls_verify {
            output::remark(
                "warning: the server's certificate is not checked; anybody in between can read the session",
            );
            return Ok(Trust::Anybody);
        }
        match &self.ca_file {
            Some(path) => read_authority(path).map(Trust::Authority),
            None => Ok(remembered.map_or(Trust::System, |pem| Trust::Authority(pem.to_owned()))),
        }
    }
}

impl Trust {
    /// What a profile may remember of it.
    pub(super) fn remembered(&self) -> Option<String> {
        match self {
            Self::Authority(pem) => Some(pem.clone()),
            Self::System | Self::Anybody => None,
        }
    }

    /// What to tell of a TLS failure that has a next step.
    pub(super) fn complaint(&self, error: &rustls::Error) -> Option<fn(String) -> CliError> {
        use rustls::CertificateError as Certificate;
        let rustls::Error::InvalidCertificate(reason) = error else {
            return match error {
                rustls::Error::InvalidMessage(_) => Some(CliError::NoTls),
                // The verifier's when this machine has no authorities, as in an empty container.
                rustls::Error::General(_) => Some(self.unknown_authority()),
                _ => None,
            };
        };
        match reason {
            // A bad signature too: self-made authorities of two servers share their name and not their key.
            Certificate::UnknownIssuer | Certificate::BadSignature => Some(self.unknown_authority()),
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                Some(CliError::OtherName)
            }
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. } => Some(CliError::NotValidNow),
            _ => None,
        }
    }

    fn unknown_authority(&self) -> fn(String) -> CliError {
        match self {
            Self::Authority(_) => CliError::OtherAuthority,
            Self::System | Self::Anybody => CliError::UnknownAuthority,
        }
    }

    /// The TLS settings of a client.
    pub(super) fn tls_config(&self) -> TlsConfig {
        let builder = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        match self {
            Self::System => builder.root_certs(RootCerts::PlatformVerifier).build(),
            Self::Authority(pem) => {
                let certificates = parse_pem(pem.as_bytes()).filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                });
                builder.root_certs(RootCerts::from(certificates)).build()
            }
            Self::Anybody => {
                builder.root_certs(RootCerts::PlatformVerifier).disable_verification(true).build()
            }
        }
    }
}

/// The certificates of a PEM file, and nothing else that may be in it: a key would end up in the profile.
fn read_authority(path: &Path) -> Result<String, CliError> {
    let bytes = std::fs::read(path).map_err(|error| CliError::File(path.to_owned(), error))?;
    certificates(&bytes).ok_or_else(|| CliError::NoCertificate(path.to_owned()))
}

/// The certificates of a PEM text; none if it has none, or ends in the middle of one.
pub(super) fn certificates(pem: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(pem);
    let mut kept = String::new();
    let mut inside = false;
    for line in text.lines() {
        inside |= line.trim() == BEGIN;
        if inside {
            kept.push_str(line.trim());
            kept.push('\n');
        }
        inside &= line.trim() != END;
    }
    let found = parse_pem(kept.as_bytes()).any(|item| matches!(item, Ok(PemItem::Certificate(_))));
    (found && !inside).then_some(kept)
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
