//! What was done or refused, by whom, and when: written in the transaction of the act, so that there is neither an act
//! without its event nor an event of an act that was taken back.

use rusqlite::{Connection, Row, params};

use super::page::{Conditions, Marker, Order, Page, Selection};
use super::rows::Columns;
use super::{StoreError, integer};
use crate::clock::UnixMillis;
use crate::identity::{ClusterId, UserId};
use crate::token::TokenName;

/// Something that was done or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When.
    pub at: UnixMillis,
    /// What, as `token.create`.
    pub action: String,
    /// The user who asked for it; `None` for the server itself, or somebody who is not known.
    pub actor: Option<UserId>,
    /// The token it was done to.
    pub token: Option<TokenName>,
    /// The user it was done to.
    pub user: Option<UserId>,
    /// The cluster it was done to, or that a token is for.
    pub cluster: Option<ClusterId>,
    /// The address it was asked for from.
    pub client: Option<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// For people.
    pub message: String,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Success,
    /// It was against a rule.
    Refused,
    /// It was allowed, and failed.
    Failure,
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number, in the order of writing. Ids that are missing are events that were purged.
    pub id: u64,
    /// What happened.
    pub event: AuditEvent,
}

/// Which events: those that fulfil everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Events of this action.
    pub action: Option<String>,
    /// What this user did.
    pub actor: Option<UserId>,
    /// What was done to this user.
    pub user: Option<UserId>,
    /// What was done to this token.
    pub token: Option<TokenName>,
    /// What was done to this cluster.
    pub cluster: Option<ClusterId>,
    /// Events of this moment and later.
    pub since: Option<UnixMillis>,
}

/// A page of events.
#[derive(Debug, Clone)]
pub struct AuditQuery {
    /// Which.
    pub filter: AuditFilter,
    /// The newest first, which is the default.
    pub descending: bool,
    /// After which place; from the beginning without.
    pub after: Option<Marker>,
    /// How many at most, up to [`MAX_PAGE`](super::MAX_PAGE).
    pub limit: u32,
}

impl Default for AuditQuery {
    fn default() -> Self {
        Self { filter: AuditFilter::default(), descending: true, after: None, limit: 1000 }
    }
}

impl AuditOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Success, Self::Refused, Self::Failure];

    /// The outcome as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Failure => "failure",
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

impl AuditQuery {
    pub(super) fn run(&self, connection: &Connection) -> Result<Page<AuditRecord>, StoreError> {
        let mut conditions = Conditions::default();
        if let Some(action) = &self.filter.action {
            conditions.add("action = ?", action.clone());
        }
        if let Some(actor) = &self.filter.actor {
            conditions.add("actor = ?", actor.as_str().to_owned());
        }
        if let Some(user) = &self.filter.user {
            conditions.add("user = ?", user.as_str().to_owned());
        }
        if let Some(token) = &self.filter.token {
            conditions.add("token = ?", token.as_str().to_owned());
        }
        if let Some(cluster) = &self.filter.cluster {
            conditions.add("cluster = ?", cluster.as_str().to_owned());
        }
        if let Some(since) = self.filter.since {
            conditions.add("at >= ?", integer(since.0));
        }
        let selection = Selection {
            columns: "id, at, action, actor, token, user, client, outcome, message, cluster",
            table: "audit_events",
            conditions,
            order: Order { name: "audit", columns: &["id"], descending: self.descending },
            after: self.after.as_ref(),
            limit: self.limit,
        };
        selection.page(connection, read)
    }
}

/// Writes `event` down.
pub(super) fn record(connection: &Connection, event: &AuditEvent) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO audit_events (at, action, actor, token, user, client, outcome, message, cluster)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            integer(event.at.0),
            event.action,
            event.actor.as_ref().map(UserId::as_str),
            event.token.as_ref().map(TokenName::as_str),
            event.user.as_ref().map(UserId::as_str),
            event.client,
            event.outcome.as_str(),
            event.message,
            event.cluster.as_ref().map(ClusterId::as_str),
        ])?;
    Ok(())
}

/// Deletes at most `limit` events from before `before`, and says how many.
pub(super) fn purge(connection: &Connection, before: UnixMillis, limit: u32) -> Result<usize, StoreError> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM audit_events WHERE id IN (SELECT id FROM audit_events WHERE at < ?1 ORDER BY at LIMIT ?2)",
    )?;
    Ok(statement.execute(params![integer(before.0), limit])?)
}

fn read(row: &Row<'_>) -> Result<AuditRecord, StoreError> {
    let columns = Columns::of(row, "audit event");
    let event = AuditEvent {
        at: UnixMillis(columns.millis(1, "time")?),
        action: columns.value(2, "action")?,
        actor: columns.parsed_if_any(3, "actor", |text| UserId::try_from(text).ok())?,
        token: columns.parsed_if_any(4, "token", |text| TokenName::try_from(text).ok())?,
        user: columns.parsed_if_any(5, "user", |text| UserId::try_from(text).ok())?,
        client: columns.value(6, "client")?,
        outcome: columns.parsed(7, "outcome", AuditOutcome::from_text)?,
        message: columns.value(8, "message")?,
        cluster: columns.parsed_if_any(9, "cluster", |text| ClusterId::try_from(text).ok())?,
    };
    Ok(AuditRecord { id: columns.millis(0, "id")?, event })
}
