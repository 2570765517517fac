//! The data plane's threads. Each has its own runtime, its own listening socket and its own connections upstream; a
//! client's connection stays on the thread that accepted it.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::connection::{self, Context};
use super::places::{Arrival, Places};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// After an accept that failed for want of file descriptors or memory: the pause in which some may be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// When the other end of a connection is given up: TCP's own default is a quarter of an hour.
const KEEPALIVE: Duration = Duration::from_secs(30);
const UNACKNOWLEDGED: Duration = Duration::from_secs(90);

/// A socket of `address` that shares its port with the other workers'; the kernel spreads connections over them.
pub(super) fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Tells the server that a worker has ended, however that came about.
struct Ending(mpsc::Sender<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        // A full queue has the news already.
        let _ = self.0.try_send(());
    }
}

/// How a worker comes by its connections.
pub(super) struct Entrance {
    pub(super) number: usize,
    pub(super) listener: StdListener,
    pub(super) places: Arc<Places>,
    /// What other workers have accepted for it.
    pub(super) arrivals: UnboundedReceiver<Arrival>,
    /// Held for as long as it accepts connections.
    pub(super) listening: Option<OwnedSemaphorePermit>,
}

/// Starts a worker. `context` is made on its thread, where its connections upstream will live. It ends when `stop` does,
/// and says so on `ended`.
pub(super) fn spawn(
    entrance: Entrance,
    stop: watch::Receiver<bool>,
    ended: mpsc::Sender<()>,
    context: impl FnOnce() -> Context + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name(format!("worker-{}", entrance.number)).spawn(move || {
        let _ending = Ending(ended);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(entrance, stop, context()))
    })
}

async fn run(entrance: Entrance, mut stop: watch::Receiver<bool>, context: Context) -> io::Result<()> {
    let Entrance { number, listener, places, arrivals, listening } = entrance;
    let listener = TcpListener::from_std(listener)?;
    let mut draining = context.draining.clone();
    let dispatch = Arc::clone(&context.dispatch);
    tokio::spawn(async move { dispatch.gate.clusters.follow().await });
    tokio::spawn(take_over(arrivals, context.clone()));
    let door = Door { number, places, context };
    tokio::select! {
        never = door.accept(&listener) => match never {},
        _ = draining.wait_for(|draining| *draining) => {}
    }
    let listener = listener.into_std()?;
    door.accept_last(&listener);
    drop((listener, listening));
    // Connections go on on this thread until the server says that it is over.
    let _ = stop.wait_for(|stop| *stop).await;
    Ok(())
}

/// Serves what other workers have accepted, for as long as any of them accepts.
async fn take_over(mut arrivals: UnboundedReceiver<Arrival>, context: Context) {
    while let Some(Arrival { stream, address, place }) = arrivals.recv().await {
        match TcpStream::from_std(stream) {
            Ok(stream) => drop(tokio::spawn(connection::serve(context.clone(), stream, address, place))),
            Err(error) => tracing::debug!(%address, %error, "can't serve a connection"),
        }
    }
}

/// Where a worker's connections come in.
struct Door {
    number: usize,
    places: Arc<Places>,
    context: Context,
}

impl Door {
    async fn accept(&self, listener: &TcpListener) -> std::convert::Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.admit(stream, address),
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes in who has connected already and waits to be accepted: closing the socket would reset them.
    fn accept_last(&self, listener: &StdListener) {
        while let Ok((stream, address)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            match stream {
                Ok(stream) => self.admit(stream, address),
                Err(error) => tracing::debug!(%address, %error, "can't serve a connection"),
            }
        }
    }

    /// Has a connection served if there is room for one more: here, or by a worker that has fewer.
    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let gate = &self.context.dispatch.gate;
        let Some(place) = self.places.take(self.number, gate.limits.current().max_connections) else {
            gate.telemetry.metrics.count_rejection("too_many_connections");
            return;
        };
        if let Err(error) = tune(&stream) {
            tracing::debug!(%address, %error, "can't set socket options");
            return;
        }
        if place.worker == self.number {
            tokio::spawn(connection::serve(self.context.clone(), stream, address, place.permit));
            return;
        }
        match stream.into_std() {
            Ok(stream) => {
                self.places.hand_over(place.worker, Arrival { stream, address, place: place.permit });
            }
            Err(error) => tracing::debug!(%address, %error, "can't hand a connection over"),
        }
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_dies_says_so() {
        let (ended, mut seen) = mpsc::channel(1);
        let (_stop, stop_seen) = watch::channel(false);
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let (places, mut arrivals) = Places::new(1);
        let entrance =
            Entrance { number: 0, listener, places, arrivals: arrivals.remove(0), listening: None };
        let worker = spawn(entrance, stop_seen, ended, || panic!("no context today")).unwrap();
        assert_eq!(seen.blocking_recv(), Some(()));
        assert!(worker.join().is_err());
    }
}
