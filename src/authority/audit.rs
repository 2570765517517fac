//! The audit log: every act and every refusal is one event, which is stored and logged here and nowhere else.
//!
//! An act's event is written in the transaction of the act. A refusal has none: its event is stored alone, and no more
//! of them than [`Meter`]s let through, so that who guesses passwords can't fill the disk. All of them are logged, and
//! those that were not stored are counted.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::identity::{ClusterId, UserId};
use crate::store::{AuditEvent, AuditOutcome, AuditQuery, AuditRecord, Committed, Page, StoreError, Write};
use crate::token::TokenName;

/// Something that somebody is about to do.
#[derive(Debug, Clone)]
pub(super) struct Act {
    action: &'static str,
    actor: Option<UserId>,
    client: Option<IpAddr>,
    token: Option<TokenName>,
    user: Option<UserId>,
    cluster: Option<ClusterId>,
}

/// How many refusals are still stored.
#[derive(Debug)]
pub(super) struct Refusals {
    /// Those of clients that are not known: anybody can make any number of them.
    of_strangers: Meter,
    /// Those of users, so that no stranger's noise hides them.
    of_users: Meter,
    lost: u64,
}

/// Lets a burst through, and after it one each `interval`.
#[derive(Debug)]
struct Meter {
    interval: Duration,
    burst: u32,
    /// When everything that was let through has been paid for.
    paid: Option<Instant>,
}

impl Act {
    /// `caller` does it.
    pub(super) fn by(caller: &Caller, action: &'static str) -> Self {
        let (actor, client) = (Some(caller.id.clone()), Some(caller.client));
        Self { actor, client, ..Self::of_server(action) }
    }

    /// Somebody at this address does it.
    pub(super) fn from(client: IpAddr, action: &'static str) -> Self {
        Self { client: Some(client), ..Self::of_server(action) }
    }

    /// The server does it by itself.
    pub(super) fn of_server(action: &'static str) -> Self {
        Self { action, actor: None, client: None, token: None, user: None, cluster: None }
    }

    /// It is known now who does it.
    pub(super) fn actor(self, actor: &UserId) -> Self {
        Self { actor: Some(actor.clone()), ..self }
    }

    /// It is done to this token.
    pub(super) fn on_token(self, token: &TokenName) -> Self {
        Self { token: Some(token.clone()), ..self }
    }

    /// It is done to this user, or to something of this user's.
    pub(super) fn on_user(self, user: &UserId) -> Self {
        Self { user: Some(user.clone()), ..self }
    }

    /// It is done to this cluster, or to a token that is for it alone.
    pub(super) fn on_cluster(self, cluster: &ClusterId) -> Self {
        Self { cluster: Some(cluster.clone()), ..self }
    }

    fn event(self, outcome: AuditOutcome, message: String) -> AuditEvent {
        AuditEvent {
            at: clock::now(),
            action: self.action.to_owned(),
            actor: self.actor,
            token: self.token,
            user: self.user,
            cluster: self.cluster,
            client: self.client.map(|address| address.to_string()),
            outcome,
            message: bounded(message),
        }
    }
}

impl Authority {
    /// A page of the audit log; for administrators.
    pub async fn audit_events(
        &self,
        caller: &Caller,
        query: AuditQuery,
    ) -> Result<Page<AuditRecord>, AuthorityError> {
        let allowed = self.check_administrator(caller).await;
        self.judged(&Act::by(caller, "audit.list"), allowed).await?;
        Ok(self.store.audit_events(query).await?)
    }

    /// Refusals that were logged and not stored since the start.
    pub fn lost_refusals(&self) -> u64 {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).lost
    }

    /// Does `write`, and writes down with it that `act` was done: to whatever the act names, or to each of the tokens that
    /// a write of many has touched.
    pub(super) async fn commit(
        &self,
        write: Write,
        act: Act,
        message: String,
    ) -> Result<Committed, StoreError> {
        let event = act.event(AuditOutcome::Success, message);
        let committed = self.store.commit(write, Some(event)).await?;
        committed.events.iter().for_each(log);
        Ok(committed)
    }

    /// Turns hashing of tokens on, and writes down with it that `act` was done, or why it was not.
    pub(super) async fn hash_tokens(&self, act: Act, backup: PathBuf, message: String) {
        let event = act.clone().event(AuditOutcome::Success, message);
        match self.store.enable_token_hashing(backup, Some(event.clone())).await {
            Ok(()) => log(&event),
            Err(error) => log(&act.event(AuditOutcome::Failure, error.to_string())),
        }
    }

    /// What `act` came to. If it was refused, that is written down.
    pub(super) async fn judged<T>(
        &self,
        act: &Act,
        outcome: Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        if let Err(error) = &outcome {
            match error.outcome() {
                Some(AuditOutcome::Refused) => self.refused(act.clone(), error.to_string()).await,
                // A store in trouble can't take this either.
                Some(outcome) => log(&act.clone().event(outcome, error.to_string())),
                None => {}
            }
        }
        outcome
    }

    /// Writes down that `act` was refused.
    pub(super) async fn refused(&self, act: Act, message: String) {
        let event = act.event(AuditOutcome::Refused, message);
        log(&event);
        let admitted = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals.admit(event.actor.is_some(), Instant::now())
        };
        if !admitted {
            return;
        }
        if let Err(error) = self.store.record(event).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a refusal was not stored");
            self.refusals.lock().unwrap_or_else(PoisonError::into_inner).lost += 1;
        }
    }
}

impl Refusals {
    fn admit(&mut self, known: bool, now: Instant) -> bool {
        let meter = if known { &mut self.of_users } else { &mut self.of_strangers };
        let admitted = meter.admit(now);
        if !admitted {
            self.lost += 1;
        }
        admitted
    }
}

impl Default for Refusals {
    /// Strangers fill about 90 MiB until the first of their events is old enough to be purged.
    fn default() -> Self {
        let of_strangers = Meter { interval: Duration::from_secs(15), burst: 300, paid: None };
        let of_users = Meter { interval: Duration::from_secs(1), burst: 3000, paid: None };
        Self { of_strangers, of_users, lost: 0 }
    }
}

impl Meter {
    fn admit(&mut self, now: Instant) -> bool {
        let paid = self.paid.map_or(now, |paid| paid.max(now)) + self.interval;
        if paid.saturating_duration_since(now) > self.interval * self.burst {
            return false;
        }
        self.paid = Some(paid);
        true
    }
}

fn log(event: &AuditEvent) {
    let AuditEvent { action, actor, token, user, cluster, client, outcome, message, .. } = event;
    let cluster = cluster.as_ref().map(ClusterId::as_str);
    let (actor, user) = (actor.as_ref().map(UserId::as_str), user.as_ref().map(UserId::as_str));
    let (token, client) = (token.as_ref().map(TokenName::as_str), client.as_deref());
    let (action, outcome) = (action.as_str(), outcome.as_str());
    match event.outcome {
        AuditOutcome::Success => {
            tracing::info!(target: "audit", action, actor, user, token, cluster, client, outcome, "{message}");
        }
        AuditOutcome::Refused | AuditOutcome::Failure => {
            tracing::warn!(target: "audit", action, actor, user, token, cluster, client, outcome, "{message}");
        }
    }
}

/// The groups of a user alone can be 128 KiB.
fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        let end = (0..=MAX_MESSAGE_BYTES).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

const MAX_MESSAGE_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_passes_as_a_burst_and_a_trickle_and_the_rest_is_counted() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        let stored = (0..10_000).filter(|_| refusals.admit(false, start)).count();
        assert_eq!((stored, refusals.lost), (300, 9_700));
        assert!(refusals.admit(true, start), "a user's refusal is not lost in strangers' noise");
        assert!(!refusals.admit(false, start + Duration::from_secs(14)));
        assert!(refusals.admit(false, start + Duration::from_secs(15)));
        assert!(!refusals.admit(false, start + Duration::from_secs(16)));
        let later = start + Duration::from_hours(24);
        assert_eq!((0..1000).filter(|_| refusals.admit(false, later)).count(), 300);
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let cut = bounded("ä".repeat(3000));
        assert_eq!((cut.len(), cut.ends_with("ä…")), (2048 + 3, true));
    }
}
