//! How many reviews a cluster's apiserver is asked for: at the same time, and in a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

/// How long a request waits for one of the reviews that are under way to end.
const PATIENCE: Duration = Duration::from_secs(1);

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

impl Lane {
    /// At most `at_once` reviews at the same time, and `per_second` of them begun in a second.
    pub(super) fn new(at_once: usize, per_second: u32) -> Self {
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

    /// Takes one, or says when there is one.
    fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * bucket.per_second;
        bucket.left = (bucket.left + gained).min(bucket.per_second);
        bucket.at = bucket.at.max(now);
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.left) / bucket.per_second))
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

    #[tokio::test]
    async fn whoever_finds_no_place_is_turned_away_and_the_patient_get_theirs() {
        let lane = Lane::new(1, 1000);
        let first = lane.enter().await.unwrap();
        assert!(lane.enter().await.is_none());
        let (second, ()) = tokio::join!(lane.enter_patiently(), async { drop(first) });
        assert!(second.is_some());
    }
}
