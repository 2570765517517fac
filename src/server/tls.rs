//! TLS for clients: 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, and certificates that can change while we serve.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig};

use super::reload::Trigger;
use super::self_signed::{self, Identity, SelfSignedError};
use crate::config::{Config, TlsFiles};
use crate::telemetry::{Reloaded, Telemetry};

/// How often certificate files are read again. Mounted secrets change by a swap of links, which polling sees and a
/// watch on the old file does not.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);
/// A change counts when the files were read twice alike with this time between: they may just be being written.
const SETTLING: Duration = Duration::from_millis(50);
const SETTLING_READINGS: u32 = 20;
/// How often the self-made certificate is renewed: well within its life.
const RENEW_INTERVAL: Duration = Duration::from_hours(24 * 30);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A file does not hold what it should.
    #[error("{0} is not PEM of the right kind")]
    Pem(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// Key and certificate are no pair, or of a kind that can't be used.
    #[error("certificate and key can't be used together")]
    Pair(#[source] rustls::Error),
    /// No certificate of our own.
    #[error("can't make a certificate")]
    SelfSigned(#[from] SelfSignedError),
}

/// The certificate in use.
#[derive(Debug)]
pub(super) struct ServerIdentity(RwLock<Arc<CertifiedKey>>);

impl ServerIdentity {
    /// The configured certificate, or one by our own authority in the data directory.
    pub(super) fn load(config: &Config) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(RwLock::new(current(config)?))))
    }

    /// Follows the files (or renews our own certificate) for as long as the task lives. What can't be used is
    /// reported and the certificate in use kept.
    pub(super) async fn follow(
        self: Arc<Self>,
        config: Arc<Config>,
        telemetry: Arc<Telemetry>,
        mut trigger: Trigger,
    ) {
        let reloads = &telemetry.metrics.reloads;
        reloads.good(Reloaded::ServingCertificate);
        let interval = if config.tls.is_some() { RELOAD_INTERVAL } else { RENEW_INTERVAL };
        let mut seen = config.tls.as_ref().map(contents);
        let mut is_good = true;
        loop {
            trigger.next(interval).await;
            let now = match &config.tls {
                Some(files) => Some(settled(files, seen.as_ref()).await),
                None => None,
            };
            if now.is_some() && now == seen {
                if is_good {
                    reloads.good(Reloaded::ServingCertificate);
                }
                continue;
            }
            match current(&config) {
                Ok(key) => {
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
                    tracing::info!("serving with a new certificate");
                    reloads.taken(Reloaded::ServingCertificate);
                    is_good = true;
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "kept the old certificate");
                    reloads.failed(Reloaded::ServingCertificate);
                    is_good = false;
                }
            }
            seen = now;
        }
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The configuration of every client connection.
pub(super) fn server_config(identity: Arc<ServerIdentity>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
    let mut config = builder.map_err(TlsError::Pair)?.with_no_client_auth().with_cert_resolver(identity);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Stateless tickets, one a handshake: clients resume on any worker, and one is all that they use.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Pair)?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// The one cryptography provider of the process. It offers AES with 128 bits first, as Go's clients do: its hash is
/// SHA-256, for which processors have instructions, where that of AES with 256 bits is a quarter of a handshake.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    let make = || {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        Arc::new(provider)
    };
    Arc::clone(PROVIDER.get_or_init(make))
}

fn current(config: &Config) -> Result<Arc<CertifiedKey>, TlsError> {
    let (chain, key) = match &config.tls {
        Some(files) => read(files)?,
        None => {
            let names =
                self_signed::names(config.listen.ip(), config.server_url.as_deref(), &config.server_names);
            self_signed::identity(&config.data_dir, &names)?
        }
    };
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(TlsError::Pair)
}

fn read(files: &TlsFiles) -> Result<Identity, TlsError> {
    let pem = |path: &Path| fs::read(path).map_err(|error| TlsError::Read(path.to_owned(), error));
    let bad = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::Pem(path, error)
    };
    let chain = pem(&files.certificate)?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(bad(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_slice(&pem(&files.key)?).map_err(bad(&files.key))?;
    Ok((chain, key))
}

type Contents = (Option<Vec<u8>>, Option<Vec<u8>>);

/// What is in the files now, or, if that is something else than before, when it no longer changes.
async fn settled(files: &TlsFiles, before: Option<&Contents>) -> Contents {
    let mut last = contents(files);
    for _ in 0..SETTLING_READINGS {
        if before == Some(&last) {
            break;
        }
        tokio::time::sleep(SETTLING).await;
        let now = contents(files);
        if now == last {
            break;
        }
        last = now;
    }
    last
}

fn contents(files: &TlsFiles) -> Contents {
    (fs::read(&files.certificate).ok(), fs::read(&files.key).ok())
}
