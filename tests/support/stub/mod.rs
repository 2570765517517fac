//! A **stub** of an apiserver: TLS, HTTP/1.1 or HTTP/2 by ALPN, records every request exactly, and answers as the
//! test says. It stands in where exact bytes or faults are needed; what a real apiserver makes of a request is the
//! real cluster's business.

mod answer;
mod apiserver;
mod http1;
mod http2;

use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::certificates::Identity;
use super::message::{Lines, value};
use super::within;

pub(crate) use answer::{Answer, Cut, Framing, Reply};
pub(crate) use http1::RawConnection;
pub(crate) use http2::{RawStream, headers_of, lines_of, send as send_data};

/// What the gate presents as its own credential when the test does not say otherwise.
pub(crate) const OWN_CREDENTIAL: &str = "stub-credential-of-the-gate";

/// One request as it arrived.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    /// The request target of HTTP/1, `:path` of HTTP/2.
    pub(crate) target: String,
    /// In order, spelled as they were. HTTP/2's `:authority` and `:scheme` are among them.
    pub(crate) lines: Lines,
    body: Mutex<Option<(Vec<u8>, Lines)>>,
}

/// One connection that the gate made.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) is_h2: bool,
    /// HTTP/1 only: every byte that came, as far as it was read.
    received: Mutex<Vec<u8>>,
    closed: Mutex<bool>,
}

type Script = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

/// A running stub; clones are the same one.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) port: u16,
    pub(crate) ca_pem: Arc<str>,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Script>,
    questions: Mutex<Script>,
    denied_to_us: Mutex<Vec<String>>,
    seen: Mutex<Vec<Arc<Seen>>>,
    own: Mutex<Vec<Arc<Seen>>>,
    connections: Mutex<Vec<Arc<Connection>>>,
    violations: Mutex<Vec<String>>,
    changes: watch::Sender<u64>,
    credential: Mutex<String>,
    readiness: Mutex<u16>,
    other_credentials: Mutex<Vec<String>>,
    server: Mutex<Option<JoinHandle<()>>>,
    /// One task each.
    serving: Mutex<JoinSet<()>>,
}

impl Stub {
    /// Listens on a free port of 127.0.0.1, offering `alpn`, and answers 200 `{}` until told otherwise.
    pub(crate) async fn start(alpn: &[&str]) -> Self {
        let mut identity = Identity::for_loopback();
        identity.server.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(identity.server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(|_| Reply::json(200, "{}").into())),
            questions: Mutex::new(Arc::new(|_| Reply::json(500, "{}").into())),
            denied_to_us: Mutex::default(),
            seen: Mutex::default(),
            own: Mutex::default(),
            connections: Mutex::default(),
            violations: Mutex::default(),
            changes: watch::Sender::new(0),
            credential: Mutex::new(format!("Bearer {OWN_CREDENTIAL}")),
            readiness: Mutex::new(200),
            other_credentials: Mutex::default(),
            server: Mutex::default(),
            serving: Mutex::default(),
        });
        let stub = Self { port, ca_pem: identity.ca_pem.into(), acceptor, shared };
        stub.listen(listener);
        stub
    }

    fn listen(&self, listener: TcpListener) {
        let (acceptor, shared) = (self.acceptor.clone(), Arc::clone(&self.shared));
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let connection = Arc::clone(&shared).serve(socket, acceptor.clone());
                shared.serving.lock().unwrap().spawn(connection);
            }
        });
        *self.shared.server.lock().unwrap() = Some(server);
    }

    /// Stops listening and cuts every connection, as a crash does. Afterwards none answers any more.
    pub(crate) async fn stop(&self) {
        let server = self.shared.server.lock().unwrap().take().unwrap();
        server.abort();
        let _ = server.await;
        let mut serving = std::mem::take(&mut *self.shared.serving.lock().unwrap());
        serving.shutdown().await;
    }

    /// Listens again where it did.
    pub(crate) async fn resume(&self) {
        self.listen(TcpListener::bind(("127.0.0.1", self.port)).await.unwrap());
    }

    /// From now on every impersonated request is answered by `script`.
    pub(crate) fn answer_with(&self, script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    /// From now on every impersonated request is answered with `reply`.
    pub(crate) fn answer(&self, reply: Reply) {
        self.answer_with(move |_| reply.clone().into());
    }

    /// From now on the gate's questions about others, whose token it is and what they may do, are answered by `script`.
    /// Before that the answer is 500.
    pub(crate) fn answer_questions_with(&self, script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        *self.shared.questions.lock().unwrap() = Arc::new(script);
    }

    /// From now on the gate has no right to this, such as `serviceaccounts` or `userextras/scopes`.
    pub(crate) fn deny_us(&self, resource: &str) {
        self.shared.denied_to_us.lock().unwrap().push(resource.to_owned());
    }

    /// From now on only this `Authorization` value is the gate's good credential; others get 401.
    pub(crate) fn accept_only(&self, authorization: &str) {
        authorization.clone_into(&mut self.shared.credential.lock().unwrap());
    }

    /// From now on this is the answer to the question whether it is ready.
    pub(crate) fn be_ready(&self, status: u16) {
        *self.shared.readiness.lock().unwrap() = status;
    }

    /// From now on this `Authorization` value is good as well: a client's own.
    pub(crate) fn accept_also(&self, authorization: &str) {
        self.shared.other_credentials.lock().unwrap().push(authorization.to_owned());
    }

    /// The requests so far, without those the gate makes for itself.
    pub(crate) fn seen(&self) -> Vec<Arc<Seen>> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The requests the gate made for itself: no impersonation, and an endpoint of the reviews it has to make.
    pub(crate) fn own_requests(&self) -> Vec<Arc<Seen>> {
        self.shared.own.lock().unwrap().clone()
    }

    /// The one request there was.
    pub(crate) fn only(&self) -> Arc<Seen> {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "exactly one request should have arrived: {seen:#?}");
        Arc::clone(&seen[0])
    }

    /// Every connection so far, in the order they came.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.shared.connections.lock().unwrap().clone()
    }

    /// What arrived that no client may send: bytes that are no HTTP, ambiguous framing, the wrong protocol.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.shared.violations.lock().unwrap().clone()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }

    /// Waits until `condition` holds, asking again whenever something happens here.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        within(what, async {
            while !condition(self) {
                changes.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits until the `count`-th request has arrived and gives it.
    pub(crate) async fn request(&self, count: usize) -> Arc<Seen> {
        self.until("a request at the stub", |stub| stub.seen().len() >= count).await;
        Arc::clone(&self.seen()[count - 1])
    }
}

impl Seen {
    /// All values of lines named `name`, in any case.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = |line: &&(String, String)| line.0.eq_ignore_ascii_case(name);
        self.lines.iter().filter(named).map(|(_, value)| value.as_str()).collect()
    }

    /// The whole body, once it is there.
    pub(crate) fn body(&self) -> Option<Vec<u8>> {
        self.body.lock().unwrap().as_ref().map(|(body, _)| body.clone())
    }

    /// The trailers, once the body is there.
    pub(crate) fn trailers(&self) -> Option<Lines> {
        self.body.lock().unwrap().as_ref().map(|(_, trailers)| trailers.clone())
    }

    fn is_impersonated(&self) -> bool {
        self.lines.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("impersonate-"))
    }
}

impl Connection {
    /// HTTP/1 only: every byte that came, as far as it was read.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap().clone()
    }

    /// Whether the gate's side has ended it.
    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.lock().unwrap()
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, socket: TcpStream, acceptor: TlsAcceptor) {
        let _ = socket.set_nodelay(true);
        let Ok(stream) = acceptor.accept(socket).await else { return };
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let connection =
            Arc::new(Connection { is_h2, received: Mutex::default(), closed: Mutex::new(false) });
        let number = {
            let mut connections = self.connections.lock().unwrap();
            connections.push(Arc::clone(&connection));
            connections.len() - 1
        };
        self.changed();
        if is_h2 {
            http2::serve(Arc::clone(&self), number, stream).await;
        } else {
            http1::serve(Arc::clone(&self), number, Arc::clone(&connection), stream).await;
        }
        *connection.closed.lock().unwrap() = true;
        self.changed();
    }

    /// Writes the request down and says what to answer.
    fn arrived(&self, seen: Seen) -> (Arc<Seen>, Answer) {
        let seen = Arc::new(seen);
        let is_accepted = value(&seen.lines, "authorization").is_some_and(|shown| {
            shown == *self.credential.lock().unwrap()
                || self.other_credentials.lock().unwrap().iter().any(|other| other == shown)
        });
        let is_probe = !seen.is_impersonated() && apiserver::is_probe(&seen);
        let is_own = is_probe || !seen.is_impersonated() && apiserver::is_review(&seen);
        let is_question = !seen.is_impersonated() && apiserver::is_question(&seen);
        let answer = if !is_accepted {
            self.record(is_own || is_question, &seen);
            apiserver::unauthorized().into()
        } else if is_probe {
            self.record(true, &seen);
            Reply::new(*self.readiness.lock().unwrap(), "ok").into()
        } else if is_own {
            self.record(true, &seen);
            let denied = self.denied_to_us.lock().unwrap().clone();
            Answer::considered(move |seen| apiserver::review(seen, &denied))
        } else if is_question {
            self.record(true, &seen);
            let script = Arc::clone(&self.questions.lock().unwrap());
            script(&seen)
        } else {
            self.record(false, &seen);
            let script = Arc::clone(&self.script.lock().unwrap());
            script(&seen)
        };
        (seen, answer)
    }

    fn record(&self, is_own: bool, seen: &Arc<Seen>) {
        let list = if is_own { &self.own } else { &self.seen };
        list.lock().unwrap().push(Arc::clone(seen));
        self.changed();
    }

    fn body_arrived(&self, seen: &Seen, body: Vec<u8>, trailers: Lines) {
        *seen.body.lock().unwrap() = Some((body, trailers));
        self.changed();
    }

    fn violated(&self, what: String) {
        self.violations.lock().unwrap().push(what);
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
