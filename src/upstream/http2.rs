//! A set of HTTP/2 connections to one endpoint, filled one after the other.
//!
//! One connection carries as many streams as its peer allows (100 on a kube-apiserver); the next request on it waits
//! without a word. So each connection is filled to four fifths of the limit that its peer has announced and then the
//! next one is opened. Spreading requests over all of them would cost more: frames of one connection share writes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::UpstreamError;
use super::body::RequestBody;
use super::dial::{Dialer, Dialled, Io, Offer, lock};
use crate::telemetry::{ConnectionGauge, Telemetry, UpstreamPool};

/// Receive windows: 4 MiB a stream let one LIST use a link with 100 ms of delay; the connection's must not be used up
/// by a few slow readers.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// A dead peer is found within the sum of both. client-go takes 45 seconds (kubernetes#65012); behind us wait many.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections of one worker to one endpoint for one kind of request.
pub(super) struct Http2Set {
    pool: UpstreamPool,
    max_header_bytes: u32,
    telemetry: Arc<Telemetry>,
    connections: Mutex<Vec<Arc<Connection>>>,
    /// One dial at a time: thousands of requests that arrive at once find the connection that the first of them opened.
    dialling: tokio::sync::Mutex<()>,
}

struct Connection {
    sender: SendRequest<RequestBody>,
    /// How many streams the peer allows at once.
    limit: AtomicUsize,
    in_use: AtomicUsize,
}

/// A place on a connection, given back when it is dropped.
pub(super) struct Http2Lease {
    set: Arc<Http2Set>,
    connection: Arc<Connection>,
}

/// What a set has to offer a request.
pub(super) enum Acquired {
    Http2(Http2Lease),
    /// The cluster speaks only HTTP/1.1; this is the connection that found it out.
    Http1(Box<Io>),
}

impl Http2Set {
    pub(super) fn new(pool: UpstreamPool, max_header_bytes: u32, telemetry: Arc<Telemetry>) -> Arc<Self> {
        let connections = Mutex::new(Vec::new());
        Arc::new(Self {
            pool,
            max_header_bytes,
            telemetry,
            connections,
            dialling: tokio::sync::Mutex::new(()),
        })
    }

    /// A place on the first connection that has one, or on a new connection.
    pub(super) async fn acquire(self: &Arc<Self>, dialer: &Dialer) -> Result<Acquired, UpstreamError> {
        if let Some(lease) = self.reserve() {
            return Ok(Acquired::Http2(lease));
        }
        // Boxed, as it is rare: every request would have room for it otherwise.
        Box::pin(self.acquire_new(dialer)).await
    }

    async fn acquire_new(self: &Arc<Self>, dialer: &Dialer) -> Result<Acquired, UpstreamError> {
        let _turn = self.dialling.lock().await;
        if let Some(lease) = self.reserve() {
            return Ok(Acquired::Http2(lease));
        }
        match dialer.dial(Offer::Http2OrHttp1).await? {
            Dialled::Http1(io) => Ok(Acquired::Http1(Box::new(io))),
            Dialled::Http2(io) => {
                let connection = self.open(io).await?;
                connection.in_use.fetch_add(1, Ordering::Relaxed);
                lock(&self.connections).push(Arc::clone(&connection));
                Ok(Acquired::Http2(Http2Lease { set: Arc::clone(self), connection }))
            }
        }
    }

    fn reserve(self: &Arc<Self>) -> Option<Http2Lease> {
        let mut connections = lock(&self.connections);
        // A connection that has been told to go away still serves its streams; it just takes no new ones.
        connections.retain(|connection| !connection.sender.is_closed());
        let connection = connections.iter().find(|connection| connection.has_room())?;
        connection.in_use.fetch_add(1, Ordering::Relaxed);
        Some(Http2Lease { set: Arc::clone(self), connection: Arc::clone(connection) })
    }

    async fn open(self: &Arc<Self>, io: Io) -> Result<Arc<Connection>, UpstreamError> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(self.max_header_bytes)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        let (sender, driver) = builder.handshake(io).await.map_err(UpstreamError::Http)?;
        let limit = AtomicUsize::new(driver.current_max_send_streams());
        let connection = Arc::new(Connection { sender, limit, in_use: AtomicUsize::new(0) });
        let gauge = self.telemetry.metrics.open_upstream_connection(self.pool);
        tokio::spawn(drive(driver, Arc::downgrade(&connection), gauge));
        Ok(connection)
    }

    /// Closes `connection` if it is idle and the others could take twice what they carry: it came with a crowd that
    /// has left. The margin keeps a load that hovers about one connection's limit from opening and closing another.
    fn shrink(&self, connection: &Arc<Connection>) {
        let mut connections = lock(&self.connections);
        let others = || connections.iter().filter(|other| !Arc::ptr_eq(other, connection));
        let (room, used) = others().fold((0, 0), |(room, used), other| {
            (room + other.capacity(), used + other.in_use.load(Ordering::Relaxed))
        });
        if connection.in_use.load(Ordering::Relaxed) == 0 && room > 0 && used * 2 <= room {
            connections.retain(|other| !Arc::ptr_eq(other, connection));
        }
    }
}

impl Connection {
    /// Four fifths of the peer's limit: requests that are queued inside the library but not yet sent count there too.
    fn capacity(&self) -> usize {
        (self.limit.load(Ordering::Relaxed).min(1 << 20) * 4 / 5).max(1)
    }

    fn has_room(&self) -> bool {
        self.in_use.load(Ordering::Relaxed) < self.capacity()
    }
}

impl Http2Lease {
    pub(super) fn sender(&self) -> SendRequest<RequestBody> {
        self.connection.sender.clone()
    }

    /// No new request gets a place on this connection. What is on it goes on.
    pub(super) fn retire(&self) {
        lock(&self.set.connections).retain(|other| !Arc::ptr_eq(other, &self.connection));
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        if self.connection.in_use.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.set.shrink(&self.connection);
        }
    }
}

/// Runs a connection until it ends, and keeps its limit of streams as its peer announces it: that figure is to be had
/// from this future alone.
async fn drive(
    mut driver: http2::Connection<Io, RequestBody, TokioExecutor>,
    connection: std::sync::Weak<Connection>,
    _gauge: ConnectionGauge,
) {
    let ended = poll_fn(|cx| {
        let ended = Pin::new(&mut driver).poll(cx);
        if let Some(connection) = connection.upgrade() {
            connection.limit.store(driver.current_max_send_streams(), Ordering::Relaxed);
        }
        ended
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "upstream connection ended");
    }
}
