//! One client connection, from the TLS handshake to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::client_io::ClientIo;
use super::dispatch::{Dispatch, dispatch};
use crate::proxy::{Client, MessageCheck};

/// Receive windows for clients' bodies; the connection's lets one upload not starve the others.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a client that was told to go may take to do so while it has no request under way.
const FAREWELL: Duration = Duration::from_secs(1);
/// The same when the server goes down. On HTTP/1 a client can be told only in an answer: within this time it may ask once
/// more, so that none has a request on the way when its connection is closed.
const LAST_FAREWELL: Duration = Duration::from_secs(5);
/// The library's own bounds on a header: above ours, so that it is we who refuse, with a reason, and still bounds.
const LIBRARY_FACTOR: usize = 2;

/// What all connections of a worker share.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) dispatch: Arc<Dispatch>,
    pub(super) acceptor: TlsAcceptor,
    /// Becomes true when connections are to end after the requests they have.
    pub(super) draining: watch::Receiver<bool>,
}

/// What the requests of a connection share.
struct Served {
    dispatch: Arc<Dispatch>,
    client: Arc<Client>,
    activity: Arc<Activity>,
    /// On HTTP/1.1: the client is to be told in the next answer that it is the last.
    is_leaving: AtomicBool,
}

/// Serves one connection to its end.
pub(super) async fn serve(
    context: Context,
    stream: TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    // In a box that goes when it is done: a connection would have room for it for as long as it lasts.
    let Some(stream) = Box::pin(shake_hands(&context, stream, address)).await else { return };
    // By what the client asked for, never by a look at its first bytes: a client that sends nothing would be waited for.
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(context, stream, address, permit).await;
    } else {
        serve_http1(context, stream, address, permit).await;
    }
}

async fn shake_hands(
    context: &Context,
    stream: TcpStream,
    address: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    let limit = context.dispatch.gate.limits.current().tls_handshake_timeout;
    match tokio::time::timeout(limit, context.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "TLS handshake took too long");
            None
        }
    }
}

/// Like [`serve_http2`] it makes the connection before it waits for anything: an asynchronous function keeps what it was
/// given beside what it makes of it.
fn serve_http1(
    context: Context,
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> impl Future<Output = ()> {
    let limits = context.dispatch.gate.limits.current();
    let head = limits.max_header_bytes * LIBRARY_FACTOR;
    let io = ClientIo::http1(stream, head, limits.first_byte_timeout, limits.header_timeout);
    let served = Served::new(&context, address, io.check(), permit);
    let idle_timeout = limits.idle_timeout;
    let mut builder = http1::Builder::new();
    builder
        // A head that has begun has its deadline in `ClientIo`; between two requests, `idle_timeout` bounds the time.
        .header_read_timeout(None)
        .max_headers(limits.max_headers * LIBRARY_FACTOR)
        .max_header_size(head);
    let service = service_fn({
        let served = Arc::clone(&served);
        move |request: Request<Incoming>| {
            let (served, busy) = (Arc::clone(&served), served.activity.begin());
            // Boxed, as the library keeps room for one of these for as long as the connection lasts; and begun in its
            // box, as it would be moved into it otherwise.
            Box::pin(async move {
                let mut answer = dispatch(&served.dispatch, &served.client, request).await;
                let is_leaving = served.is_leaving.load(Ordering::Relaxed);
                if is_leaving && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer.map(|body| busy.until_passed(body)))
            })
        }
    });
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(io), service).with_upgrades());
    let mut draining = context.draining;
    async move {
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = served.client.hang_up.notified() => return,
            () = served.rests(idle_timeout, &mut draining) => {
                // The library closes it at once.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        served.note_end(ended);
    }
}

fn serve_http2(
    context: Context,
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> impl Future<Output = ()> {
    let limits = context.dispatch.gate.limits.current();
    let idle_timeout = limits.idle_timeout;
    let io = ClientIo::http2(stream, limits.first_byte_timeout);
    let served = Served::new(&context, address, io.check(), permit);
    let header_list = u32::try_from(limits.max_header_bytes * LIBRARY_FACTOR).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams_per_connection)
        .max_header_list_size(header_list)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let service = service_fn({
        let served = Arc::clone(&served);
        move |request: Request<Incoming>| {
            let (served, busy) = (Arc::clone(&served), served.activity.begin());
            // Boxed, as the library moves what it is given several times before it runs.
            Box::pin(async move {
                let answer = dispatch(&served.dispatch, &served.client, request).await;
                Ok::<_, Infallible>(answer.map(|body| busy.until_passed(body)))
            })
        }
    });
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(io), service));
    let mut draining = context.draining;
    async move {
        let Served { client, activity, .. } = &*served;
        let farewell = tokio::select! {
            ended = connection.as_mut() => return served.note_end(ended),
            () = client.hang_up.notified() => return,
            () = client.go_away.notified() => FAREWELL,
            () = activity.quiet_for(idle_timeout) => FAREWELL,
            _ = draining.wait_for(|draining| *draining) => LAST_FAREWELL,
        };
        // GOAWAY, and once the client has heard of it another one that names the last request that is served (RFC 9113,
        // 6.8).
        connection.as_mut().graceful_shutdown();
        activity.touch();
        tokio::select! {
            ended = connection => served.note_end(ended),
            () = client.hang_up.notified() => {}
            // Who does not take his leave is not waited for.
            () = activity.quiet_for(farewell) => {}
        }
    }
}

impl Served {
    fn new(
        context: &Context,
        address: SocketAddr,
        messages: Arc<MessageCheck>,
        permit: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let dispatch = Arc::clone(&context.dispatch);
        let gauge = dispatch.gate.telemetry.metrics.open_client_connection();
        let client = Arc::new(Client::new(address, messages, permit, gauge));
        Arc::new(Self { dispatch, client, activity: Activity::new(), is_leaving: AtomicBool::new(false) })
    }

    /// Waits until an HTTP/1.1 connection is idle and may be closed: for long, or for a shorter time once the server goes
    /// down and says so in its answers.
    async fn rests(&self, idle_timeout: Duration, draining: &mut watch::Receiver<bool>) {
        tokio::select! {
            () = self.activity.quiet_for(idle_timeout) => return,
            // An error means that the server is gone altogether.
            _ = draining.wait_for(|draining| *draining) => {}
        }
        self.is_leaving.store(true, Ordering::Relaxed);
        self.activity.touch();
        self.activity.quiet_for(LAST_FAREWELL).await;
    }

    fn note_end(&self, ended: hyper::Result<()>) {
        if let Err(error) = ended {
            tracing::debug!(address = %self.client.address, %error, "client connection ended");
        }
    }
}
