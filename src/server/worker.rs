//! The data plane's threads. Each has its own runtime, its own listening socket and its own connections upstream; a
//! client's connection stays on the thread that accepted it.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::connection::{self, Context};
use crate::config::MOST_CONNECTIONS;

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

/// What a worker takes up of what all share.
pub(super) struct Places {
    /// One permit a connection, of [`MOST_CONNECTIONS`].
    pub(super) connections: Arc<Semaphore>,
    /// Held for as long as the worker accepts connections.
    pub(super) listening: Option<OwnedSemaphorePermit>,
}

/// Starts a worker. `context` is made on its thread, where its connections upstream will live. It ends when `stop` does,
/// and says so on `ended`.
pub(super) fn spawn(
    number: usize,
    listener: StdListener,
    places: Places,
    stop: watch::Receiver<bool>,
    ended: mpsc::Sender<()>,
    context: impl FnOnce() -> Context + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        let _ending = Ending(ended);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(listener, places, stop, context()))
    })
}

async fn run(
    listener: StdListener,
    places: Places,
    mut stop: watch::Receiver<bool>,
    context: Context,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut draining = context.draining.clone();
    let dispatch = Arc::clone(&context.dispatch);
    tokio::spawn(async move { dispatch.gate.clusters.follow().await });
    let Places { connections, listening } = places;
    let accepting = accept(&listener, &connections, &context);
    tokio::select! {
        never = accepting => match never {},
        _ = draining.wait_for(|draining| *draining) => {}
    }
    let listener = listener.into_std()?;
    accept_last(&listener, &connections, &context);
    drop((listener, listening));
    // Connections go on on this thread until the server says that it is over.
    let _ = stop.wait_for(|stop| *stop).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    context: &Context,
) -> std::convert::Infallible {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        admit(stream, address, permits, context);
    }
}

/// Takes in who has connected already and waits to be accepted: closing the socket would reset them.
fn accept_last(listener: &StdListener, permits: &Arc<Semaphore>, context: &Context) {
    while let Ok((stream, address)) = listener.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        match stream {
            Ok(stream) => admit(stream, address, permits, context),
            Err(error) => tracing::debug!(%address, %error, "can't serve a connection"),
        }
    }
}

/// Serves a connection if there is room for one more.
fn admit(stream: TcpStream, address: SocketAddr, permits: &Arc<Semaphore>, context: &Context) {
    let most = context.dispatch.gate.limits.current().max_connections;
    let Some(permit) = place(permits, most) else {
        context.dispatch.gate.telemetry.metrics.count_rejection("too_many_connections");
        return;
    };
    if let Err(error) = tune(&stream) {
        tracing::debug!(%address, %error, "can't set socket options");
        return;
    }
    tokio::spawn(connection::serve(context.clone(), stream, address, permit));
}

/// A place, if fewer than `most` are taken. The bound can change, so it is not the number of permits that there are.
fn place(permits: &Arc<Semaphore>, most: usize) -> Option<OwnedSemaphorePermit> {
    let permit = Arc::clone(permits).try_acquire_owned().ok()?;
    // This one is among those that are taken: of two who come at once none sees the other's place as free.
    let taken = (MOST_CONNECTIONS as usize).saturating_sub(permits.available_permits());
    (taken <= most).then_some(permit)
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
    fn a_place_is_to_be_had_below_the_bound_whatever_it_is_now() {
        let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
        let mut held = vec![place(&permits, 2).unwrap(), place(&permits, 2).unwrap()];
        assert!(place(&permits, 2).is_none() && place(&permits, 1).is_none());
        held.extend(place(&permits, 3));
        assert_eq!(held.len(), 3);
        drop(held.split_off(1));
        assert!(place(&permits, 1).is_none());
        assert!(place(&permits, 2).is_some());
    }

    #[test]
    fn a_worker_that_dies_says_so() {
        let (ended, mut seen) = mpsc::channel(1);
        let (_stop, stop_seen) = watch::channel(false);
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let connections = Arc::new(Semaphore::new(1));
        let places = Places { connections, listening: None };
        let worker = spawn(0, listener, places, stop_seen, ended, || panic!("no context today")).unwrap();
        assert_eq!(seen.blocking_recv(), Some(()));
        assert!(worker.join().is_err());
    }
}
