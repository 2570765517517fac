//! Raw clients: they send what they are told, legal or not, and read what comes without interpreting it away.

mod frames;
mod http1;
mod http2;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates;
use super::message::{Broken, Lines, value};
use super::within;

pub(crate) use frames::{Outcome, RawHttp2};
pub(crate) use http1::Http1;
pub(crate) use http2::{Http2, is_unprocessed, response_of};

/// Where to connect, and whom to trust there.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) ca_pem: Arc<str>,
}

/// A response as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) lines: Lines,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Lines,
    /// `None`: it ended as its own framing says. Otherwise it was cut.
    pub(crate) broken: Option<Broken>,
}

impl Endpoint {
    /// A TLS connection on which `alpn` was agreed.
    pub(crate) async fn connect(&self, alpn: &str) -> TlsStream<TcpStream> {
        self.secure(within("a TCP connection", TcpStream::connect(self.address)).await.unwrap(), alpn).await
    }

    /// The same from an address of the loopback network, as which the gate then sees the client.
    pub(crate) async fn connect_from(&self, source: Ipv4Addr, alpn: &str) -> TlsStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        self.secure(within("a TCP connection", socket.connect(self.address)).await.unwrap(), alpn).await
    }

    async fn secure(&self, socket: TcpStream, alpn: &str) -> TlsStream<TcpStream> {
        let connector = TlsConnector::from(certificates::client(self.ca_pem.as_bytes(), &[alpn]));
        socket.set_nodelay(true).unwrap();
        let name = ServerName::from(self.address.ip());
        let stream = within("a TLS handshake", connector.connect(name, socket)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()), "the gate agrees on {alpn}");
        stream
    }
}

impl Response {
    /// The value of the first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        value(&self.lines, name)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in a {}: {:?}", self.status, self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        super::message::text(&self.body)
    }
}
