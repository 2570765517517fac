//! A client that uses many tokens, over HTTP/2: wrk and h2load know one.
//!
//! A process of its own on the core of the clients. Every request of it says its token in full, whether it is the one
//! that the connection has seen before or not: what a header costs is the same for one token and for many.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates;
use crate::origin::KILOBYTE;
use crate::process::{OTHERS, Place};

/// The word that makes this program the client.
pub(crate) const COMMAND: &str = "uses";

/// How many requests at once share a connection.
const STREAMS: usize = 4;

/// What is to be used, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uses<'a> {
    pub(crate) bearers: &'a [String],
    pub(crate) at_once: usize,
    /// At random for so long; else each once, in turn.
    pub(crate) time: Option<Duration>,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) requests: f64,
    /// In microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Uses<'_> {
    /// Uses them at `address`.
    ///
    /// # Panics
    /// When one gets nobody in.
    pub(crate) fn run(&self, place: &Place, address: SocketAddr) -> Used {
        let bearers = place.write("bearers", &self.bearers.join("\n"));
        let milliseconds = self.time.map_or(0, |time| time.as_millis());
        let mut command = Command::new("taskset");
        command.args(["-c", &OTHERS.to_string()]).arg(std::env::current_exe().unwrap());
        command.args([COMMAND, &address.to_string(), &self.at_once.to_string(), &milliseconds.to_string()]);
        let output = command.arg(place.directory().join("ca.crt")).arg(bearers).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let figures: Vec<f64> = text.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
        let [requests, p50, p99] = figures[..] else { panic!("{text}") };
        Used { requests, p50, p99 }
    }
}

/// What [`Uses::run`] starts: prints how many requests were answered, and the middle and the 99th of a hundred of the
/// times that they took.
pub(crate) fn run(arguments: &[String]) {
    let [address, at_once, milliseconds, ca, bearers] = arguments else { panic!("uses: {arguments:?}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let at_once = at_once.parse().unwrap();
    let work = Work {
        address: address.parse().unwrap(),
        authorizations: std::fs::read_to_string(bearers).unwrap().lines().map(authorization).collect(),
        next: AtomicUsize::new(0),
        until: match milliseconds.parse().unwrap() {
            0 => None,
            milliseconds => Some(Instant::now() + Duration::from_millis(milliseconds)),
        },
    };
    let mut times = runtime.block_on(work.all(at_once, ca.as_ref()));
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    println!("{} {} {}", times.len(), at(50), at(99));
}

struct Work {
    address: SocketAddr,
    authorizations: Vec<HeaderValue>,
    next: AtomicUsize,
    until: Option<Instant>,
}

impl Work {
    /// The times of all requests.
    async fn all(self, at_once: usize, ca: &Path) -> Vec<Duration> {
        let (work, ca_pem) = (Arc::new(self), std::fs::read(ca).unwrap());
        let mut tasks = Vec::new();
        let mut connection = connect(work.address, &ca_pem).await;
        for number in 0..at_once {
            if number > 0 && number % STREAMS == 0 {
                connection = connect(work.address, &ca_pem).await;
            }
            tasks.push(tokio::spawn(Arc::clone(&work).one_after_the_other(connection.clone(), number)));
        }
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        times
    }

    async fn one_after_the_other(
        self: Arc<Self>,
        connection: SendRequest<Bytes>,
        number: usize,
    ) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut random = 0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1);
        while let Some(authorization) = self.next(&mut random) {
            let begun = Instant::now();
            let status = ask(&connection, self.address, authorization).await;
            times.push(begun.elapsed());
            assert_eq!(status, StatusCode::OK);
        }
        times
    }

    /// What is used next; `None` at the end.
    fn next(&self, random: &mut u64) -> Option<&HeaderValue> {
        let Some(until) = self.until else {
            return self.authorizations.get(self.next.fetch_add(1, Ordering::Relaxed));
        };
        // Marsaglia's xorshift.
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let index = usize::try_from(*random % self.authorizations.len() as u64).unwrap();
        (Instant::now() < until).then(|| &self.authorizations[index])
    }
}

/// As a client presents it, and never as a number that stands for it.
pub(crate) fn authorization(bearer: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {bearer}")).unwrap();
    value.set_sensitive(true);
    value
}

/// A connection to `address`, whose certificate is of the authority in `ca_pem`.
pub(crate) async fn connect(address: SocketAddr, ca_pem: &[u8]) -> SendRequest<Bytes> {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let connector = TlsConnector::from(certificates::client(ca_pem, &["h2"]));
    let stream = connector.connect(ServerName::from(address.ip()), tcp).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Reads an object of a kilobyte, and says how that was answered.
pub(crate) async fn ask(
    connection: &SendRequest<Bytes>,
    address: SocketAddr,
    authorization: &HeaderValue,
) -> StatusCode {
    let mut sender = connection.clone().ready().await.unwrap();
    let request = Request::get(format!("https://{address}{KILOBYTE}"))
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .header(AUTHORIZATION, authorization)
        .body(())
        .unwrap();
    let response = sender.send_request(request, true).unwrap().0.await.unwrap();
    let status = response.status();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let length = data.unwrap().len();
        body.flow_control().release_capacity(length).unwrap();
    }
    status
}
