//! Attempts to connect to an endpoint. All workers share them: an apiserver that comes back must not be greeted by
//! everyone at once, however many they are, and all go on as soon as one attempt was good.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What came of the attempts to connect to one endpoint.
#[derive(Debug, Default)]
pub struct Attempts {
    failed: Mutex<Option<Failure>>,
    /// Held by the one attempt that finds out whether the endpoint is back.
    scouting: tokio::sync::Mutex<()>,
}

/// Leave to connect. Dropped without an [`end`](Self::end) it has told nothing.
pub struct Attempt<'a> {
    attempts: &'a Attempts,
    scout: Option<tokio::sync::MutexGuard<'a, ()>>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    at: Instant,
    /// As it doubles, and as it is kept.
    step: Duration,
    pause: Duration,
}

enum Outlook {
    Good,
    /// The last attempt failed a moment ago.
    Bad,
    /// It failed some time ago.
    Unknown,
}

impl Attempts {
    /// Leave to connect; `None` if the last attempt failed a moment ago. After one that failed there is one at a time: it
    /// is waited for, and speaks for all who did.
    pub async fn begin(&self) -> Option<Attempt<'_>> {
        let scout = match self.outlook() {
            Outlook::Good => None,
            Outlook::Bad => return None,
            Outlook::Unknown => {
                let scout = self.scouting.lock().await;
                match self.outlook() {
                    Outlook::Good => None,
                    Outlook::Bad => return None,
                    Outlook::Unknown => Some(scout),
                }
            }
        };
        Some(Attempt { attempts: self, scout })
    }

    fn outlook(&self) -> Outlook {
        match *self.failed() {
            None => Outlook::Good,
            Some(failure) if failure.at.elapsed() < failure.pause => Outlook::Bad,
            Some(_) => Outlook::Unknown,
        }
    }

    /// Nothing panics while it holds this lock, and what it guards is whole at every moment.
    fn failed(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Says what came of it.
    pub fn end(self, is_connected: bool) {
        let mut failed = self.attempts.failed();
        if is_connected {
            *failed = None;
            return;
        }
        let step = match *failed {
            None => FIRST_PAUSE,
            // Begun before anybody knew: one failure of many at once, not one more in a row.
            Some(_) if self.scout.is_none() => return,
            Some(last) => (last.step * 2).min(LONGEST_PAUSE),
        };
        *failed = Some(Failure { at: Instant::now(), step, pause: jittered(step) });
    }
}

/// `span`, give or take a quarter. Every hasher of the standard library is keyed at random, which is random enough here.
fn jittered(span: Duration) -> Duration {
    let per_mille = RandomState::new().hash_one(0_u8) % 501;
    span * (750 + u32::try_from(per_mille).unwrap_or(0)) / 1000
}

/// After a failed attempt there is none for this long, doubling up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Clients that are refused are told to wait for a second, the shortest time there is a word for: what they are refused
/// for after the endpoint is back adds to that.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_attempt_is_followed_by_a_pause_that_grows() {
        let attempts = Attempts::default();
        let mut last = Duration::ZERO;
        for _ in 0..3 {
            let attempt = begun(&attempts).await;
            attempt.end(false);
            assert!(attempts.begin().await.is_none());
            let pause = attempts.failed().unwrap().pause;
            assert!(pause > last, "{pause:?} after {last:?}");
            last = pause;
        }
        begun(&attempts).await.end(true);
        let (first, second) = (attempts.begin().await, attempts.begin().await);
        assert!(first.is_some() && second.is_some(), "all may connect once one has");
    }

    #[tokio::test]
    async fn attempts_that_fail_together_are_one_failure() {
        let attempts = Attempts::default();
        let (one, other) = (attempts.begin().await.unwrap(), attempts.begin().await.unwrap());
        one.end(false);
        other.end(false);
        assert_eq!(attempts.failed().unwrap().step, FIRST_PAUSE);
    }

    #[tokio::test]
    async fn who_waits_for_an_attempt_shares_its_fortune() {
        for is_connected in [true, false] {
            let attempts = Attempts::default();
            begun(&attempts).await.end(false);
            let scout = begun(&attempts).await;
            let (waiting, ()) = tokio::join!(attempts.begin(), async {
                tokio::task::yield_now().await;
                scout.end(is_connected);
            });
            assert_eq!(waiting.is_some(), is_connected);
        }
    }

    #[tokio::test]
    async fn an_attempt_that_is_given_up_leaves_the_way_free() {
        let attempts = Attempts::default();
        begun(&attempts).await.end(false);
        drop(begun(&attempts).await);
        assert!(attempts.begin().await.is_some());
    }

    /// An attempt, once there may be one.
    async fn begun(attempts: &Attempts) -> Attempt<'_> {
        loop {
            if let Some(attempt) = attempts.begin().await {
                return attempt;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
