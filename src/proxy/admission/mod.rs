//! How many requests may be under way, in all and of one user. What is too much waits for a moment in a queue that takes
//! turns among users, so that a loud one does not starve the others; what waits too long is told to come back.
//!
//! Requests that last have places of their own and do not wait: theirs come free too seldom.

mod lane;
mod queue;
mod seats;

use std::fmt::Display;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{self, SECOND};
use crate::config::Limits;
use crate::telemetry::{Level, LoadMetrics};
use lane::Lane;
pub use lane::Seat;
pub use seats::Full;
use seats::{Bounds, Seats};

/// The places for all requests, shared by all workers.
pub struct Admission {
    short: Arc<Lane>,
    long: Arc<Lane>,
    /// Users are told apart by a hash that nobody outside can foresee.
    hasher: RandomState,
    /// Refusals that the log was not told of, and when it was told last.
    refused: AtomicU64,
    reported_at: AtomicU64,
}

/// What was done to let a request in.
pub enum Admitted {
    /// Nothing.
    AtOnce(Seat),
    /// It was made to wait. Whatever was found out about its caller before may no longer be so.
    Late(Seat),
}

impl Admission {
    /// No place is taken yet.
    pub fn new(limits: &Limits, metrics: &LoadMetrics) -> Self {
        let (short, long) = bounds(limits);
        let short = Seats::new(metrics.requests_in_flight.clone(), short);
        let long = Seats::new(Level::default(), long);
        Self {
            short: Lane::new(short, limits.max_requests_in_flight, metrics.requests_waiting.clone()),
            long: Lane::new(long, 0, Level::default()),
            hasher: RandomState::new(),
            refused: AtomicU64::new(0),
            reported_at: AtomicU64::new(0),
        }
    }

    /// From now on the bounds of `limits` count. What is under way goes on.
    pub fn set_bounds(&self, limits: &Limits) {
        let (short, long) = bounds(limits);
        self.short.set_bounds(short, limits.max_requests_in_flight);
        self.long.set_bounds(long, 0);
    }

    /// A place for a request of `caller`, now or in a moment.
    ///
    /// # Errors
    /// The bound that leaves no room for it.
    pub async fn admit(
        &self,
        caller: &(impl Hash + Display),
        is_long_running: bool,
    ) -> Result<Admitted, Full> {
        let user = Seats::user(self.hasher.hash_one(caller));
        let admitted = if is_long_running {
            self.long.try_seat(user).map(Admitted::AtOnce)
        } else {
            match self.short.try_seat(user) {
                Ok(seat) => return Ok(Admitted::AtOnce(seat)),
                // Boxed, so that what hardly ever happens does not make the future of every request larger.
                Err(_) => Box::pin(self.short.seat(user, PATIENCE)).await.map(Admitted::Late),
            }
        };
        admitted.inspect_err(|full| self.report(caller, *full, is_long_running))
    }

    /// Tells the log of a refusal, and now and then only: whoever is refused tries again.
    fn report(&self, caller: &impl Display, full: Full, is_long_running: bool) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let (now, last) = (clock::now().0, self.reported_at.load(Ordering::Relaxed));
        let is_due = now >= last.saturating_add(REPORT_INTERVAL);
        if is_due
            && self.reported_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let refused = self.refused.swap(0, Ordering::Relaxed);
            tracing::warn!(%caller, ?full, is_long_running, refused, "requests are refused as too many are under way");
        }
    }
}

impl Admitted {
    /// The place.
    pub fn seat(self) -> Seat {
        match self {
            Self::AtOnce(seat) | Self::Late(seat) => seat,
        }
    }
}

/// Those of requests that are soon over, and of those that last.
fn bounds(limits: &Limits) -> (Bounds, Bounds) {
    let (short, long) = (limits.max_requests_in_flight, limits.max_streams);
    (
        Bounds { most: short, most_per_user: limits.max_requests_in_flight_per_user },
        Bounds { most: long, most_per_user: limits.max_streams_per_user },
    )
}

/// How long a request waits for a place. Whoever has to wait for longer is better off trying again.
const PATIENCE: Duration = Duration::from_secs(1);
const REPORT_INTERVAL: u64 = 10 * SECOND;

#[cfg(test)]
mod tests;
