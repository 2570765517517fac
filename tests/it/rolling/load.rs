//! Clients that do as they are told: after `Connection: close` and GOAWAY they connect anew, and what the gate has said it
//! did not process they send again. Nothing else is ever sent twice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::support::wire::{Endpoint, Http1, Http2, is_unprocessed, response_of};

/// What the clients met.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) served: AtomicUsize,
    pub(crate) failures: Mutex<Vec<String>>,
    /// When a watch ended as it should.
    pub(crate) watches_ended: Mutex<Vec<Instant>>,
    pub(crate) execs_ended: Mutex<Vec<Instant>>,
    /// Open at the moment.
    pub(crate) watches: AtomicUsize,
    pub(crate) execs: AtomicUsize,
    over: AtomicBool,
}

/// Everything that goes on at the same time.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    pub(crate) started: Instant,
    clients: JoinSet<()>,
}

/// What a client needs.
#[derive(Clone)]
struct Visitor {
    endpoint: Endpoint,
    authorization: Arc<str>,
    tally: Arc<Tally>,
}

/// How long a client waits between two requests.
const PAUSE: Duration = Duration::from_millis(20);
const WATCHES_ON_A_CONNECTION: usize = 50;

impl Load {
    /// Of `requesters` clients of each protocol, and so many watches and commands in containers.
    pub(crate) fn start(
        endpoint: &Endpoint,
        authorization: &str,
        [requesters, watches, execs]: [usize; 3],
    ) -> Self {
        let visitor = Visitor {
            endpoint: endpoint.clone(),
            authorization: authorization.into(),
            tally: Arc::default(),
        };
        let mut clients = JoinSet::new();
        for _ in 0..requesters {
            clients.spawn(visitor.clone().request_over_http1());
            clients.spawn(visitor.clone().request_over_http2());
        }
        for _ in 0..watches / WATCHES_ON_A_CONNECTION {
            let connection = Arc::new(tokio::sync::Mutex::new(None));
            for _ in 0..WATCHES_ON_A_CONNECTION {
                clients.spawn(visitor.clone().watch(Arc::clone(&connection)));
            }
        }
        for _ in 0..execs {
            clients.spawn(visitor.clone().exec());
        }
        Self { tally: visitor.tally, started: Instant::now(), clients }
    }

    /// Ends it; what goes on by itself is cut.
    pub(crate) async fn stop(mut self) -> Arc<Tally> {
        self.tally.over.store(true, Ordering::Relaxed);
        tokio::time::sleep(10 * PAUSE).await;
        self.clients.abort_all();
        while let Some(client) = self.clients.join_next().await {
            assert!(client.is_ok() || client.unwrap_err().is_cancelled(), "a client panicked");
        }
        self.tally
    }
}

impl Visitor {
    fn is_over(&self) -> bool {
        self.tally.over.load(Ordering::Relaxed)
    }

    fn fail(&self, what: String) {
        if !self.is_over() {
            self.tally.failures.lock().unwrap().push(what);
        }
    }

    fn note(&self, status: u16, what: &str) {
        if status == 200 {
            self.tally.served.fetch_add(1, Ordering::Relaxed);
        } else {
            self.fail(format!("{what}: {status}"));
        }
    }

    /// Writes and reads by turns: a write is never sent again by itself.
    async fn request_over_http1(self) {
        let mut connection = None;
        for number in 0.. {
            let mut client = match connection.take() {
                Some(client) => client,
                None => Http1::connect(&self.endpoint).await,
            };
            let (method, body) = if number % 2 == 0 { ("POST", "{}") } else { ("GET", "") };
            client
                .send(format!(
                    "{method} /api/v1/pods HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\nContent-Length: {}\r\n\r\n{body}",
                    self.authorization,
                    body.len()
                ))
                .await;
            match client.response().await {
                Ok(response) if response.broken.is_none() => {
                    self.note(response.status, method);
                    if response.header("connection") != Some("close") {
                        connection = Some(client);
                    }
                }
                Ok(response) => self.fail(format!("{method}: {:?}", response.broken)),
                Err(broken) => self.fail(format!("{method} over HTTP/1.1: {broken:?}")),
            }
            if self.is_over() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn request_over_http2(self) {
        let mut connection = Http2::connect(&self.endpoint).await;
        let lines = [("authorization", &*self.authorization)];
        while !self.is_over() {
            let started = connection.start("POST", "/api/v1/pods", &lines, true).await;
            let answer = match started {
                Ok((response, _)) => response_of(response).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(response) if response.broken.is_none() => self.note(response.status, "HTTP/2"),
                Ok(response) => self.fail(format!("HTTP/2: {:?}", response.broken)),
                Err(error) if is_unprocessed(&error) => {
                    connection = Http2::connect(&self.endpoint).await;
                    continue;
                }
                Err(error) => {
                    self.fail(format!("HTTP/2: {error}"));
                    connection = Http2::connect(&self.endpoint).await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Watches, and watches again when it has ended as watches end.
    async fn watch(self, connection: Arc<tokio::sync::Mutex<Option<Http2>>>) {
        let lines = [("authorization", &*self.authorization)];
        while !self.is_over() {
            let client = {
                let mut kept = connection.lock().await;
                match &*kept {
                    Some(client) => client.clone(),
                    None => kept.insert(Http2::connect(&self.endpoint).await).clone(),
                }
            };
            let begun = match client.start("GET", "/api/v1/pods?watch=true", &lines, true).await {
                Ok((response, _)) => response.await,
                Err(error) => Err(error),
            };
            match begun {
                Ok(response) if response.status() == 200 => self.follow(response.into_body()).await,
                Ok(response) => self.fail(format!("watch: {}", response.status())),
                Err(error) if is_unprocessed(&error) => *connection.lock().await = None,
                Err(error) => self.fail(format!("watch: {error}")),
            }
        }
    }

    async fn follow(&self, mut body: h2::RecvStream) {
        self.tally.watches.fetch_add(1, Ordering::Relaxed);
        let ended = loop {
            match body.data().await {
                Some(Ok(data)) => drop(body.flow_control().release_capacity(data.len())),
                Some(Err(error)) => break Err(error),
                None => break body.trailers().await.map(drop),
            }
        };
        self.tally.watches.fetch_sub(1, Ordering::Relaxed);
        match ended {
            Ok(()) => self.tally.watches_ended.lock().unwrap().push(Instant::now()),
            Err(error) => self.fail(format!("a watch broke off: {error}")),
        }
    }

    async fn exec(self) {
        let target = "/api/v1/namespaces/default/pods/p/exec?command=sh";
        let lines =
            [("Authorization", &*self.authorization), ("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")];
        while !self.is_over() {
            let mut client = Http1::connect(&self.endpoint).await;
            let response = client.request("POST", target, &lines, b"").await;
            if response.status != 101 {
                self.fail(format!("exec: {}", response.status));
                continue;
            }
            self.tally.execs.fetch_add(1, Ordering::Relaxed);
            client.reader.rest().await;
            self.tally.execs.fetch_sub(1, Ordering::Relaxed);
            self.tally.execs_ended.lock().unwrap().push(Instant::now());
        }
    }
}
