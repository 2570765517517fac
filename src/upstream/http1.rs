//! HTTP/1.1 connections to one endpoint: kept and used again where it has no HTTP/2, and one for each tunnel.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::body::RequestBody;
use super::dial::{Tls, lock};
use super::{TransportError, UpstreamError};
use crate::telemetry::{Telemetry, UpstreamPool};

/// Idle connections kept by one worker.
const MAX_IDLE: usize = 128;

/// The idle HTTP/1.1 connections of one worker to one endpoint.
pub(super) struct Http1Pool {
    max_headers: usize,
    max_header_bytes: usize,
    telemetry: Arc<Telemetry>,
    idle: Mutex<Vec<SendRequest<RequestBody>>>,
}

/// A connection that serves one request at a time.
pub(super) struct Http1Lease {
    /// Where the connection goes when its answer was read; `None` for a tunnel's. A peer that was asked to upgrade may
    /// go on in the other protocol whatever it answered (CVE-2018-1002105), so that one is never used again.
    pool: Option<Arc<Http1Pool>>,
    sender: SendRequest<RequestBody>,
}

impl Http1Pool {
    pub(super) fn new(max_headers: usize, max_header_bytes: usize, telemetry: Arc<Telemetry>) -> Arc<Self> {
        Arc::new(Self { max_headers, max_header_bytes, telemetry, idle: Mutex::new(Vec::new()) })
    }

    /// The connection that was used last, which is the likeliest to be still open.
    pub(super) fn reuse(self: &Arc<Self>) -> Option<Http1Lease> {
        let mut idle = lock(&self.idle);
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(Http1Lease { pool: Some(Arc::clone(self)), sender });
            }
        }
        None
    }

    /// Puts a new connection into service.
    pub(super) async fn open(
        self: &Arc<Self>,
        io: Tls,
        pool: UpstreamPool,
    ) -> Result<Http1Lease, UpstreamError> {
        let mut builder = http1::Builder::new();
        builder.max_headers(self.max_headers).max_header_size(self.max_header_bytes);
        let (sender, driver) = builder.handshake(TokioIo::new(io)).await.map_err(TransportError::from)?;
        let gauge = self.telemetry.metrics.open_upstream_connection(pool);
        let mut driver = driver.with_upgrades();
        // By hand: an asynchronous block has room for what it is given and once more for what it awaits.
        tokio::spawn(poll_fn(move |cx| {
            let _open = &gauge;
            let ended = ready!(Pin::new(&mut driver).poll(cx));
            if let Err(error) = ended {
                tracing::debug!(%error, "upstream connection ended");
            }
            Poll::Ready(())
        }));
        let home = (pool != UpstreamPool::Tunnel).then(|| Arc::clone(self));
        Ok(Http1Lease { pool: home, sender })
    }

    fn keep(&self, sender: SendRequest<RequestBody>) {
        let mut idle = lock(&self.idle);
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push(sender);
        }
    }
}

impl Http1Lease {
    pub(super) fn sender(&mut self) -> &mut SendRequest<RequestBody> {
        &mut self.sender
    }

    /// Keeps the connection for another request. Only for one whose answer was read to its end.
    pub(super) fn give_back(self) {
        let Self { pool: Some(pool), mut sender } = self else { return };
        if sender.is_ready() {
            return pool.keep(sender);
        }
        // The answer can be there before the request's body is: to another request that connection would be silent
        // until the body is through, which depends on a client, or has failed.
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                pool.keep(sender);
            }
        });
    }
}
