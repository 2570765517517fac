//! A stream through a gate, with both of its ends in the hands of a test.

use std::time::Instant;

use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_rustls::client::TlsStream;

use super::message::{Broken, Reader, text};
use super::rig::Rig;
use super::stub::{Answer, Stub, send_data};
use super::within;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// The client's end.
pub(crate) struct Live {
    end: ClientEnd,
    /// The stub's end.
    pub(crate) upstream: UpstreamEnd,
}

enum ClientEnd {
    Http1(Box<Reader<TlsStream<TcpStream>>>),
    Http2(h2::RecvStream, Vec<u8>),
}

/// The stub's end: what is sent into it goes to the gate as it is; dropping the sender ends the answer.
pub(crate) struct UpstreamEnd {
    pub(crate) sender: mpsc::UnboundedSender<Vec<u8>>,
    closed: watch::Receiver<bool>,
}

/// Where the stub puts the upstream ends of requests as they come.
pub(crate) struct Streams(Mutex<mpsc::UnboundedReceiver<UpstreamEnd>>);

/// How a stream ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The whole body from its beginning.
    pub(crate) body: Vec<u8>,
    /// `None` for an answer that is complete.
    pub(crate) broken: Option<Broken>,
    pub(crate) at: Instant,
}

impl Streams {
    /// From now on the stub answers every request with 200 and this content type, and leaves the body to the test.
    pub(crate) fn of(
        stub: &Stub,
        content_type: impl Fn(&str) -> &'static str + Send + Sync + 'static,
    ) -> Self {
        let (opened, streams) = mpsc::unbounded_channel();
        stub.answer_with(move |seen| {
            let (sender, mut bytes) = mpsc::unbounded_channel::<Vec<u8>>();
            let (closing, closed) = watch::channel(false);
            let _ = opened.send(UpstreamEnd { sender, closed });
            let content_type = content_type(&seen.target);
            if !seen.values(":scheme").is_empty() {
                return Answer::http2(async move |mut stream| {
                    let head =
                        http::Response::builder().header("content-type", content_type).body(()).unwrap();
                    let Ok(mut sender) = stream.respond.send_response(head, false) else { return };
                    loop {
                        let next = tokio::select! {
                            next = bytes.recv() => next,
                            _ = std::future::poll_fn(|cx| sender.poll_reset(cx)) => break,
                        };
                        let (part, end) = next.map_or((Vec::new(), true), |part| (part, false));
                        if end {
                            let _ = sender.send_data(Vec::new().into(), true);
                            break;
                        }
                        if !send_data(&mut sender, &part, false).await {
                            break;
                        }
                    }
                    closing.send_replace(true);
                });
            }
            Answer::http1(async move |mut connection| {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
                );
                connection.send(head.as_bytes()).await;
                loop {
                    let next = tokio::select! {
                        next = bytes.recv() => next,
                        received = connection.receive() => {
                            if received.is_empty() {
                                break;
                            }
                            continue;
                        }
                    };
                    let Some(part) = next else {
                        connection.send(b"0\r\n\r\n").await;
                        break;
                    };
                    let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
                    chunk.extend(part);
                    chunk.extend(b"\r\n");
                    connection.send(&chunk).await;
                }
                closing.send_replace(true);
            })
        });
        Self(Mutex::new(streams))
    }

    /// Opens a stream and waits until both ends have it.
    pub(crate) async fn open(&self, rig: &Rig, protocol: Protocol, target: &str, bearer: &str) -> Live {
        let authorization = format!("Bearer {bearer}");
        // One after the other, so that the ends belong together.
        let mut streams = self.0.lock().await;
        let end = match protocol {
            Protocol::Http1 => {
                let mut client = rig.http1().await;
                client
                    .send(format!(
                        "GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"
                    ))
                    .await;
                let head = within("a head", client.reader.head()).await.unwrap().unwrap();
                assert!(head.first_line.starts_with("HTTP/1.1 200"), "{head:?}");
                ClientEnd::Http1(Box::new(client.reader))
            }
            Protocol::Http2 => {
                let client = rig.http2().await;
                let lines = [("authorization", &*authorization)];
                let (response, _) = client.start("GET", target, &lines, true).await.unwrap();
                let response = within("a head", response).await.unwrap();
                assert_eq!(response.status(), 200);
                ClientEnd::Http2(response.into_body(), Vec::new())
            }
        };
        let upstream = within("the stub's end", streams.recv()).await.unwrap();
        Live { end, upstream }
    }
}

impl Live {
    /// Sends `bytes` from the stub and waits until the client has all of them.
    pub(crate) async fn pass(&mut self, bytes: &[u8]) {
        self.upstream.send(bytes);
        within("bytes at the client", self.until(bytes)).await;
    }

    /// Waits until `bytes` are somewhere in what has come.
    pub(crate) async fn until(&mut self, bytes: &[u8]) {
        let has = |body: &[u8]| body.windows(bytes.len()).any(|window| window == bytes);
        match &mut self.end {
            ClientEnd::Http1(reader) => {
                while !has(&reader.buffer) {
                    reader
                        .fill()
                        .await
                        .unwrap_or_else(|broken| panic!("{broken:?}: {:?}", text(&reader.buffer)));
                }
            }
            ClientEnd::Http2(stream, body) => {
                while !has(body) {
                    let data =
                        stream.data().await.unwrap_or_else(|| panic!("ended: {:?}", text(body))).unwrap();
                    stream.flow_control().release_capacity(data.len()).unwrap();
                    body.extend_from_slice(&data);
                }
            }
        }
    }

    /// Reads to the end, and waits until the gate has let go upstream.
    pub(crate) async fn ended(mut self) -> Ended {
        let ended = Self::read(self.end).await;
        self.upstream.closed().await;
        ended
    }

    async fn read(end: ClientEnd) -> Ended {
        within("the end of a stream", async {
            let (body, broken) = match end {
                ClientEnd::Http1(mut reader) => match reader.chunked().await {
                    Ok((body, _)) => (body, None),
                    Err((body, broken)) => (body, Some(broken)),
                },
                ClientEnd::Http2(mut stream, mut body) => loop {
                    match stream.data().await {
                        None => break (body, None),
                        Some(Err(error)) => break (body, Some(Broken::Failed(error.to_string()))),
                        Some(Ok(data)) => {
                            stream.flow_control().release_capacity(data.len()).unwrap();
                            body.extend_from_slice(&data);
                        }
                    }
                },
            };
            Ended { body, broken, at: Instant::now() }
        })
        .await
    }

    /// Gives up reading without leaving; the stub's end.
    pub(crate) fn held(self) -> (impl Sized, UpstreamEnd) {
        (self.end, self.upstream)
    }
}

impl UpstreamEnd {
    pub(crate) fn send(&self, bytes: &[u8]) {
        // A gate that has let go is for the test to see.
        let _ = self.sender.send(bytes.to_vec());
    }

    /// Waits until the gate has let go of the answer.
    pub(crate) async fn closed(&mut self) {
        within("the gate to let go upstream", self.closed.wait_for(|closed| *closed)).await.unwrap();
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }
}
