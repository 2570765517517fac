//! The stub's HTTP/1.1, byte by byte.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::super::message::{Broken, Head, Lines, Reader, value};
use super::{Answer, Connection, Cut, Framing, Reply, Seen, Shared};

/// A connection in the hands of a test, right after a request's head.
pub(crate) struct RawConnection {
    reader: Reader<TlsStream<TcpStream>>,
    connection: Arc<Connection>,
    shared: Arc<Shared>,
}

impl RawConnection {
    /// Sends exactly these bytes, in one TLS record if they fit.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The gate may have hung up: what it did is for the test to judge.
        let _ = self.reader.stream.write_all(bytes).await;
        let _ = self.reader.stream.flush().await;
    }

    /// The next bytes of the gate; empty when it has closed.
    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        let bytes = self.reader.some().await;
        self.note();
        bytes
    }

    /// Exactly the next `length` bytes of the gate, or fewer if it closes.
    pub(crate) async fn receive_exactly(&mut self, length: usize) -> Vec<u8> {
        let bytes = self.reader.exactly(length).await.unwrap_or_else(|(part, _)| part);
        self.note();
        bytes
    }

    /// Reads until the gate closes.
    pub(crate) async fn drain(&mut self) {
        while !self.receive().await.is_empty() {}
    }

    /// Ends our direction in order and leaves the other one open.
    pub(crate) async fn finish(&mut self) {
        let _ = self.reader.stream.shutdown().await;
    }

    fn note(&mut self) {
        self.connection.received.lock().unwrap().append(&mut self.reader.log);
        self.shared.changed();
    }
}

pub(super) async fn serve(
    shared: Arc<Shared>,
    number: usize,
    connection: Arc<Connection>,
    stream: TlsStream<TcpStream>,
) {
    let mut raw = RawConnection { reader: Reader::new(stream), connection, shared: Arc::clone(&shared) };
    loop {
        let head = raw.reader.head().await;
        raw.note();
        let head = match head {
            Ok(Some(head)) => head,
            Ok(None) | Err(Broken::Closed | Broken::Failed(_)) => return,
            Err(Broken::Malformed(what)) => return shared.violated(what),
        };
        let Some(request) = request(number, &head) else { return shared.violated(head.first_line) };
        let (seen, answer) = shared.arrived(request);
        match answer {
            Answer::Reply(reply) => {
                if !body(&mut raw, &shared, &seen).await || !reply_with(&mut raw, &seen, &reply).await {
                    return;
                }
            }
            Answer::Considered(consider) => {
                if !body(&mut raw, &shared, &seen).await
                    || !reply_with(&mut raw, &seen, &consider(&seen)).await
                {
                    return;
                }
            }
            Answer::Http1(handler) => return handler(raw).await,
            Answer::Http2(_) => return shared.violated("HTTP/1.1 where HTTP/2 was expected".to_owned()),
            Answer::Silence => return raw.drain().await,
        }
    }
}

fn request(connection: usize, head: &Head) -> Option<Seen> {
    let words: Vec<&str> = head.first_line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { return None };
    Some(Seen {
        connection,
        method: method.to_owned(),
        target: target.to_owned(),
        lines: head.lines.clone(),
        body: Mutex::default(),
    })
}

/// Reads the request's body; false if it never became whole.
async fn body(raw: &mut RawConnection, shared: &Shared, seen: &Seen) -> bool {
    let body = match (value(&seen.lines, "transfer-encoding"), value(&seen.lines, "content-length")) {
        (None, None) => Ok((Vec::new(), Lines::new())),
        (None, Some(length)) => match length.parse() {
            Ok(length) => raw.reader.exactly(length).await.map(|body| (body, Lines::new())),
            Err(_) => Err((Vec::new(), Broken::Malformed(format!("content-length {length:?}")))),
        },
        (Some("chunked"), None) => raw.reader.chunked().await,
        both => Err((Vec::new(), Broken::Malformed(format!("ambiguous framing {both:?}")))),
    };
    raw.note();
    match body {
        Ok((body, trailers)) => {
            shared.body_arrived(seen, body, trailers);
            true
        }
        Err((_, Broken::Malformed(what))) => {
            shared.violated(what);
            false
        }
        Err(_) => false,
    }
}

/// Sends the response; false if the connection ends with it.
async fn reply_with(raw: &mut RawConnection, seen: &Seen, reply: &Reply) -> bool {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.lines {
        head += &format!("{name}: {value}\r\n");
    }
    let has_body = seen.method != "HEAD" && !matches!(reply.status, 100..=199 | 204 | 304);
    match reply.framing {
        _ if !has_body => {}
        Framing::Length => head += &format!("content-length: {}\r\n", reply.body.len()),
        Framing::Chunked => head += "transfer-encoding: chunked\r\n",
        Framing::Close => head += "connection: close\r\n",
    }
    let mut bytes = (head + "\r\n").into_bytes();
    if has_body {
        bytes.extend(framed(reply));
    }
    raw.send(&bytes).await;
    match reply.cut {
        Some(Cut::Orderly(_)) => raw.finish().await,
        None if reply.framing == Framing::Close => raw.finish().await,
        _ => {}
    }
    reply.cut.is_none() && reply.framing != Framing::Close
}

fn framed(reply: &Reply) -> Vec<u8> {
    let body = reply.sent_body();
    if reply.framing != Framing::Chunked {
        return body.to_vec();
    }
    let mut bytes = Vec::new();
    for chunk in body.chunks(1000) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    if reply.cut.is_none() {
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in &reply.trailers {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
