//! Ends streams at their time: one task for all of them, and no timer of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::Authenticator;
use crate::clock;
use crate::streams::Owner;

/// The longest rest. A wall clock that is set forward, or an end that comes to lie before the one that is waited for, is
/// seen after this long.
const REST: Duration = Duration::from_millis(250);

impl Authenticator {
    /// Cuts streams when their tokens expire, looks again at those whose time it is, and lets go of those that don't end
    /// after a cut. It never ends by itself: a gate where it has must not go on serving.
    pub async fn keep_streams(self: Arc<Self>) {
        let (mut waiting, mut judging) = (Vec::new(), None);
        loop {
            tokio::time::sleep(self.rest()).await;
            // What needs no record comes first and waits for nothing, however slow the store is.
            waiting.extend(self.streams().expire(clock::now()));
            self.streams().abandon_stuck(Instant::now());
            if !waiting.is_empty() && judging.as_ref().is_none_or(JoinHandle::is_finished) {
                let (keeper, owners) = (Arc::clone(&self), std::mem::take(&mut waiting));
                judging = Some(tokio::spawn(async move { keeper.judge_all(owners).await }));
            }
        }
    }

    fn rest(&self) -> Duration {
        let next = self.streams().next_due().map_or(u64::MAX, |next| next.0.saturating_sub(clock::now().0));
        Duration::from_millis(next.max(1)).min(REST)
    }

    async fn judge_all(&self, owners: Vec<Owner>) {
        for owner in owners {
            if let Owner::Token { token, user } = owner {
                let is_idle = |token: &_| self.is_idle_session(token, clock::now());
                self.records.judge(&token, &user, is_idle).await;
            }
        }
    }
}
