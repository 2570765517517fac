//! One client connection, from the TLS handshake to its end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
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
    let limits = &context.dispatch.gate.limits;
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
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(context, stream, address, permit).await;
    } else {
        serve_http1(context, stream, address, permit).await;
    }
}

async fn serve_http1(
    context: Context,
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let limits = &context.dispatch.gate.limits;
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
    let service = service_fn(|request: Request<Incoming>| answer(&context, &client, request));
    let connection = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
    run(
        pin!(connection),
        &client,
        None,
        context.draining.clone(),
        hyper::server::conn::http1::UpgradeableConnection::graceful_shutdown,
    )
    .await;
}

async fn serve_http2(
    context: Context,
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let limits = &context.dispatch.gate.limits;
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
        let (context, client, activity) = (context.clone(), Arc::clone(&client), Arc::clone(&activity));
        move |request: Request<Incoming>| {
            let (context, client, busy) = (context.clone(), Arc::clone(&client), activity.begin());
            async move {
                let answer = answer(&context, &client, request).await?;
                Ok::<_, std::convert::Infallible>(answer.map(|body| busy.until_passed(body)))
            }
        }
    });
    let connection = builder.serve_connection(TokioIo::new(io), service);
    run(
        pin!(connection),
        &client,
        Some((&activity, limits.idle_timeout)),
        context.draining.clone(),
        hyper::server::conn::http2::Connection::graceful_shutdown,
    )
    .await;
}

async fn answer(
    context: &Context,
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> Result<http::Response<crate::proxy::GateBody>, std::convert::Infallible> {
    Ok(dispatch(&context.dispatch, client, request).await)
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

/// Drives a connection to its end; asks it once to end when it, or the whole server, is to. With `idle` that is also
/// when nothing was under way for so long, and who does not take his leave then is not waited for.
async fn run<C>(
    mut connection: Pin<&mut C>,
    client: &Client,
    idle: Option<(&Activity, Duration)>,
    mut draining: watch::Receiver<bool>,
    shut_down: impl Fn(Pin<&mut C>),
) where
    C: Future<Output = hyper::Result<()>>,
{
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = client.hang_up.notified() => return,
        () = client.go_away.notified() => None,
        () = quiet(idle) => None,
        // An error means that the server is gone altogether.
        _ = draining.wait_for(|draining| *draining) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        shut_down(connection.as_mut());
        let farewell = idle.map(|(activity, _)| {
            activity.touch();
            (activity, FAREWELL)
        });
        tokio::select! {
            ended = connection => ended,
            () = client.hang_up.notified() => Ok(()),
            () = quiet(farewell) => Ok(()),
        }
    };
    if let Err(error) = ended {
        tracing::debug!(address = %client.address, %error, "client connection ended");
    }
}

/// Waits until nothing was under way for so long.
async fn quiet(idle: Option<(&Activity, Duration)>) {
    match idle {
        Some((activity, limit)) => activity.quiet_for(limit).await,
        None => std::future::pending().await,
    }
}
