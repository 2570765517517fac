//! An origin with watches: a GET with `watch=true` is answered with one event and stays open for more. As on a
//! kube-apiserver, a connection of HTTP/2 carries a hundred of them. Whatever else the proxies ask for is answered as by
//! the origin of the other scenarios.
//!
//! At an address of its own, without TLS, it takes orders: for each byte it sends one event to all watches.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use crate::load::Protocol;
use crate::origin::{KILOBYTE, Origin, object};
use crate::process::{OTHERS, Place, Running, free_address};
use crate::relay;

/// The word that makes this program the origin.
pub(crate) const COMMAND: &str = "watch-origin";

/// Of one connection of HTTP/2: a kube-apiserver's limit.
pub(crate) const STREAMS: u32 = 100;

/// The running origin.
pub(crate) struct WatchOrigin {
    pub(crate) origin: Origin,
    /// Where [`Orders`] go.
    pub(crate) orders: SocketAddr,
}

/// A connection to have events sent by.
pub(crate) struct Orders(TcpStream);

/// The watches that are open. What is sent to one is its next event.
#[derive(Clone, Default)]
struct Watches(Arc<Mutex<Vec<UnboundedSender<Bytes>>>>);

/// The answer to a watch.
struct Events(UnboundedReceiver<Bytes>);

impl WatchOrigin {
    pub(crate) fn start(place: &Place) -> Self {
        let (http1, http2, orders) = (free_address(), free_address(), free_address());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(COMMAND).args([http1, http2, orders].map(|address| address.to_string()));
        command.arg(place.directory());
        let process = Running::start(place, OTHERS, &command, http1);
        Self { origin: Origin::new(http1, http2, process), orders }
    }
}

impl Orders {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Has an event sent to all watches, and says how many there were.
    pub(crate) async fn send_event(&mut self) -> u32 {
        self.0.write_u8(0).await.unwrap();
        self.0.read_u32().await.unwrap()
    }
}

/// How long ago the event was sent that stands in this line, in nanoseconds.
pub(crate) fn age(line: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(line).ok()?.strip_prefix(HEAD)?.split(',').next()?;
    now().checked_sub(digits.parse().ok()?)
}

/// Serves until it is killed.
pub(crate) fn run(arguments: &[String]) {
    let [http1, http2, orders, directory] = arguments else { panic!("{COMMAND}: {arguments:?}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let watches = Watches::default();
        tokio::spawn(obey(TcpListener::bind(orders).await.unwrap(), watches.clone()));
        let serve = |listener, protocols: &[&str]| {
            serve(listener, relay::acceptor(directory, protocols), watches.clone())
        };
        let (h1, h2) = (Protocol::Http1.alpn(), Protocol::Http2.alpn());
        // The product asks whether the cluster is there over HTTP/1.1.
        tokio::spawn(serve(TcpListener::bind(http2).await.unwrap(), &[h2, h1]));
        serve(TcpListener::bind(http1).await.unwrap(), &[h1]).await;
    });
}

async fn obey(listener: TcpListener, watches: Watches) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let watches = watches.clone();
        tokio::spawn(async move {
            stream.set_nodelay(true).unwrap();
            while stream.read_u8().await.is_ok() {
                stream.write_u32(watches.send_event()).await.unwrap();
            }
        });
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, watches: Watches) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(connection(stream, acceptor.clone(), watches.clone()));
    }
}

/// Until its other end closes it, or breaks it: what came of it is the client's to say.
async fn connection(stream: TcpStream, acceptor: TlsAcceptor, watches: Watches) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let stream = acceptor.accept(stream).await.ok()?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(Protocol::Http2.alpn().as_bytes());
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request| ready(Ok::<_, Infallible>(answer(&request, &watches))));
    if is_http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(STREAMS).serve_connection(stream, service).await.ok()
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await.ok()
    }
}

fn answer(request: &Request<Incoming>, watches: &Watches) -> Response<Either<Full<Bytes>, Events>> {
    if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
        // Without the second header nginx would keep a small event to itself until there are more.
        let response = Response::builder().header(CONTENT_TYPE, "application/json");
        let response = response.header("X-Accel-Buffering", "no");
        return response.body(Either::Right(watches.open())).unwrap();
    }
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, KILOBYTE) => (StatusCode::OK, object(1024)),
        (&Method::GET, "/readyz") => (StatusCode::OK, "ok".to_owned()),
        (&Method::POST, SUBJECT) => (StatusCode::CREATED, SUBJECT_REVIEW.to_owned()),
        (&Method::POST, ACCESS) => (StatusCode::CREATED, ACCESS_REVIEW.to_owned()),
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Either::Left(Full::from(text))).unwrap()
}

impl Watches {
    fn open(&self) -> Events {
        let (sender, receiver) = unbounded_channel();
        sender.send(event()).unwrap();
        self.0.lock().unwrap().push(sender);
        Events(receiver)
    }

    /// To all, and forgets those that are gone.
    fn send_event(&self) -> u32 {
        let mut watches = self.0.lock().unwrap();
        let event = event();
        watches.retain(|watch| watch.send(event.clone()).is_ok());
        watches.len().try_into().unwrap()
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// A line of a watch, with the time at which it was made.
fn event() -> Bytes {
    format!("{HEAD}{},\"type\":\"MODIFIED\",\"object\":{}}}\n", now(), object(1024)).into()
}

/// Nanoseconds of the clock that all processes share.
fn now() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(time.as_nanos()).unwrap()
}

const HEAD: &str = r#"{"sent":"#;
const SUBJECT: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const SUBJECT_REVIEW: &str = r#"{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","metadata":{},"status":{"userInfo":{"username":"system:serviceaccount:portcullis:portcullis"}}}"#;
const ACCESS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const ACCESS_REVIEW: &str = r#"{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","metadata":{},"spec":{},"status":{"allowed":true}}"#;
