//! A client with thousands of watches, and with single requests beside them.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::certificates;
use crate::figures::micros;
use crate::load::Protocol;
use crate::origin::KILOBYTE;
use crate::peers::Proxy;
use crate::process::Place;
use crate::watch_origin::{STREAMS, age};

/// Whom to ask, and how.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    address: SocketAddr,
    authorization: String,
    protocol: Protocol,
    ca_pem: String,
}

pub(crate) struct Client {
    target: Target,
    tls: TlsConnector,
}

/// Watches of one client. They and their connections are gone when it is dropped.
pub(crate) struct Watches {
    pub(crate) arrivals: UnboundedReceiver<Arrival>,
    /// How many got their first event in time.
    pub(crate) opened: usize,
    _tasks: JoinSet<()>,
}

/// Of an event: how long ago it was sent, in nanoseconds. Or why a watch has none.
pub(crate) type Arrival = Result<u64, String>;

/// GETs, one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Gets {
    /// In microseconds, of those that were answered.
    pub(crate) p99: Option<f64>,
    pub(crate) failures: usize,
}

enum Connection {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=3600";
/// For all watches to open.
const PATIENCE: Duration = Duration::from_secs(20);
/// For a single request.
const SILENCE: Duration = Duration::from_secs(3);
/// Connections are opened so many at a time.
const AT_ONCE: usize = 64;
/// After so many failures in a row of single requests no more of them are made.
const MOST_FAILURES: usize = 3;

impl Target {
    pub(crate) fn new(place: &Place, proxy: &Proxy, protocol: Protocol) -> Self {
        let (address, authorization) = (proxy.address, proxy.authorization.clone());
        Self { address, authorization, protocol, ca_pem: place.ca_pem.clone() }
    }
}

impl Client {
    pub(crate) fn new(target: Target) -> Arc<Self> {
        let tls = certificates::client(target.ca_pem.as_bytes(), &[target.protocol.alpn()]);
        Arc::new(Self { target, tls: TlsConnector::from(tls) })
    }

    /// Opens `count` watches, each on a connection of HTTP/1.1 or a hundred on one of HTTP/2, and waits until all have
    /// had an event, or have failed, or for twenty seconds.
    pub(crate) async fn open(self: &Arc<Self>, count: usize) -> Watches {
        let on_each = match self.target.protocol {
            Protocol::Http1 => 1,
            Protocol::Http2 => STREAMS as usize,
        };
        let (sender, mut arrivals) = unbounded_channel();
        let (mut tasks, turns) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
        for _ in 0..count / on_each {
            tasks.spawn(Arc::clone(self).watch(on_each, sender.clone(), Arc::clone(&turns)));
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let (mut opened, mut failed) = (0, 0);
        while opened + failed < count {
            match timeout_at(deadline, arrivals.recv()).await {
                Ok(Some(Ok(_))) => opened += 1,
                Ok(Some(Err(why))) => {
                    if failed == 0 {
                        eprintln!("  a watch could not be opened: {why}");
                    }
                    failed += 1;
                }
                Ok(None) | Err(_) => break,
            }
        }
        Watches { arrivals, opened, _tasks: tasks }
    }

    /// So many watches on one connection, until they end.
    async fn watch(self: Arc<Self>, count: usize, arrivals: UnboundedSender<Arrival>, turns: Arc<Semaphore>) {
        let turn = turns.acquire().await.unwrap();
        let mut tasks = JoinSet::new();
        let mut connection = match self.connect(&mut tasks).await {
            Ok(connection) => connection,
            Err(error) => {
                (0..count).for_each(|_| arrivals.send(Err(error.to_string())).unwrap_or_default());
                return;
            }
        };
        drop(turn);
        for _ in 0..count {
            let (answer, arrivals) = (connection.get(&self.target, WATCH), arrivals.clone());
            tasks.spawn(async move {
                let ended = follow(answer, &arrivals).await;
                let why = ended.map_or_else(|error| error.to_string(), |()| "it has ended".to_owned());
                arrivals.send(Err(why)).unwrap_or_default();
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// GETs of an object of a kilobyte, on a fresh connection.
    pub(crate) async fn gets(&self, count: usize) -> Gets {
        let (mut times, mut failures, mut in_a_row) = (Vec::new(), 0, 0);
        while times.len() + failures < count && in_a_row < MOST_FAILURES {
            let mut tasks = JoinSet::new();
            let mut connection = timeout(SILENCE, self.connect(&mut tasks)).await.ok().and_then(Result::ok);
            while let Some(open) = &mut connection
                && times.len() + failures < count
            {
                let begun = Instant::now();
                if !matches!(timeout(SILENCE, open.kilobyte(&self.target)).await, Ok(Ok(()))) {
                    connection = None;
                    break;
                }
                times.push(micros(begun.elapsed()));
                in_a_row = 0;
            }
            if connection.is_none() {
                failures += 1;
                in_a_row += 1;
            }
        }
        Gets { p99: percentile(&mut times, 99), failures }
    }

    /// A new connection; what drives it is among `tasks`.
    async fn connect(&self, tasks: &mut JoinSet<()>) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(self.target.address).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(self.tls.connect(ServerName::try_from("localhost")?, stream).await?);
        Ok(match self.target.protocol {
            Protocol::Http1 => {
                let (sender, driver) = http1::handshake(stream).await?;
                tasks.spawn(async move { driver.await.unwrap_or_default() });
                Connection::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, driver) = http2::handshake(TokioExecutor::new(), stream).await?;
                tasks.spawn(async move { driver.await.unwrap_or_default() });
                Connection::Http2(sender)
            }
        })
    }
}

impl Connection {
    fn get(&mut self, target: &Target, path: &str) -> Answer {
        let request = Request::get(match self {
            Self::Http1(_) => path.to_owned(),
            Self::Http2(_) => format!("https://{}{path}", target.address),
        });
        let request = request.header(AUTHORIZATION, &target.authorization);
        match self {
            Self::Http1(sender) => {
                let request = request.header(HOST, target.address.to_string());
                Box::pin(sender.send_request(request.body(Empty::new()).unwrap()))
            }
            Self::Http2(sender) => Box::pin(sender.send_request(request.body(Empty::new()).unwrap())),
        }
    }

    async fn kilobyte(&mut self, target: &Target) -> Result<(), Failure> {
        match self {
            Self::Http1(sender) => sender.ready().await?,
            Self::Http2(sender) => sender.ready().await?,
        }
        let response = self.get(target, KILOBYTE).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status == 200 && body.len() > 1000 { Ok(()) } else { Err(status.to_string().into()) }
    }
}

impl Watches {
    /// How many have failed since they were opened.
    pub(crate) fn ended(&mut self) -> usize {
        let mut ended = 0;
        while let Ok(arrival) = self.arrivals.try_recv() {
            ended += usize::from(arrival.is_err());
        }
        ended
    }
}

/// Takes down the events of a watch until it ends.
async fn follow(answer: Answer, arrivals: &UnboundedSender<Arrival>) -> Result<(), Failure> {
    let response = answer.await?;
    if response.status() != 200 {
        return Err(response.status().to_string().into());
    }
    let (mut body, mut line) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        line.extend_from_slice(&data);
        if line.ends_with(b"\n") {
            arrivals.send(Ok(age(&line).ok_or("not an event of the origin")?))?;
            // The memory too: thousands of them wait.
            line = Vec::new();
        }
    }
    Ok(())
}

/// `None` of nothing.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * percent / 100).copied()
}
