//! An upstream of our own, for what nginx can't be: an answer that takes its time, a watch that goes on, and a command in
//! a pod over a WebSocket, that says or takes as much as it is told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Interval;
use tokio_rustls::TlsAcceptor;

use crate::origin::{Origin, object};
use crate::process::{OTHERS, Place, Running, free_address};
use crate::relay;
use crate::tunnel::{self, Errand};

/// The word that makes this program the origin.
pub(crate) const COMMAND: &str = "origin";

/// An event on every watch, and so often.
pub(crate) const EVENT: &[u8] =
    b"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"1\"}}}\n";
pub(crate) const EVERY: Duration = Duration::from_millis(100);

/// Starts one whose objects are there after `delay`.
pub(crate) fn start(place: &Place, delay: Duration) -> Origin {
    let address = free_address();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([COMMAND, &address.to_string(), &delay.as_millis().to_string()]).arg(place.directory());
    Origin::of(Running::start(place, OTHERS, &command, address), address)
}

/// Answers until it is killed.
pub(crate) fn run(arguments: &[String]) {
    let [listen, delay, directory] = arguments else { panic!("origin: {arguments:?}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let delay = Duration::from_millis(delay.parse().unwrap());
    runtime.block_on(serve(listen.parse().unwrap(), delay, directory));
}

async fn serve(listen: SocketAddr, delay: Duration, directory: &str) {
    let acceptor = relay::acceptor(directory, &["h2", "http/1.1"]);
    let object = Bytes::from(object(1024));
    let listener = TcpListener::bind(listen).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(connection(stream, acceptor.clone(), delay, object.clone()));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, delay: Duration, object: Bytes) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let stream = acceptor.accept(stream).await.ok()?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| {
        let object = object.clone();
        async move { Ok::<_, Infallible>(answer(request, delay, object).await) }
    });
    let stream = TokioIo::new(stream);
    if is_http2 {
        http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await.ok()
    } else {
        http1::Builder::new().serve_connection(stream, service).with_upgrades().await.ok()
    }
}

async fn answer(mut request: Request<Incoming>, delay: Duration, object: Bytes) -> Response<Text> {
    if let Some(errand) = Errand::of(request.uri()) {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move { tunnel::run_errand(errand, TokioIo::new(upgrade.await.ok()?)).await.ok() });
        return switching();
    }
    let (mut status, mut text) = (StatusCode::OK, Text::Whole(Some(object)));
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews") => {
            (status, text) = (StatusCode::CREATED, Text::Whole(Some(Bytes::from_static(SELF))));
        }
        (&Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => {
            (status, text) = (StatusCode::CREATED, Text::Whole(Some(Bytes::from_static(ACCESS))));
        }
        (_, "/readyz") => {}
        _ if request.uri().query().is_some_and(|query| query.contains("watch=")) => {
            text = Text::Events(tokio::time::interval(EVERY));
        }
        _ => tokio::time::sleep(delay).await,
    }
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn switching() -> Response<Text> {
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, tunnel::ACCEPT)
        .header(SEC_WEBSOCKET_PROTOCOL, tunnel::PROTOCOL)
        .body(Text::Whole(None))
        .unwrap()
}

/// A body.
enum Text {
    Whole(Option<Bytes>),
    Events(Interval),
}

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match self.get_mut() {
            Self::Whole(text) => text.take(),
            Self::Events(interval) => {
                ready!(interval.poll_tick(cx));
                Some(Bytes::from_static(EVENT))
            }
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// What the gate asks for itself.
const SELF: &[u8] = br#"{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","metadata":{},"status":{"userInfo":{"username":"system:serviceaccount:portcullis:portcullis"}}}"#;
const ACCESS: &[u8] = br#"{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","metadata":{},"spec":{},"status":{"allowed":true}}"#;
