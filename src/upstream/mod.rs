//! The connections to a cluster, and sending requests on them. One [`Upstream`] a worker and cluster; nothing here is
//! shared between workers.

mod body;
mod dial;
mod headers;
mod http1;
mod http2;
mod impersonation;
mod pool;
mod request;
mod upgrade;

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

pub use body::{RequestBody, ResponseBody};
pub use headers::{HeaderError, SanitizedHeaders, sanitize, sanitize_response};
pub use impersonation::{AskedError, AskedImpersonation};
pub use request::UpstreamRequest;
pub use upgrade::Upgrade;

use crate::cluster::Cluster;
use crate::config::Limits;
use crate::telemetry::Telemetry;
use pool::{Lease, Pool};

/// One worker's way to one cluster.
pub struct Upstream {
    cluster: Arc<Cluster>,
    pool: Pool,
}

/// What kind of connection a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Over soon: shares HTTP/2 connections with its like.
    Short,
    /// Lasts (a watch, a log that is followed): on connections of its kind.
    Long,
    /// Becomes something other than HTTP: an HTTP/1.1 connection of its own that is never used again.
    Tunnel,
}

/// Why a cluster gave no answer. Never the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No TCP connection.
    #[error("can't connect to the cluster")]
    Connect(#[source] io::Error),
    /// No answer to the attempt to connect.
    #[error("connecting to the cluster took too long")]
    ConnectTimeout,
    /// The last attempt failed a moment ago; the next one waits.
    #[error("the cluster was unreachable a moment ago")]
    BackingOff,
    /// Not the cluster it should be, or no TLS at all.
    #[error("TLS with the cluster failed")]
    Tls(#[source] io::Error),
    /// The cluster insists on HTTP/2 where HTTP/1.1 was asked for.
    #[error("the cluster does not speak HTTP/1.1")]
    ProtocolNotOffered,
    /// The connection failed, or what came on it was not HTTP.
    #[error("the exchange with the cluster failed")]
    Http(#[source] hyper::Error),
}

impl Upstream {
    /// Opens nothing yet.
    pub fn new(cluster: Arc<Cluster>, limits: &Limits, telemetry: &Arc<Telemetry>) -> Self {
        Self { pool: Pool::new(Arc::clone(&cluster), limits, telemetry), cluster }
    }

    /// The cluster that requests go to.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Sends `request` and waits for the head of the answer. A request without a body that the cluster has provably
    /// not processed is sent once more; no other is.
    pub async fn send(
        &self,
        request: UpstreamRequest,
        class: Class,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let copy = request.copy();
        match self.attempt(request, class).await {
            Ok(response) => Ok(response),
            Err(Failed { unprocessed: true, error }) => match copy {
                Some(copy) => {
                    tracing::debug!(%error, "sending once more what the cluster did not process");
                    self.attempt(copy, class).await.map_err(|failed| failed.error)
                }
                None => Err(error),
            },
            Err(failed) => Err(failed.error),
        }
    }

    async fn attempt(
        &self,
        request: UpstreamRequest,
        class: Class,
    ) -> Result<Response<ResponseBody>, Failed> {
        let mut lease = self.pool.acquire(class).await.map_err(Failed::before_sending)?;
        let sent = match &mut lease {
            Lease::Http2(lease) => lease.sender().try_send_request(request.into_http2(&self.cluster)).await,
            Lease::Http1(lease) => {
                let sender = lease.sender();
                sender
                    .ready()
                    .await
                    .map_err(|error| Failed { unprocessed: true, error: UpstreamError::Http(error) })?;
                sender.try_send_request(request.into_http1(&self.cluster)).await
            }
        };
        let response: Response<Incoming> = sent.map_err(Failed::from)?;
        Ok(response.map(|incoming| ResponseBody::new(incoming, lease)))
    }
}

/// An attempt that gave no answer.
struct Failed {
    /// The cluster has certainly done nothing.
    unprocessed: bool,
    error: UpstreamError,
}

impl Failed {
    /// Without a connection there is nothing to gain from a second attempt at once.
    fn before_sending(error: UpstreamError) -> Self {
        Self { unprocessed: false, error }
    }
}

impl From<TrySendError<Request<RequestBody>>> for Failed {
    fn from(mut failed: TrySendError<Request<RequestBody>>) -> Self {
        let unsent = failed.take_message().is_some();
        let error = failed.into_error();
        Self { unprocessed: unsent || is_refused(&error), error: UpstreamError::Http(error) }
    }
}

/// Whether the peer says that it has not processed the stream: `REFUSED_STREAM`, or a GOAWAY without an error, which
/// reaches only the streams above its last stream id (RFC 9113, 6.8 and 8.7).
fn is_refused(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        let refused =
            cause.is_reset() && cause.is_remote() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        refused || (cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR))
    })
}
