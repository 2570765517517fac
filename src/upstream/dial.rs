//! New connections to a cluster: TCP, TLS verified against the cluster's CA, and the protocol by ALPN.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::UpstreamError;
use crate::cluster::Cluster;

pub(super) type Io = TokioIo<TlsStream<TcpStream>>;

/// After a failed attempt nothing is dialled for this long, doubling up to the maximum: an apiserver that comes back
/// must not be greeted by everyone at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Which protocols to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// HTTP/2, or HTTP/1.1 if that is all the other side has.
    Http2OrHttp1,
    /// HTTP/1.1: the protocol that can be upgraded.
    Http1,
}

/// What the other side chose.
pub(super) enum Dialled {
    Http2(Io),
    Http1(Io),
}

/// Dials one cluster.
pub(super) struct Dialer {
    cluster: Arc<Cluster>,
    timeout: Duration,
    connectors: Mutex<Option<Connectors>>,
    failed: Mutex<Option<Failure>>,
}

/// One client configuration for each offer, made anew only when the cluster's changes: a session can be resumed only
/// within one configuration.
#[derive(Clone)]
struct Connectors {
    base: Arc<ClientConfig>,
    http2: TlsConnector,
    http1: TlsConnector,
}

#[derive(Clone, Copy)]
struct Failure {
    at: Instant,
    pause: Duration,
}

impl Dialer {
    pub(super) fn new(cluster: Arc<Cluster>, timeout: Duration) -> Self {
        Self { cluster, timeout, connectors: Mutex::new(None), failed: Mutex::new(None) }
    }

    pub(super) async fn dial(&self, offer: Offer) -> Result<Dialled, UpstreamError> {
        if let Some(failure) = *lock(&self.failed)
            && failure.at.elapsed() < failure.pause
        {
            return Err(UpstreamError::BackingOff);
        }
        let result = tokio::time::timeout(self.timeout, self.connect(offer)).await;
        let result = result.unwrap_or(Err(UpstreamError::ConnectTimeout));
        self.note(result.is_ok());
        result
    }

    async fn connect(&self, offer: Offer) -> Result<Dialled, UpstreamError> {
        let endpoint = self.cluster.endpoint();
        let connector = self.connector(offer);
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
        let tcp = tcp.map_err(UpstreamError::Connect)?;
        tcp.set_nodelay(true).map_err(UpstreamError::Connect)?;
        let tls = connector.connect(endpoint.server_name.clone(), tcp).await.map_err(UpstreamError::Tls)?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(if http2 { Dialled::Http2(TokioIo::new(tls)) } else { Dialled::Http1(TokioIo::new(tls)) })
    }

    fn connector(&self, offer: Offer) -> TlsConnector {
        let base = self.cluster.tls();
        let mut connectors = lock(&self.connectors);
        let current = match &*connectors {
            Some(current) if Arc::ptr_eq(&current.base, &base) => current,
            _ => connectors.insert(Connectors::new(base)),
        };
        match offer {
            Offer::Http2OrHttp1 => current.http2.clone(),
            Offer::Http1 => current.http1.clone(),
        }
    }

    fn note(&self, connected: bool) {
        let mut failed = lock(&self.failed);
        *failed = (!connected).then(|| {
            let pause = failed.map_or(FIRST_PAUSE, |last| (last.pause * 2).min(LONGEST_PAUSE));
            Failure { at: Instant::now(), pause }
        });
    }
}

impl Connectors {
    fn new(base: Arc<ClientConfig>) -> Self {
        let with = |protocols: &[&[u8]]| {
            let mut config = ClientConfig::clone(&base);
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        Self { http2: with(&[b"h2", b"http/1.1"]), http1: with(&[b"http/1.1"]), base }
    }
}

/// Nothing panics while it holds one of these locks, and what they guard is whole at every moment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
