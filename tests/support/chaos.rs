//! A TCP proxy between the gate and its upstream that does, when it is told to, what networks do.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::{SockFilter, SockRef};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What happens to a connection, as the gate sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is reset.
    Reset,
    /// It ends, without a word of TLS.
    End,
    /// Nothing passes any more, and nobody says so.
    Silence,
    /// No packet arrives any more, so that not even the kernel answers: a cable is cut, a firewall has forgotten.
    Loss,
    /// Bytes come that nobody sent; then it ends.
    Garbage,
}

/// Where in its life it happens to a connection that is yet to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Right after it was accepted.
    Connect,
    /// After the first bytes of the gate's TLS handshake.
    Handshake,
}

/// A running proxy. It ends when it is dropped.
pub(crate) struct Chaos {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    target: u16,
    /// For connections to come.
    coming: Mutex<Option<(Phase, Fault)>>,
    /// For those that are open: how many orders there were, and the last one.
    open: watch::Sender<(u64, Option<Fault>)>,
    /// When the gate has dialled.
    dials: Mutex<Vec<Instant>>,
}

impl Chaos {
    /// Before what listens on this port of 127.0.0.1. Does no harm yet.
    pub(crate) async fn before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = watch::Sender::new((0, None));
        let shared = Arc::new(Shared { target, coming: Mutex::default(), open, dials: Mutex::default() });
        let accepting = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((gate, _)) = listener.accept().await {
                accepting.dials.lock().unwrap().push(Instant::now());
                connections.spawn(serve(Arc::clone(&accepting), gate));
            }
        });
        Self { port, shared, server }
    }

    /// From now on this happens to every new connection.
    pub(crate) fn at(&self, phase: Phase, fault: Fault) {
        *self.shared.coming.lock().unwrap() = Some((phase, fault));
    }

    /// This happens now to every connection that is open.
    pub(crate) fn now(&self, fault: Fault) {
        self.shared.open.send_modify(|(count, last)| {
            *count += 1;
            *last = Some(fault);
        });
    }

    /// How often the gate has dialled since `start`, and the most that it did within a second.
    pub(crate) fn dials_since(&self, start: Instant) -> (usize, usize) {
        let mut dials = self.shared.dials.lock().unwrap().clone();
        dials.retain(|at| *at >= start);
        let within_a_second = |first: &Instant| {
            let span = *first..*first + Duration::from_secs(1);
            dials.iter().filter(|at| span.contains(*at)).count()
        };
        let most = dials.iter().map(within_a_second).max();
        (dials.len(), most.unwrap_or(0))
    }

    /// New connections are left alone. What was done to others stays done.
    pub(crate) fn heal(&self) {
        *self.shared.coming.lock().unwrap() = None;
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(shared: Arc<Shared>, mut gate: TcpStream) {
    let mut orders = shared.open.subscribe();
    orders.borrow_and_update();
    let coming = *shared.coming.lock().unwrap();
    if let Some((Phase::Connect, fault)) = coming {
        return suffer(gate, fault).await;
    }
    let Ok(mut target) = TcpStream::connect(("127.0.0.1", shared.target)).await else {
        return suffer(gate, Fault::Reset).await;
    };
    let _ = (gate.set_nodelay(true), target.set_nodelay(true));
    if let Some((Phase::Handshake, fault)) = coming {
        let mut hello = vec![0; 16 << 10];
        let length = gate.read(&mut hello).await.unwrap_or(0);
        let _ = target.write_all(&hello[..length]).await;
        return suffer(gate, fault).await;
    }
    let fault = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut gate, &mut target) => return,
        changed = orders.changed() => changed.ok().and_then(|()| orders.borrow().1),
    };
    if let Some(fault) = fault {
        suffer(gate, fault).await;
    }
}

async fn suffer(mut gate: TcpStream, fault: Fault) {
    match fault {
        Fault::Reset => {
            SockRef::from(&gate).set_linger(Some(Duration::ZERO)).unwrap();
        }
        Fault::End => drop(gate.shutdown().await),
        // The kernel goes on acknowledging, as a peer does whose program hangs.
        Fault::Silence => std::future::pending().await,
        Fault::Loss => {
            // `ret 0`: keep nothing of any packet. What TCP does not see, it does not acknowledge.
            SockRef::from(&gate).attach_filter(&[SockFilter::new(0x06, 0, 0, 0)]).unwrap();
            std::future::pending::<()>().await;
        }
        Fault::Garbage => {
            let _ = gate.write_all(&[0x5a; 4096]).await;
            let _ = gate.shutdown().await;
        }
    }
}
