//! Service accounts with open streams: their tokens are reviewed again for as long as the streams last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::jwt::Jwt;
use super::review::{GOOD_FOR, Reviewed};
use super::{AccountError, ServiceAccount, ServiceAccounts, Shared};
use crate::cluster::Cluster;
use crate::identity::UserInfo;
use crate::streams::{CutReason, Owner, ReviewKey};
use crate::telemetry::ReviewResult;

/// How often it is looked whether a review is due.
const TICK: Duration = Duration::from_millis(500);
/// For how long streams go on whose account can't be reviewed. An apiserver that restarts takes no watch with it, one
/// that stays away must not keep a deleted pod's streams open for ever.
const UNANSWERED_FOR: Duration = Duration::from_mins(1);
/// Accounts that can have open streams at the same time.
const MAX_ACCOUNTS: usize = 20_000;

/// The accounts with open streams.
#[derive(Default)]
pub(super) struct OpenAccounts(Mutex<HashMap<ReviewKey, Held>>);

/// All that is needed to ask again. The one place where a token is kept, for as long as it has a stream.
struct Held {
    cluster: Arc<Cluster>,
    token: Arc<Jwt>,
    user: Arc<UserInfo>,
    /// When the answer was asked for that the streams are open by.
    good_at: Instant,
    /// When it was asked last, whatever came of it.
    asked_at: Instant,
    /// When a stream was about to be opened last.
    opened_at: Instant,
}

impl ServiceAccounts {
    /// Reviews the tokens of open streams, for as long as the task lives.
    pub async fn follow_open(self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reviews = JoinSet::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // Drops what is done.
                Some(_) = reviews.join_next() => continue,
            }
            for (key, cluster, token) in self.0.due().await {
                let shared = Arc::clone(&self.0);
                reviews.spawn(async move { shared.review_again(key, &cluster, &token).await });
            }
        }
    }
}

impl Shared {
    /// What is to be reviewed now. What has no stream any more is forgotten.
    async fn due(&self) -> Vec<(ReviewKey, Arc<Cluster>, Arc<Jwt>)> {
        let owners = self.streams.owners(|owner| matches!(owner, Owner::ServiceAccount { .. }));
        let open: HashMap<_, _> = owners.iter().filter_map(account).collect();
        let now = Instant::now();
        for (key, cluster) in self.open.strangers(&open) {
            // Its token was forgotten between the check of the request and the entry of its stream, as it was refused; or
            // there are too many.
            self.end_streams(key, &cluster, CutReason::Unverified);
        }
        let mut due = Vec::new();
        for entry in self.open.due(&open, now) {
            // A request may have had the token reviewed meanwhile.
            match self.good.get(&entry.0).await {
                Some(reviewed) if !is_due(reviewed.asked_at, now) => self.open.note_good(&entry.0, &reviewed),
                _ => due.push(entry),
            }
        }
        due
    }

    async fn review_again(&self, key: ReviewKey, cluster: &Arc<Cluster>, token: &Jwt) {
        let lanes = self.lanes(cluster.id());
        let Some(_place) = lanes.known.enter_patiently().await else { return };
        let config = self.config.current();
        match self.ask(key, &config, cluster, token).await {
            Ok(reviewed) if self.open.is_of(&key, &reviewed.user) => {
                self.open.note_good(&key, &reviewed);
                // Other audiences than the stream was opened by have a key of their own.
                if self.key(cluster, &config, token) == key {
                    self.good.insert(key, reviewed).await;
                }
            }
            // The streams run as somebody the account no longer is.
            Ok(_) => self.end_streams(key, cluster.id(), CutReason::ServiceAccountRefused),
            // Its streams have been told already.
            Err(AccountError::Refused(_)) => self.good.invalidate(&key).await,
            Err(error) => {
                if self.open.is_unanswered_for(&key, UNANSWERED_FOR) {
                    let cause = &error as &dyn std::error::Error;
                    tracing::warn!(cluster = %cluster.id(), error = cause, "streams end whose service account can't be reviewed");
                    self.telemetry.metrics.reviews.count(ReviewResult::GivenUp);
                    self.end_streams(key, cluster.id(), CutReason::Unverified);
                }
            }
        }
    }
}

impl OpenAccounts {
    pub(super) fn hold(&self, account: &ServiceAccount) {
        let mut held = self.held();
        if held.len() >= MAX_ACCOUNTS && !held.contains_key(&account.key) {
            // Its streams end in a moment, like all of accounts that are not known here.
            return;
        }
        let asked_at = account.reviewed.asked_at;
        let entry = held.entry(account.key).or_insert_with(|| Held {
            cluster: Arc::clone(&account.cluster),
            token: Arc::clone(&account.token),
            user: Arc::clone(&account.reviewed.user),
            good_at: asked_at,
            asked_at,
            opened_at: asked_at,
        });
        entry.opened_at = Instant::now();
    }

    pub(super) fn forget(&self, key: &ReviewKey) {
        self.held().remove(key);
    }

    /// The accounts among `open` that nothing is known of, with their clusters.
    fn strangers(&self, open: &HashMap<ReviewKey, Arc<str>>) -> Vec<(ReviewKey, Arc<str>)> {
        let held = self.held();
        let strangers = open.iter().filter(|(key, _)| !held.contains_key(*key));
        strangers.map(|(key, cluster)| (*key, Arc::clone(cluster))).collect()
    }

    fn due(
        &self,
        open: &HashMap<ReviewKey, Arc<str>>,
        now: Instant,
    ) -> Vec<(ReviewKey, Arc<Cluster>, Arc<Jwt>)> {
        let mut held = self.held();
        // A stream is registered right after it is held.
        held.retain(|key, entry| open.contains_key(key) || entry.opened_at + GOOD_FOR > now);
        let due =
            held.iter_mut().filter(|(key, entry)| open.contains_key(*key) && is_due(entry.asked_at, now));
        due.map(|(key, entry)| {
            entry.asked_at = now;
            (*key, Arc::clone(&entry.cluster), Arc::clone(&entry.token))
        })
        .collect()
    }

    fn note_good(&self, key: &ReviewKey, reviewed: &Reviewed) {
        if let Some(entry) = self.held().get_mut(key) {
            entry.good_at = entry.good_at.max(reviewed.asked_at);
            entry.asked_at = entry.good_at;
        }
    }

    fn is_of(&self, key: &ReviewKey, user: &Arc<UserInfo>) -> bool {
        self.held().get(key).is_none_or(|entry| entry.user == *user)
    }

    fn is_unanswered_for(&self, key: &ReviewKey, limit: Duration) -> bool {
        self.held().get(key).is_some_and(|entry| entry.good_at.elapsed() >= limit)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ReviewKey, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is asked again: a little before the answer ends, so that a request meets one that holds.
fn is_due(asked_at: Instant, now: Instant) -> bool {
    asked_at + GOOD_FOR <= now + TICK
}

fn account(owner: &Owner) -> Option<(ReviewKey, Arc<str>)> {
    match owner {
        Owner::ServiceAccount { reviewed, cluster } => Some((*reviewed, Arc::clone(cluster))),
        Owner::Token { .. } => None,
    }
}
