//! Two gates with the same users, tokens and certificate, behind a balancer of TCP connections as a load balancer is one:
//! it asks each place whether it is ready, and sends connections to those that are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::gate::Gate;
use crate::support::wire::Endpoint;

/// How often the balancer asks: well within the gates' delay.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The balancer; it ends when this is dropped.
pub(crate) struct Balancer {
    /// Where clients connect.
    pub(crate) endpoint: Endpoint,
    places: Arc<Mutex<Vec<Place>>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Copy)]
struct Place {
    address: SocketAddr,
    admin: SocketAddr,
    is_ready: bool,
}

impl Balancer {
    /// In front of `gates`, which are all ready.
    pub(crate) async fn start(gates: &[Gate]) -> Self {
        let places: Vec<_> = gates.iter().map(Place::of).collect();
        let places = Arc::new(Mutex::new(places));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint {
            address: listener.local_addr().unwrap(),
            ca_pem: Arc::clone(&gates[0].endpoint.ca_pem),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(check(Arc::clone(&places)));
        tasks.spawn(balance(listener, Arc::clone(&places)));
        Self { endpoint, places, _tasks: tasks }
    }

    /// A gate is back, and listens elsewhere than before.
    pub(crate) fn replace(&self, number: usize, gate: &Gate) {
        self.places.lock().unwrap()[number] = Place::of(gate);
    }
}

impl Place {
    fn of(gate: &Gate) -> Self {
        Self { address: gate.endpoint.address, admin: gate.admin, is_ready: true }
    }
}

async fn check(places: Arc<Mutex<Vec<Place>>>) {
    let mut ticks = tokio::time::interval(CHECK_INTERVAL);
    loop {
        ticks.tick().await;
        let asked: Vec<_> = places.lock().unwrap().clone();
        for place in asked {
            let is_ready = is_ready(place.admin).await;
            let mut places = places.lock().unwrap();
            if let Some(place) = places.iter_mut().find(|other| other.admin == place.admin) {
                place.is_ready = is_ready;
            }
        }
    }
}

async fn is_ready(admin: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(admin).await else { return false };
    let mut answer = Vec::new();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").await.is_ok()
        && stream.read_to_end(&mut answer).await.is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}

async fn balance(listener: TcpListener, places: Arc<Mutex<Vec<Place>>>) {
    let mut connections = JoinSet::new();
    for turn in 0.. {
        let (mut client, _) = listener.accept().await.unwrap();
        let ready: Vec<_> = places.lock().unwrap().iter().filter(|place| place.is_ready).copied().collect();
        // Without a place that is ready the client is closed, and the test fails.
        let Some(place) = ready.get(turn % ready.len().max(1)).copied() else { continue };
        connections.spawn(async move {
            let Ok(mut gate) = TcpStream::connect(place.address).await else { return };
            let _ = client.set_nodelay(true).and(gate.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut gate).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
