//! The stub's HTTP/2.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::super::message::{Lines, text};
use super::{Answer, Cut, Reply, Seen, Shared};

/// A stream in the hands of a test, right after a request's head.
pub(crate) struct RawStream {
    pub(crate) respond: SendResponse<Bytes>,
    pub(crate) body: RecvStream,
    commands: mpsc::UnboundedSender<Command>,
}

enum Command {
    GoAwayGracefully,
    Drop,
}

impl RawStream {
    /// Refuses the stream as never processed.
    pub(crate) fn refuse(&mut self) {
        self.respond.send_reset(Reason::REFUSED_STREAM);
    }

    /// Drops the connection, as a crash does.
    pub(crate) fn crash(&self) {
        let _ = self.commands.send(Command::Drop);
    }

    /// Tells the gate to make no new streams on this connection.
    pub(crate) fn go_away(&self) {
        let _ = self.commands.send(Command::GoAwayGracefully);
    }
}

pub(super) async fn serve(shared: Arc<Shared>, number: usize, stream: TlsStream<TcpStream>) {
    let mut builder = Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(4 << 20);
    // An apiserver's limit.
    builder.max_header_list_size(256 << 10).max_concurrent_streams(100);
    let Ok(mut connection) = builder.handshake(stream).await else { return };
    let (commands, mut orders) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    tokio::spawn(handle(Arc::clone(&shared), number, request, respond, commands.clone()));
                }
                Some(Err(_)) | None => return,
            },
            order = orders.recv() => match order {
                Some(Command::GoAwayGracefully) => connection.graceful_shutdown(),
                Some(Command::Drop) | None => return,
            },
        }
    }
}

async fn handle(
    shared: Arc<Shared>,
    number: usize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    commands: mpsc::UnboundedSender<Command>,
) {
    let (parts, body) = request.into_parts();
    let mut lines = vec![];
    if let Some(scheme) = parts.uri.scheme_str() {
        lines.push((":scheme".to_owned(), scheme.to_owned()));
    }
    if let Some(authority) = parts.uri.authority() {
        lines.push((":authority".to_owned(), authority.to_string()));
    }
    lines.extend(lines_of(&parts.headers));
    let target = parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let method = parts.method.to_string();
    let (seen, answer) =
        shared.arrived(Seen { connection: number, method, target, lines, body: Mutex::default() });
    let mut stream = RawStream { respond, body, commands };
    match answer {
        Answer::Reply(reply) => {
            if let Some((body, trailers)) = collect(&mut stream.body).await {
                shared.body_arrived(&seen, body, trailers);
                reply_with(&mut stream, &seen, &reply).await;
                // As an apiserver does: the connection of a stranger is not to be gone on with.
                if reply.status == 401 {
                    stream.go_away();
                }
            }
        }
        Answer::Considered(consider) => {
            if let Some((body, trailers)) = collect(&mut stream.body).await {
                shared.body_arrived(&seen, body, trailers);
                reply_with(&mut stream, &seen, &consider(&seen)).await;
            }
        }
        Answer::Http2(handler) => handler(stream).await,
        Answer::Http1(_) => shared.violated("HTTP/2 where HTTP/1.1 was expected".to_owned()),
        Answer::Silence => {
            while let Some(Ok(_)) = stream.body.data().await {}
            // A stream that is let go of without an answer would be reset, which is one.
            let _ = std::future::poll_fn(|context| stream.respond.poll_reset(context)).await;
        }
    }
}

async fn collect(stream: &mut RecvStream) -> Option<(Vec<u8>, Lines)> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.ok()?;
        stream.flow_control().release_capacity(data.len()).ok()?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await.ok()?;
    Some((body, trailers.as_ref().map(lines_of).unwrap_or_default()))
}

async fn reply_with(stream: &mut RawStream, seen: &Seen, reply: &Reply) {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.lines {
        response = response.header(name, value);
    }
    let has_body = seen.method != "HEAD" && !matches!(reply.status, 204 | 304);
    if has_body && reply.framing == super::Framing::Length {
        response = response.header("content-length", reply.body.len());
    }
    let Ok(mut sender) = stream.respond.send_response(response.body(()).unwrap(), !has_body) else { return };
    if !has_body {
        return;
    }
    let ends = reply.cut.is_none() && reply.trailers.is_empty();
    if !send(&mut sender, reply.sent_body(), ends).await {
        return;
    }
    if reply.cut.is_some() {
        // A reset overtakes data that is still queued, and the library announces no flush.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    match reply.cut {
        Some(Cut::Orderly(_)) => sender.send_reset(Reason::INTERNAL_ERROR),
        Some(Cut::Connection(_)) => {
            let _ = stream.commands.send(Command::Drop);
        }
        None if !reply.trailers.is_empty() => {
            let _ = sender.send_trailers(headers_of(&reply.trailers));
        }
        None => {}
    }
}

/// Sends `bytes` as the peer's window lets it; false if the peer is gone.
pub(crate) async fn send(sender: &mut SendStream<Bytes>, bytes: &[u8], end: bool) -> bool {
    let mut rest = Bytes::copy_from_slice(bytes);
    while !rest.is_empty() {
        sender.reserve_capacity(rest.len());
        let Some(Ok(capacity)) = std::future::poll_fn(|context| sender.poll_capacity(context)).await else {
            return false;
        };
        let part = rest.split_to(capacity.min(rest.len()));
        if sender.send_data(part, end && rest.is_empty()).is_err() {
            return false;
        }
    }
    !bytes.is_empty() || !end || sender.send_data(Bytes::new(), true).is_ok()
}

/// A header map as lines.
pub(crate) fn lines_of(headers: &HeaderMap) -> Lines {
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

/// Lines as a header map.
pub(crate) fn headers_of(lines: &Lines) -> HeaderMap {
    let parse = |(name, value): &(String, String)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    lines.iter().map(parse).collect()
}
