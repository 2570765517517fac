//! Which connection to an endpoint a request gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::dial::{Dialer, Dialled, Offer};
use super::http1::{Http1Lease, Http1Pool};
use super::http2::{Acquired, Http2Lease, Http2Set};
use super::{Class, UpstreamError};
use crate::config::Limits;
use crate::telemetry::{Telemetry, UpstreamPool};

/// The connections of one worker to one endpoint.
pub(super) struct Pool {
    dialer: Dialer,
    /// For requests that are over soon.
    short: Arc<Http2Set>,
    /// For watches, logs and the like. Among short requests they would take up the streams that those wait for.
    long: Arc<Http2Set>,
    http1: Arc<Http1Pool>,
    /// The endpoint has answered that HTTP/1.1 is all it speaks.
    http1_only: AtomicBool,
}

/// A place on a connection for one request.
pub(super) enum Connection {
    Http2(Http2Lease),
    Http1(Http1Lease),
}

impl Pool {
    /// Of what `limits` says of headers no change is followed.
    pub(super) fn new(dialer: Dialer, limits: &Limits, telemetry: &Arc<Telemetry>) -> Self {
        let header_bytes = u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX);
        let set = |pool| Http2Set::new(pool, header_bytes, Arc::clone(telemetry));
        Self {
            dialer,
            short: set(UpstreamPool::Short),
            long: set(UpstreamPool::Long),
            http1: Http1Pool::new(limits.max_headers, limits.max_header_bytes, Arc::clone(telemetry)),
            http1_only: AtomicBool::new(false),
        }
    }

    pub(super) async fn acquire(&self, class: Class) -> Result<Connection, UpstreamError> {
        match class {
            Class::Tunnel => Box::pin(self.dial_http1(UpstreamPool::Tunnel)).await,
            Class::Short | Class::Long if self.http1_only.load(Ordering::Relaxed) => match self.http1.reuse()
            {
                Some(lease) => Ok(Connection::Http1(lease)),
                None => Box::pin(self.dial_http1(UpstreamPool::Http1)).await,
            },
            Class::Short => self.acquire_http2(&self.short).await,
            Class::Long => self.acquire_http2(&self.long).await,
        }
    }

    async fn acquire_http2(&self, set: &Arc<Http2Set>) -> Result<Connection, UpstreamError> {
        match set.acquire(&self.dialer).await? {
            Acquired::Http2(lease) => Ok(Connection::Http2(lease)),
            Acquired::Http1(io) => {
                self.http1_only.store(true, Ordering::Relaxed);
                Box::pin(self.http1.open(*io, UpstreamPool::Http1)).await.map(Connection::Http1)
            }
        }
    }

    async fn dial_http1(&self, pool: UpstreamPool) -> Result<Connection, UpstreamError> {
        match self.dialer.dial(Offer::Http1).await? {
            Dialled::Http1(io) => self.http1.open(io, pool).await.map(Connection::Http1),
            Dialled::Http2(_) => Err(UpstreamError::ProtocolNotOffered),
        }
    }
}
