//! A set of HTTP/2 connections to one endpoint, filled one after the other.
//!
//! One connection carries as many streams as its peer allows (100 on a kube-apiserver); the next request on it waits
//! without a word. So each connection is filled to four fifths of the limit that its peer has announced and then the
//! next one is opened. Spreading requests over all of them would cost more: frames of one connection share writes.

use std::future::{Future as _, pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong};
use http::Request;
use tokio::time::{sleep, timeout};

use super::body::RequestBody;
use super::dial::{Dialer, Dialled, Offer, Tls, lock};
use super::stream::{self, Answer};
use super::{TransportError, UpstreamError};
use crate::telemetry::{ConnectionGauge, Telemetry, UpstreamPool};

/// Receive windows: 4 MiB a stream let one LIST use a link with 100 ms of delay; the connection's must not be used up
/// by a few slow readers.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// How often it is looked whether anything was received. A peer that falls silent is asked at the second look after its last
/// word, and so found dead within twice this and the time that it has to answer: 20 seconds. client-go takes 45
/// (kubernetes#65012), and behind us wait many.
const LISTEN_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What a peer is taken to allow that has not said yet how many streams it does.
const STREAMS_BEFORE_SETTINGS: usize = 100;

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
    sender: SendRequest<Bytes>,
    /// How many streams the peer allows at once.
    limit: AtomicUsize,
    in_use: AtomicUsize,
    /// Something was received since this was looked at last.
    is_heard: AtomicBool,
}

/// A place on a connection, given back when it is dropped.
pub(super) struct Http2Lease {
    set: Arc<Http2Set>,
    connection: Arc<Connection>,
    sender: SendRequest<Bytes>,
}

/// What a set has to offer a request.
pub(super) enum Acquired {
    Http2(Http2Lease),
    /// The cluster speaks only HTTP/1.1; this is the connection that found it out.
    Http1(Box<Tls>),
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
        let _turn = self.dialling.lock().await;
        if let Some(lease) = self.reserve() {
            return Ok(Acquired::Http2(lease));
        }
        // Boxed, as it is rare: every request would have room for it otherwise, and thousands may wait for their turn.
        Box::pin(self.dial(dialer)).await
    }

    async fn dial(self: &Arc<Self>, dialer: &Dialer) -> Result<Acquired, UpstreamError> {
        match dialer.dial(Offer::Http2OrHttp1).await? {
            Dialled::Http1(io) => Ok(Acquired::Http1(Box::new(io))),
            Dialled::Http2(io) => {
                let connection = self.open(io).await?;
                connection.in_use.fetch_add(1, Ordering::Relaxed);
                lock(&self.connections).push(Arc::clone(&connection));
                let sender = connection.sender.clone();
                Ok(Acquired::Http2(Http2Lease { set: Arc::clone(self), connection, sender }))
            }
        }
    }

    fn reserve(self: &Arc<Self>) -> Option<Http2Lease> {
        let mut connections = lock(&self.connections);
        loop {
            let place = connections.iter().position(|connection| connection.has_room())?;
            let connection = connections.get(place)?;
            let mut sender = connection.sender.clone();
            // One that has been told to go away still serves its streams; it just takes no new ones.
            if !takes_requests(&mut sender) {
                connections.remove(place);
                continue;
            }
            connection.in_use.fetch_add(1, Ordering::Relaxed);
            return Some(Http2Lease { set: Arc::clone(self), connection: Arc::clone(connection), sender });
        }
    }

    async fn open(self: &Arc<Self>, io: Tls) -> Result<Arc<Connection>, UpstreamError> {
        let mut builder = client::Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(self.max_header_bytes);
        let (sender, driver) = builder.handshake(io).await.map_err(TransportError::from)?;
        let connection = Arc::new(Connection {
            sender,
            limit: AtomicUsize::new(driver.max_concurrent_send_streams()),
            in_use: AtomicUsize::new(0),
            is_heard: AtomicBool::new(false),
        });
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
    /// Sends `request`.
    pub(super) fn send(&mut self, request: Request<RequestBody>) -> Result<Answer, h2::Error> {
        stream::send(&mut self.sender, request)
    }

    /// Something was received.
    pub(super) fn note_heard(&self) {
        self.connection.is_heard.store(true, Ordering::Relaxed);
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

/// Whether the peer has not said that it takes no more, and the connection is not gone.
fn takes_requests(sender: &mut SendRequest<Bytes>) -> bool {
    matches!(sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
}

/// Runs a connection until it ends or its peer is silent, and keeps its limit of streams as its peer announces it: that
/// figure is to be had from this future alone.
async fn drive(
    mut driver: client::Connection<Tls, Bytes>,
    connection: Weak<Connection>,
    _gauge: ConnectionGauge,
) {
    let mut silence = pin!(silence(driver.ping_pong(), connection.clone()));
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = pin!(&mut driver).poll(cx) {
            return Poll::Ready(ended.map_err(TransportError::from));
        }
        if let Some(connection) = connection.upgrade() {
            connection.limit.store(driver.max_concurrent_send_streams(), Ordering::Relaxed);
        }
        silence.as_mut().poll(cx).map(|()| Err(TransportError::Silent))
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "upstream connection ended");
    }
}

/// Resolves when the peer has sent nothing from one look to the next, and nothing on being asked either.
async fn silence(pings: Option<PingPong>, connection: Weak<Connection>) {
    let Some(mut pings) = pings else { return pending().await };
    let is_heard =
        || connection.upgrade().is_some_and(|connection| connection.is_heard.swap(false, Ordering::Relaxed));
    loop {
        sleep(LISTEN_INTERVAL).await;
        if is_heard() {
            continue;
        }
        let mut pong = pin!(pings.ping(Ping::opaque()));
        loop {
            match timeout(PING_TIMEOUT, pong.as_mut()).await {
                Ok(Ok(_)) => break,
                // The connection has ended, and says so itself.
                Ok(Err(_)) => return pending().await,
                // Its answer is behind what is on the way already.
                Err(_) if is_heard() => {}
                Err(_) => return,
            }
        }
    }
}
