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
mod stream;
mod targets;
mod upgrade;

use std::io;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};
use hyper::client::conn::TrySendError;

use body::Either;
pub use body::{RequestBody, ResponseBody};
pub use headers::{HeaderError, SanitizedHeaders, sanitize, sanitize_response};
pub use impersonation::{AskedError, AskedImpersonation};
use request::Spare;
pub use request::UpstreamRequest;
pub use upgrade::Upgrade;

use crate::cluster::Cluster;
use crate::config::LiveConfig;
use crate::telemetry::Telemetry;
use pool::Connection;
use targets::{Lease, Target, Targets};

/// On how many more connections a request is tried that the cluster takes no more on: while our credential is refused it
/// ends each of them after its first answer.
const MAX_CONNECTIONS: u32 = 3;

/// One worker's way to one cluster.
pub struct Upstream {
    targets: Targets,
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

/// Whose word a 401 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answerer {
    /// The apiserver's: it is about our own credential, and nothing was done.
    Apiserver,
    /// That of an application behind a proxy subresource.
    Application,
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
    /// The cluster has certainly not done what was asked: it was not sent, or refused as a whole.
    #[error("the cluster did not take the request")]
    Unprocessed(#[source] TransportError),
    /// The request has a credential of its own, and by our client certificate the cluster would take it for ours.
    #[error("our client certificate would speak for a request with its own credential")]
    Certificate,
    /// The connection failed, or what came on it was not HTTP.
    #[error("the exchange with the cluster failed")]
    Http(#[from] TransportError),
    /// The same while something was only read: whoever asks again does nothing twice.
    #[error("reading from the cluster failed")]
    Read(#[source] TransportError),
}

/// What went wrong on a connection, as its protocol has it.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
    /// Nothing was received for too long, not even an answer to a ping.
    #[error("the peer is silent")]
    Silent,
}

impl Upstream {
    /// Opens nothing yet.
    pub fn new(cluster: Arc<Cluster>, config: &LiveConfig, telemetry: &Arc<Telemetry>) -> Self {
        Self { targets: Targets::new(cluster, config, telemetry) }
    }

    /// The cluster that requests go to.
    pub fn cluster(&self) -> &Arc<Cluster> {
        self.targets.cluster()
    }

    /// Sends `request` and waits for the head of the answer. A request without a body is sent again if the cluster has
    /// provably not processed it: because it says so, or, once, because it did not know our credential and there is a
    /// fresh one. No other is, unless nothing of it was sent at all.
    pub async fn send(
        &self,
        request: Box<UpstreamRequest>,
        class: Class,
        answerer: Answerer,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let request = self.undoubted(request).await;
        let spare = request.spare();
        // With another credential in its place it would be a request of our own, without an identity.
        let is_about_us = answerer == Answerer::Apiserver && request.shows_our_credential();
        let (response, generation) = self.deliver(request, spare.as_ref(), class).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !is_about_us {
            return Ok(response);
        }
        let Some(spare) = spare else { return Ok(response) };
        let Some(fresh) = self.cluster().fresher_than(spare.credential(), generation).await else {
            return Ok(response);
        };
        tracing::debug!("sending once more with a fresh credential");
        drop(response);
        let again = spare.again().with_credential(fresh);
        let spare = again.spare();
        let (response, _) = self.deliver(again, spare.as_ref(), class).await?;
        Ok(response)
    }

    /// The request with a credential that is not known to be refused, as far as there is one.
    async fn undoubted(&self, request: Box<UpstreamRequest>) -> Box<UpstreamRequest> {
        if !request.shows_our_credential() || !self.cluster().is_in_doubt() {
            return request;
        }
        // Boxed, as it is rare: every request would have room for it otherwise.
        let credential = Box::pin(self.cluster().after_doubt()).await;
        request.with_credential(credential)
    }

    /// The answer, and the generation of the way that it came.
    async fn deliver(
        &self,
        mut request: Box<UpstreamRequest>,
        spare: Option<&Spare>,
        class: Class,
    ) -> Result<(Response<ResponseBody>, u64), UpstreamError> {
        let mut tried = Vec::new();
        let mut repeats = 0;
        let Some(mut target) = self.targets.pick(&tried) else { return Err(UpstreamError::BackingOff) };
        loop {
            let lease = match target.acquire(class).await {
                Ok(lease) => lease,
                Err(error) => {
                    // Nothing was sent: any other endpoint is as good.
                    self.note_no_connection(&target, &error);
                    tried.push(target);
                    target = self.targets.pick(&tried).ok_or(error)?;
                    continue;
                }
            };
            // Now that there is a connection, whatever it was made with has been noted.
            if !request.shows_our_credential() && self.cluster().has_shown_certificate() {
                return Err(UpstreamError::Certificate);
            }
            let failed = match exchange(&target, lease, request).await {
                Ok(response) => {
                    target.endpoint.health.answered();
                    return Ok((response, target.generation));
                }
                Err(failed) => failed,
            };
            let refused = spare.filter(|_| failed.is_refused).map(Spare::again);
            let most = if failed.is_connection_over { MAX_CONNECTIONS } else { 1 };
            let Some(again) = failed.unsent.or(refused).filter(|_| repeats < most) else {
                return Err(failed.error);
            };
            tracing::debug!(error = %failed.error, "sending once more what the cluster did not process");
            repeats += 1;
            request = self.undoubted(again).await;
            tried.push(Arc::clone(&target));
            target = self.targets.pick(&tried).unwrap_or(target);
        }
    }

    fn note_no_connection(&self, target: &Target, error: &UpstreamError) {
        match error {
            // What is known already.
            UpstreamError::BackingOff => {}
            // Its authority, or our own certificate, may have been replaced.
            UpstreamError::Tls(_) => {
                self.cluster().read_again();
                target.endpoint.health.connecting_failed();
            }
            _ => target.endpoint.health.connecting_failed(),
        }
    }
}

/// One attempt to have `request` answered, on a connection that is there.
async fn exchange(
    target: &Target,
    mut lease: Lease,
    request: Box<UpstreamRequest>,
) -> Result<Response<ResponseBody>, Failed> {
    let is_read = request.is_read();
    let answer = match &mut lease.connection {
        Connection::Http2(http2) => {
            let answer = match http2.send(request.into_http2(&target.endpoint)) {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            let failed = |error| Failed::of_http2(error, is_read, target);
            let answer = answer.map(|response| response.map(Either::Http2)).map_err(failed);
            if answer.as_ref().is_err_and(|failed| failed.is_connection_over) {
                http2.retire();
            }
            answer?
        }
        Connection::Http1(http1) => {
            let sender = http1.sender();
            if let Err(error) = sender.ready().await {
                return Err(Failed::unsent(request, error));
            }
            let path = request.target().clone();
            let answer = sender.try_send_request(request.into_http1(&target.endpoint)).await;
            let failed = |error| Failed::of_http1(error, path, is_read, target);
            answer.map_err(failed)?.map(Either::Http1)
        }
    };
    Ok(answer.map(|received| ResponseBody::new(received, lease)))
}

/// An attempt that gave no answer.
struct Failed {
    /// What never left us.
    unsent: Option<Box<UpstreamRequest>>,
    /// The cluster says that it has done nothing.
    is_refused: bool,
    /// The cluster, or the connection itself, takes no more on it.
    is_connection_over: bool,
    error: UpstreamError,
}

impl Failed {
    fn unsent(request: Box<UpstreamRequest>, error: hyper::Error) -> Self {
        let error = UpstreamError::Unprocessed(error.into());
        Self { unsent: Some(request), is_refused: false, is_connection_over: true, error }
    }

    fn of_http1(
        mut failed: TrySendError<Request<RequestBody>>,
        path: PathAndQuery,
        is_read: bool,
        target: &Target,
    ) -> Self {
        let message = failed.take_message();
        let error = failed.into_error();
        if let Some(message) = message {
            return Self::unsent(UpstreamRequest::unsent(message, path), error);
        }
        // A body that the client did not finish is not the endpoint's fault.
        if !error.is_user() {
            target.endpoint.health.exchange_failed();
        }
        Self::unanswered(error.into(), is_read)
    }

    fn of_http2(error: h2::Error, is_read: bool, target: &Target) -> Self {
        if let Some(refusal) = refusal(&error) {
            let error = UpstreamError::Unprocessed(error.into());
            let is_connection_over = refusal == Refusal::Connection;
            return Self { unsent: None, is_refused: true, is_connection_over, error };
        }
        // A stream that we have reset ourselves is one whose body the client did not finish: not the endpoint's fault.
        if !error.is_reset() || error.is_remote() || error.is_library() {
            target.endpoint.health.exchange_failed();
        }
        Self::unanswered(error.into(), is_read)
    }

    fn unanswered(error: TransportError, is_read: bool) -> Self {
        let error = if is_read { UpstreamError::Read(error) } else { UpstreamError::Http(error) };
        Self { unsent: None, is_refused: false, is_connection_over: false, error }
    }
}

/// What the peer does not take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// This one request.
    Stream,
    /// Anything more on this connection.
    Connection,
}

/// Whether the peer says that it has not processed the stream: `REFUSED_STREAM`, or a GOAWAY without an error, which
/// reaches only the streams above its last stream id (RFC 9113, 6.8 and 8.7).
fn refusal(error: &h2::Error) -> Option<Refusal> {
    match error.reason().filter(|_| error.is_remote())? {
        h2::Reason::REFUSED_STREAM if error.is_reset() => Some(Refusal::Stream),
        h2::Reason::NO_ERROR if error.is_go_away() => Some(Refusal::Connection),
        _ => None,
    }
}
