//! Housekeeping: what has ended is deleted after a while, and leases that nobody renewed at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::audit::Act;
use super::{Authority, AuthorityError};
use crate::clock::{self, UnixMillis};
use crate::store::Write;
use crate::token::TokenKind;

impl Authority {
    /// Deletes expired tokens every hour, a day after their end, so that who wonders about a refusal still finds them;
    /// events of the audit log after ninety days; and tokens whose lease was not renewed within seconds. For ever.
    pub async fn housekeeping(self: Arc<Self>) {
        tokio::join!(
            every(LEASE_CHECK, || self.end_leases(clock::now())),
            every(PURGE_EVERY, || self.purge(clock::now())),
        );
    }

    /// How many tokens of each kind never expire.
    pub async fn never_expiring(&self) -> Result<Vec<(TokenKind, u64)>, AuthorityError> {
        let found = self.store.never_expiring_tokens().await?;
        let count = |kind| found.iter().find(|(of, _)| *of == kind).map_or(0, |(_, count)| *count);
        Ok(TokenKind::ALL.into_iter().map(|kind| (kind, count(kind))).collect())
    }

    /// Tokens that were deleted since the start because they, or their lease, had expired.
    pub fn purged_tokens(&self) -> u64 {
        self.purged.load(Ordering::Relaxed)
    }

    pub(super) async fn end_leases(&self, now: UnixMillis) -> Result<(), AuthorityError> {
        self.in_batches("token.lease-end", "the lease was not renewed", || Write::EndLeases(now, BATCH)).await
    }

    pub(super) async fn purge(&self, now: UnixMillis) -> Result<(), AuthorityError> {
        let before = |age: Duration| {
            UnixMillis(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
        };
        let expired = before(GRACE);
        self.in_batches("token.purge", "expired more than a day ago", || Write::PurgeExpired(expired, BATCH))
            .await?;
        let old = before(AUDIT_AGE);
        loop {
            let committed = self.store.commit(Write::PurgeAudit(old, BATCH), None).await?;
            if committed.count < BATCH as usize {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// Batch by batch, with pauses: other writes have their turn in between.
    async fn in_batches(
        &self,
        action: &'static str,
        message: &str,
        write: impl Fn() -> Write,
    ) -> Result<(), AuthorityError> {
        loop {
            let act = Act::of_server(action);
            let committed = self.commit(write(), act, message.to_owned()).await?;
            self.purged.fetch_add(committed.count as u64, Ordering::Relaxed);
            if committed.count < BATCH as usize {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }
}

/// A failure is logged, and what was to be done is done the next time.
async fn every<F: Future<Output = Result<(), AuthorityError>>>(period: Duration, work: impl Fn() -> F) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = work().await {
            tracing::error!(error = &error as &dyn std::error::Error, "housekeeping failed");
        }
    }
}

const LEASE_CHECK: Duration = Duration::from_secs(5);
const PURGE_EVERY: Duration = Duration::from_hours(1);
const GRACE: Duration = Duration::from_hours(24);
const AUDIT_AGE: Duration = Duration::from_hours(90 * 24);
const PAUSE: Duration = Duration::from_millis(50);

/// Rows in one write.
const BATCH: u32 = 500;
