//! The places of one kind, and who waits for them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::queue::{FairQueue, Ticket};
use super::seats::{Bounds, Full, Seats};
use crate::telemetry::Level;

/// Places of one kind. Nobody locks anything while nobody waits.
pub(super) struct Lane {
    seats: Seats,
    queue: Mutex<FairQueue<oneshot::Sender<Seat>>>,
    /// The length of the queue.
    waiting: Level,
}

/// A place among the requests under way; given back when this is dropped.
pub struct Seat {
    lane: Option<Arc<Lane>>,
    user: usize,
}

/// One who waits; gone from the queue when this is dropped.
struct Waiting<'l> {
    lane: &'l Lane,
    ticket: Ticket,
}

impl Lane {
    /// With a queue of at most `queue`.
    pub(super) fn new(seats: Seats, queue: usize, waiting: Level) -> Arc<Self> {
        Arc::new(Self { seats, queue: Mutex::new(FairQueue::new(queue)), waiting })
    }

    /// From now on these bounds count, and the queue is at most `queue` long. Who waits hears of places that there are now.
    pub(super) fn set_bounds(self: &Arc<Self>, bounds: Bounds, queue: usize) {
        let mut waiting = self.lock();
        self.seats.set_bounds(bounds);
        waiting.set_most(queue);
        self.hand_out(&mut waiting);
    }

    /// A place, if there is one and nobody has waited for it.
    pub(super) fn try_seat(self: &Arc<Self>, user: usize) -> Result<Seat, Full> {
        if self.waiting().load(Ordering::SeqCst) > 0 {
            return Err(Full::All);
        }
        self.seats.take(user)?;
        Ok(Seat { lane: Some(Arc::clone(self)), user })
    }

    /// A place, in turn with other users, within `patience`.
    pub(super) async fn seat(self: &Arc<Self>, user: usize, patience: Duration) -> Result<Seat, Full> {
        let (sender, seat) = oneshot::channel();
        let ticket = {
            let mut queue = self.lock();
            let ticket = queue.push(user, sender);
            self.hand_out(&mut queue);
            ticket
        };
        let Some(ticket) = ticket else { return Err(self.seats.full(user)) };
        let _waiting = Waiting { lane: self, ticket };
        match timeout(patience, seat).await {
            Ok(Ok(seat)) => Ok(seat),
            // Out of patience, or out of the queue for somebody quieter.
            Ok(Err(_)) | Err(_) => Err(self.seats.full(user)),
        }
    }

    /// Gives free places to those whose turn it is. That somebody waits is made known first: who gives a place back from
    /// then on comes here, and a place that came back before is found now.
    fn hand_out(self: &Arc<Self>, queue: &mut FairQueue<oneshot::Sender<Seat>>) {
        self.announce(queue);
        let mut full = false;
        let mut may_sit = |user| {
            let taken = if full { Err(Full::All) } else { self.seats.take(user) };
            full = taken == Err(Full::All);
            taken.is_ok()
        };
        while let Some((user, sender)) = queue.next(&mut may_sit) {
            if let Err(seat) = sender.send(Seat { lane: Some(Arc::clone(self)), user }) {
                // Gone in this moment. Giving the place back as usual would come here again, and wait for itself.
                seat.abandon();
                self.seats.give_back(user);
            }
        }
        self.announce(queue);
    }

    fn announce(&self, queue: &FairQueue<oneshot::Sender<Seat>>) {
        self.waiting().store(i64::try_from(queue.len()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    fn waiting(&self) -> &AtomicI64 {
        self.waiting.value()
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<oneshot::Sender<Seat>>> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Forgets the place without giving it back.
    fn abandon(mut self) {
        self.lane = None;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(lane) = self.lane.take() else { return };
        lane.seats.give_back(self.user);
        if lane.waiting().load(Ordering::SeqCst) > 0 {
            lane.hand_out(&mut lane.lock());
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = self.lane.lock();
        queue.remove(self.ticket);
        self.lane.announce(&queue);
    }
}
