//! A client for what wrk and h2load can't do: write, and watch.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates;
use crate::load::{Protocol, Target};
use crate::process::Place;

/// One connection.
pub(super) struct Client {
    sender: Sender,
    host: String,
    authorization: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub(super) async fn connect(place: &Place, target: &Target<'_>, protocol: Protocol) -> Self {
        let ca_pem = std::fs::read(place.directory().join("ca.crt")).unwrap();
        let connector = TlsConnector::from(certificates::client(&ca_pem, &[protocol.alpn()]));
        let tcp = TcpStream::connect(target.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TokioIo::new(connector.connect(name, tcp).await.unwrap());
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(tls).await.unwrap();
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), tls).await.unwrap();
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        let (host, authorization) = (target.address.to_string(), target.authorization.to_owned());
        Self { sender, host, authorization }
    }

    /// Sends a request, and gives the answer as soon as it begins.
    ///
    /// # Panics
    /// If it is none of success.
    pub(super) async fn send(&mut self, method: Method, path: &str, body: String) -> Response<Incoming> {
        let request = Request::builder().method(method);
        let request = request.header("authorization", &self.authorization);
        let request = request.header("content-type", "application/json");
        let body = Full::new(Bytes::from(body));
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                let request = request.header("host", &self.host).uri(path).body(body).unwrap();
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
            Sender::Http2(sender) => {
                let request = request.uri(format!("https://{}{path}", self.host)).body(body).unwrap();
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
        };
        if answer.status().is_success() {
            return answer;
        }
        let status = answer.status();
        let says = answer.into_body().collect().await.unwrap().to_bytes();
        panic!("{path}: {status}: {}", String::from_utf8_lossy(&says));
    }

    /// The same, with the whole body.
    pub(super) async fn ask(&mut self, method: Method, path: &str, body: String) -> Bytes {
        self.send(method, path, body).await.into_body().collect().await.unwrap().to_bytes()
    }
}
