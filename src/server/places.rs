//! Which worker serves a connection: the one that has the fewest, however the kernel spreads them over the listening
//! sockets. By hash, of a few long-lived clients most can end up with one worker, and stay there.

use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::MOST_CONNECTIONS;

/// A connection goes to another worker when its own has more than the one with the fewest by this part of those: to hand
/// one over costs more than to be a little uneven.
const SLACK: usize = 16;

/// The connections of all workers.
pub(super) struct Places(Box<[Worker]>);

struct Worker {
    /// One permit each connection, of [`MOST_CONNECTIONS`].
    connections: Arc<Semaphore>,
    /// Never longer than the most connections that there may be: each has its place before it is sent.
    handed_over: UnboundedSender<Arrival>,
}

/// A connection that another worker has accepted.
pub(super) struct Arrival {
    pub(super) stream: StdTcpStream,
    pub(super) address: SocketAddr,
    pub(super) place: OwnedSemaphorePermit,
}

/// The worker that is to serve a connection, and its place there.
pub(super) struct Place {
    pub(super) worker: usize,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Places {
    /// Of so many workers, with what each gets from the others.
    pub(super) fn new(workers: usize) -> (Arc<Self>, Vec<UnboundedReceiver<Arrival>>) {
        let (workers, arrivals): (Vec<_>, Vec<_>) = (0..workers)
            .map(|_| {
                let (handed_over, arrivals) = unbounded_channel();
                let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS as usize));
                (Worker { connections, handed_over }, arrivals)
            })
            .unzip();
        (Arc::new(Self(workers.into())), arrivals)
    }

    /// A place for a connection that `own` has accepted, if fewer than `most` are taken at all workers together. The bound
    /// can change, so it is not the number of permits that there are.
    pub(super) fn take(&self, own: usize, most: usize) -> Option<Place> {
        let worker = self.choose(own);
        let permit = Arc::clone(&self.0.get(worker)?.connections).try_acquire_owned().ok()?;
        // This one is among those that are taken: of two who come at once none sees the other's place as free.
        let taken: usize = self.0.iter().map(Worker::count).sum();
        (taken <= most).then_some(Place { worker, permit })
    }

    /// Has another worker serve it. One that has ended takes the server with it, and this connection too.
    pub(super) fn hand_over(&self, worker: usize, arrival: Arrival) {
        if let Some(worker) = self.0.get(worker) {
            let _ = worker.handed_over.send(arrival);
        }
    }

    /// Waits until every connection has ended.
    pub(super) async fn empty(&self) {
        for worker in &self.0 {
            let _ = worker.connections.acquire_many(MOST_CONNECTIONS).await;
        }
    }

    fn choose(&self, own: usize) -> usize {
        let counts = || self.0.iter().map(Worker::count);
        let own_count = counts().nth(own).unwrap_or(usize::MAX);
        match counts().enumerate().min_by_key(|(_, count)| *count) {
            Some((least, count)) if own_count > count + count / SLACK => least,
            Some(_) | None => own,
        }
    }
}

impl Worker {
    fn count(&self) -> usize {
        (MOST_CONNECTIONS as usize).saturating_sub(self.connections.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_to_be_had_below_the_bound_whatever_it_is_now() {
        let (places, _arrivals) = Places::new(2);
        let mut held = vec![places.take(0, 2).unwrap(), places.take(0, 2).unwrap()];
        assert!(places.take(0, 2).is_none() && places.take(1, 1).is_none());
        held.extend(places.take(0, 3));
        assert_eq!(held.len(), 3);
        drop(held.split_off(1));
        assert!(places.take(0, 1).is_none());
        assert!(places.take(0, 2).is_some());
    }

    #[test]
    fn connections_of_one_listener_are_spread_over_all_workers() {
        let (places, _arrivals) = Places::new(3);
        let held: Vec<_> = (0..300).map(|_| places.take(1, 1000).unwrap()).collect();
        for worker in 0..3 {
            let count = held.iter().filter(|place| place.worker == worker).count();
            assert!((90..=110).contains(&count), "worker {worker} has {count}");
        }
        let few = |own| held.iter().take(3).filter(|place| place.worker == own).count();
        assert_eq!([few(0), few(1), few(2)], [1, 1, 1], "the first three are at one each");
    }

    #[test]
    fn a_worker_that_is_hardly_fuller_keeps_what_it_accepts() {
        let (places, _arrivals) = Places::new(2);
        let mut held: Vec<_> = (0..100).map(|_| places.take(0, 1000).unwrap()).collect();
        held.sort_by_key(|place| place.worker);
        held.drain(..2);
        assert_eq!(places.take(1, 1000).unwrap().worker, 1, "two more than the other of about fifty");
        held.drain(..10);
        assert_eq!(places.take(1, 1000).unwrap().worker, 0, "twelve more");
    }

    #[tokio::test]
    async fn they_are_empty_when_the_last_connection_has_ended() {
        let (places, _arrivals) = Places::new(2);
        let held = (places.take(0, 10), places.take(1, 10));
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.empty().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
    }
}
