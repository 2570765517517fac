//! A client of our own where wrk and h2load can't tell what is to be known: HTTP/1.1 over TLS, one request at a time on a
//! connection, and as little work for each as can be.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::{self, Issued};

/// Where to, and whom to trust there.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// A connection that stays until somebody ends it.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    /// What was received of the answer, and of what follows a head.
    received: Vec<u8>,
}

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) has_retry_after: bool,
    /// Whether the other end closes the connection.
    pub(crate) is_last: bool,
    /// Where its body begins among what was received, and how long it is; nothing of one without an end of its own.
    body: (usize, Option<usize>),
}

impl Client {
    pub(crate) fn new(address: SocketAddr, ca_pem: &str) -> Self {
        Self { address, tls: certificates::client(ca_pem.as_bytes(), &["http/1.1"]) }
    }

    /// One whose connections begin with full handshakes.
    pub(crate) fn without_resumption(self) -> Self {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.resumption = Resumption::disabled();
        Self { tls: Arc::new(tls), ..self }
    }

    /// The bytes of a request.
    pub(crate) fn request(&self, method: &str, path: &str, authorization: &str, body: &str) -> Vec<u8> {
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\n\
             Accept: application/json\r\nUser-Agent: kubectl/v1.37.2\r\n{length}\r\n{body}",
            self.address
        )
        .into_bytes()
    }

    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        self.greet(TcpStream::connect(self.address).await?).await
    }

    /// From one of the many addresses of this machine's loopback.
    pub(crate) async fn connect_from(&self, source: Ipv4Addr) -> io::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
        self.greet(socket.connect(self.address).await?).await
    }

    async fn greet(&self, stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        Ok(Connection { stream, received: Vec::with_capacity(READ_BYTES) })
    }
}

impl Connection {
    /// Asks, and waits for the whole answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        let answer = self.begin(request).await?;
        let (start, length) = answer.body;
        let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
        while self.received.len() < start + length {
            self.read().await?;
        }
        Ok(answer)
    }

    /// Asks, and waits for the head of the answer.
    pub(crate) async fn begin(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        self.received.clear();
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let head = String::from_utf8_lossy(&self.received[..end]);
        Answer::parse(&head, end).ok_or_else(|| io::Error::other(format!("no answer: {head}")))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Waits for more, and says how much came.
    pub(crate) async fn read(&mut self) -> io::Result<usize> {
        self.received.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            some => Ok(some),
        }
    }

    /// What was received of the body of an answer.
    pub(crate) fn body(&self, answer: &Answer) -> &[u8] {
        &self.received[answer.body.0..]
    }

    /// What was received since it was last taken.
    pub(crate) fn received(&mut self) -> &mut Vec<u8> {
        &mut self.received
    }

    /// Whether the other end began by showing this certificate.
    pub(crate) fn shows(&self, issued: &Issued) -> bool {
        let chain = self.stream.get_ref().1.peer_certificates().unwrap_or_default();
        chain.first().is_some_and(|first| first.as_ref() == issued.certificate_der)
    }
}

impl Answer {
    fn parse(head: &str, end: usize) -> Option<Self> {
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut answer = Self { status, has_retry_after: false, is_last: false, body: (end, None) };
        if matches!(status, 204 | 304) {
            answer.body.1 = Some(0);
        }
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("content-length") {
                answer.body.1 = value.parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                answer.is_last = value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("retry-after") {
                answer.has_retry_after = true;
            }
        }
        Some(answer)
    }
}

const READ_BYTES: usize = 16 << 10;
