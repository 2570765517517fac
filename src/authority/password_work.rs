//! Hashing of passwords: slow on purpose, so it runs on blocking threads, few at a time, with a short queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::AuthorityError;

/// The places at which passwords are hashed.
#[derive(Debug)]
pub(super) struct PasswordWork {
    slots: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// A place to hash at.
pub(super) struct Slot {
    permits: [OwnedSemaphorePermit; 2],
}

impl PasswordWork {
    pub(super) fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(SLOTS)), places: Arc::new(Semaphore::new(SLOTS + QUEUE)) }
    }

    /// Waits for a place; [`AuthorityError::Busy`] if too many wait already, or for too long.
    pub(super) async fn slot(&self) -> Result<Slot, AuthorityError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| AuthorityError::Busy)?;
        let slot = timeout(PATIENCE, Arc::clone(&self.slots).acquire_owned());
        let slot = slot.await.map_err(|_| AuthorityError::Busy)?.map_err(|_| AuthorityError::Busy)?;
        Ok(Slot { permits: [place, slot] })
    }
}

impl Slot {
    /// Runs `work` on a blocking thread. The place is taken until the work ends, also if nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthorityError> {
        let permits = self.permits;
        let done = spawn_blocking(move || {
            let result = work();
            drop(permits);
            result
        });
        done.await.map_err(|_| AuthorityError::Busy)
    }
}

/// Hashes at once: 19 MiB and a core each.
const SLOTS: usize = 2;

/// Logins that wait for a slot: about a second's worth.
const QUEUE: usize = 64;

const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_flood_of_logins_is_turned_away_and_the_next_one_after_it_is_served() {
        let work = PasswordWork::new();
        let (release, released) = mpsc::channel::<()>();
        let first = tokio::spawn(work.slot().await.unwrap().run(move || released.recv().is_err()));
        let second = work.slot().await.unwrap();
        let mut queue: Vec<_> = (0..QUEUE).map(|_| Box::pin(work.slot())).collect();
        for waiting in &mut queue {
            assert!(
                std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx)))
                    .await
                    .is_pending()
            );
        }
        assert!(matches!(work.slot().await, Err(AuthorityError::Busy)));
        first.abort();
        assert!(
            matches!(work.slot().await, Err(AuthorityError::Busy)),
            "an abandoned hash still takes its place"
        );
        drop(release);
        drop((queue, second));
        work.slot().await.unwrap().run(|| ()).await.unwrap();
    }
}
