//! One client connection, from the TLS handshake to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
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

/// Serves one connection to its end.
pub(super) async fn serve(
    context: Context,
    stream: TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let limits = context.dispatch.gate.limits.current();
    let handshake = tokio::time::timeout(limits.tls_handshake_timeout, context.acceptor.accept(stream)).await;
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%address, "TLS handshake took too long");
            return;
        }
    };
    // By what the client asked for, never by a look at its first bytes: a client that sends nothing would be waited for.
    // Each boxed, so that a connection has room for its own protocol and is not moved with it.
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        Box::pin(serve_http2(context, stream, address, permit)).await;
    } else {
        Box::pin(serve_http1(context, stream, address, permit)).await;
    }
}

async fn serve_http1(
    context: Context,
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let limits = context.dispatch.gate.limits.current();
    let head = limits.max_header_bytes * LIBRARY_FACTOR;
    let io = ClientIo::http1(stream, head, limits.first_byte_timeout, limits.header_timeout);
    let client = client(address, io.check(), permit, &context);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The library starts this timer when the last answer is out, so it is the time a connection may be idle; a head
        // that has begun has its own deadline in `ClientIo`.
        .header_read_timeout(limits.idle_timeout)
        .max_headers(limits.max_headers * LIBRARY_FACTOR)
        .max_header_size(head);
    let (activity, leaving) = (Activity::new(), AtomicBool::new(false));
    let (served, asking, is_leaving) = (&context.dispatch, &client, &leaving);
    let service = service_fn(|request: Request<Incoming>| {
        let busy = activity.begin();
        // Boxed, as the library keeps room for one of these for as long as the connection lasts; and begun in its box, as
        // it would be moved into it otherwise.
        Box::pin(async move {
            let mut answer = dispatch(served, asking, request).await;
            if is_leaving.load(Ordering::Relaxed) && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer.map(|body| busy.until_passed(body)))
        })
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service).with_upgrades());
    let mut draining = context.draining.clone();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = client.hang_up.notified() => return,
        () = async {
            // An error means that the server is gone altogether.
            let _ = draining.wait_for(|draining| *draining).await;
            leaving.store(true, Ordering::Relaxed);
            activity.touch();
            activity.quiet_for(LAST_FAREWELL).await;
        } => {
            // By now it is idle: the library closes it at once.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    note_end(&client, ended);
}

async fn serve_http2(
    context: Context,
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let limits = context.dispatch.gate.limits.current();
    let io = ClientIo::http2(stream, limits.first_byte_timeout);
    let client = client(address, io.check(), permit, &context);
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
    let activity = Activity::new();
    let service = service_fn({
        let (served, client, activity) =
            (Arc::clone(&context.dispatch), Arc::clone(&client), Arc::clone(&activity));
        move |request: Request<Incoming>| {
            let (served, client, busy) = (Arc::clone(&served), Arc::clone(&client), activity.begin());
            // Boxed, as the library moves what it is given several times before it runs.
            Box::pin(async move {
                let answer = dispatch(&served, &client, request).await;
                Ok::<_, Infallible>(answer.map(|body| busy.until_passed(body)))
            })
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut draining = context.draining.clone();
    let farewell = tokio::select! {
        ended = connection.as_mut() => return note_end(&client, ended),
        () = client.hang_up.notified() => return,
        () = client.go_away.notified() => FAREWELL,
        () = activity.quiet_for(limits.idle_timeout) => FAREWELL,
        _ = draining.wait_for(|draining| *draining) => LAST_FAREWELL,
    };
    // GOAWAY, and once the client has heard of it another one that names the last request that is served (RFC 9113, 6.8).
    connection.as_mut().graceful_shutdown();
    activity.touch();
    tokio::select! {
        ended = connection => note_end(&client, ended),
        () = client.hang_up.notified() => {}
        // Who does not take his leave is not waited for.
        () = activity.quiet_for(farewell) => {}
    }
}

fn client(
    address: SocketAddr,
    messages: Arc<MessageCheck>,
    permit: OwnedSemaphorePermit,
    context: &Context,
) -> Arc<Client> {
    let gauge = context.dispatch.gate.telemetry.metrics.open_client_connection();
    Arc::new(Client::new(address, messages, permit, gauge))
}

fn note_end(client: &Client, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(address = %client.address, %error, "client connection ended");
    }
}
