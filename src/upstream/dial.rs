//! New connections to an endpoint: TCP, TLS verified against the cluster's CA, and the protocol by ALPN.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::UpstreamError;
use crate::cluster::Endpoint;
use crate::config::LiveConfig;

pub(super) type Tls = TlsStream<TcpStream>;

/// When a silent peer is given up, as far as the network can tell: a tunnel has no ping of its own.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

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
    Http2(Tls),
    Http1(Tls),
}

/// Dials one endpoint.
pub(super) struct Dialer {
    endpoint: Arc<Endpoint>,
    config: LiveConfig,
    /// The longest that an attempt takes, whatever the configuration says.
    patience: Duration,
    /// One client configuration for each offer: a session can be resumed only within one.
    http2: TlsConnector,
    http1: TlsConnector,
}

impl Dialer {
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        tls: &ClientConfig,
        config: LiveConfig,
        patience: Duration,
    ) -> Self {
        let with = |protocols: &[&[u8]]| {
            let mut tls = tls.clone();
            tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(tls))
        };
        let (http2, http1) = (with(&[b"h2", b"http/1.1"]), with(&[b"http/1.1"]));
        Self { endpoint, config, patience, http2, http1 }
    }

    pub(super) async fn dial(&self, offer: Offer) -> Result<Dialled, UpstreamError> {
        let attempt = self.endpoint.attempts.begin().await.ok_or(UpstreamError::BackingOff)?;
        let limit = self.config.current().limits.connect_timeout.min(self.patience);
        let result = tokio::time::timeout(limit, self.connect(offer)).await;
        let result = result.unwrap_or(Err(UpstreamError::ConnectTimeout));
        attempt.end(result.is_ok());
        result
    }

    async fn connect(&self, offer: Offer) -> Result<Dialled, UpstreamError> {
        let endpoint = &self.endpoint;
        let connector = match offer {
            Offer::Http2OrHttp1 => &self.http2,
            Offer::Http1 => &self.http1,
        };
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
        let tcp = tcp.map_err(UpstreamError::Connect)?;
        tune(&tcp).map_err(UpstreamError::Connect)?;
        let tls = connector.connect(endpoint.server_name.clone(), tcp).await.map_err(UpstreamError::Tls)?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(if http2 { Dialled::Http2(tls) } else { Dialled::Http1(tls) })
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

/// Nothing panics while it holds one of these locks, and what they guard is whole at every moment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
