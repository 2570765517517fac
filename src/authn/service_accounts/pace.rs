//! How many reviews a cluster's apiserver is asked for: at the same time, and in a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use crate::config::Reviews;

/// How long a request waits for one of the reviews that are under way to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The turns at the apiserver of each cluster: one that is slow must not hold up the others.
#[derive(Default)]
pub(super) struct LanesByCluster(Mutex<HashMap<Arc<str>, Arc<Lanes>>>);

/// The turns at one cluster's apiserver. Half of what is allowed is for tokens that were good before.
pub(super) struct Lanes {
    /// At once and in a second.
    rates: (usize, u32),
    pub(super) known: Lane,
    pub(super) unknown: Lane,
}

/// One of the two queues for reviews. Tokens that were good before have their own, so that a flood of junk delays no
/// workload that is at work.
pub(super) struct Lane {
    slots: Semaphore,
    bucket: Mutex<Bucket>,
}

/// As many reviews as have not been asked for in the last second.
struct Bucket {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl LanesByCluster {
    /// The lanes of a cluster, as wide as `reviews` says. Those of others that are as new are dropped when they are made:
    /// so nothing has to say that a cluster was removed, and no list of those that once were is kept.
    pub(super) fn of(&self, cluster: &Arc<str>, reviews: &Reviews) -> Arc<Lanes> {
        self.at(Instant::now(), cluster, reviews)
    }

    fn at(&self, now: Instant, cluster: &Arc<str>, reviews: &Reviews) -> Arc<Lanes> {
        let rates @ (at_once, per_second) = (reviews.at_once, reviews.per_second);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lanes) = all.get(cluster).filter(|lanes| lanes.rates == rates) {
            return Arc::clone(lanes);
        }
        all.retain(|_, lanes| Arc::strong_count(lanes) > 1 || !lanes.is_rested(now));
        let lane = || Lane::new(at_once.div_ceil(2), per_second.div_ceil(2));
        let lanes = Arc::new(Lanes { rates, known: lane(), unknown: lane() });
        // Of other rates, reviews that are under way end in the old ones.
        all.insert(Arc::clone(cluster), Arc::clone(&lanes));
        lanes
    }
}

impl Lanes {
    fn is_rested(&self, now: Instant) -> bool {
        self.known.is_rested(now) && self.unknown.is_rested(now)
    }
}

impl Lane {
    /// At most `at_once` reviews at the same time, and `per_second` of them begun in a second.
    fn new(at_once: usize, per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        let bucket = Bucket { per_second, left: per_second, at: Instant::now() };
        Self { slots: Semaphore::new(at_once.max(1)), bucket: Mutex::new(bucket) }
    }

    /// A place for one review, or `None` if there is none soon.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        if self.take(Instant::now()).is_err() {
            return None;
        }
        timeout(PATIENCE, self.slots.acquire()).await.ok()?.ok()
    }

    /// A place for one review, waited for until there is one: for reviews that nobody waits for.
    pub(super) async fn enter_patiently(&self) -> Option<SemaphorePermit<'_>> {
        while let Err(wait) = self.take(Instant::now()) {
            sleep(wait).await;
        }
        self.slots.acquire().await.ok()
    }

    /// Whether its last review began so long ago that a new lane would be no other, but for who is still in this one.
    fn is_rested(&self, now: Instant) -> bool {
        let bucket = self.bucket();
        bucket.left_at(now) >= bucket.per_second
    }

    /// Takes one, or says when there is one.
    fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut bucket = self.bucket();
        bucket.left = bucket.left_at(now);
        bucket.at = bucket.at.max(now);
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.left) / bucket.per_second))
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn left_at(&self, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        (self.left + gained).min(self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_configured_rate_is_let_through() {
        let lane = Lane::new(1, 5);
        let start = Instant::now();
        let taken =
            |after: u64| (0..100).filter(|_| lane.take(start + Duration::from_millis(after)).is_ok()).count();
        assert_eq!(taken(0), 5);
        assert_eq!(taken(100), 0);
        assert_eq!(taken(1000), 5);
        assert_eq!(taken(60_000), 5, "unused time is not saved up");
        assert_eq!(taken(0), 0, "a clock that goes back gives nothing");
        let wait = lane.take(start + Duration::from_mins(1)).unwrap_err();
        assert!((190..=200).contains(&wait.as_millis()), "{wait:?}");
    }

    #[test]
    fn a_lane_is_as_new_a_second_after_its_last_review() {
        let lane = Lane::new(1, 5);
        let start = Instant::now();
        assert!(lane.is_rested(start));
        lane.take(start).unwrap();
        for (millis, rested) in [(0, false), (100, false), (1000, true)] {
            assert_eq!(lane.is_rested(start + Duration::from_millis(millis)), rested, "{millis}");
        }
    }

    #[test]
    fn lanes_of_clusters_that_nobody_asks_any_more_are_dropped_and_those_in_use_are_kept() {
        let reviews = Reviews { at_once: 2, per_second: 2, ..Reviews::default() };
        let (lanes, now) = (LanesByCluster::default(), Instant::now());
        let of = |cluster: &str| lanes.at(now, &cluster.into(), &reviews);
        drop(of("removed"));
        let held = of("in use");
        of("asked a moment ago").unknown.take(now).unwrap();
        drop(of("new"));
        assert_eq!(lanes.0.lock().unwrap().len(), 3, "without the removed one");
        assert!(Arc::ptr_eq(&held, &of("in use")), "one cluster has one pair");
        assert!(of("asked a moment ago").unknown.take(now).is_err(), "no turn is given twice");
        let wider = Reviews { per_second: 4, ..reviews.clone() };
        let other = lanes.at(now, &"asked a moment ago".into(), &wider);
        assert!((0..2).all(|_| other.unknown.take(now).is_ok()), "but by another configuration");
    }

    #[tokio::test]
    async fn whoever_finds_no_place_is_turned_away_and_the_patient_get_theirs() {
        let lane = Lane::new(1, 1000);
        let first = lane.enter().await.unwrap();
        assert!(lane.enter().await.is_none());
        let (second, ()) = tokio::join!(lane.enter_patiently(), async { drop(first) });
        assert!(second.is_some());
    }
}
