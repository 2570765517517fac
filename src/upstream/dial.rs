//! New connections to an endpoint: TCP, TLS verified against the cluster's CA, and the protocol by ALPN.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::UpstreamError;
use crate::cluster::Endpoint;
use crate::config::LiveConfig;

pub(super) type Io = TokioIo<TlsStream<TcpStream>>;

/// After a failed attempt nothing is dialled for this long, doubling up to the maximum and give or take a quarter: an
/// apiserver that comes back must not be greeted by everyone at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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
    Http2(Io),
    Http1(Io),
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
    failed: Mutex<Option<Failure>>,
    /// Held by the one attempt that finds out whether the endpoint is back.
    scouting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy)]
struct Failure {
    at: Instant,
    /// As it doubles, and as it is kept.
    step: Duration,
    pause: Duration,
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
        let scouting = tokio::sync::Mutex::new(());
        Self { endpoint, config, patience, http2, http1, failed: Mutex::new(None), scouting }
    }

    pub(super) async fn dial(&self, offer: Offer) -> Result<Dialled, UpstreamError> {
        let failure = *lock(&self.failed);
        let _scout = match failure {
            None => None,
            Some(failure) if failure.at.elapsed() < failure.pause => return Err(UpstreamError::BackingOff),
            // A crowd that waits for one attempt is one attempt.
            Some(_) => Some(self.scouting.try_lock().map_err(|_| UpstreamError::BackingOff)?),
        };
        let limit = self.config.current().limits.connect_timeout.min(self.patience);
        let result = tokio::time::timeout(limit, self.connect(offer)).await;
        let result = result.unwrap_or(Err(UpstreamError::ConnectTimeout));
        self.note(result.is_ok());
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
        Ok(if http2 { Dialled::Http2(TokioIo::new(tls)) } else { Dialled::Http1(TokioIo::new(tls)) })
    }

    fn note(&self, connected: bool) {
        let mut failed = lock(&self.failed);
        *failed = (!connected).then(|| {
            let step = failed.map_or(FIRST_PAUSE, |last| (last.step * 2).min(LONGEST_PAUSE));
            Failure { at: Instant::now(), step, pause: jittered(step) }
        });
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

/// `span`, give or take a quarter. Every hasher of the standard library is keyed at random, which is random enough here.
fn jittered(span: Duration) -> Duration {
    let per_mille = RandomState::new().hash_one(0_u8) % 501;
    span * (750 + u32::try_from(per_mille).unwrap_or(0)) / 1000
}

/// Nothing panics while it holds one of these locks, and what they guard is whole at every moment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
