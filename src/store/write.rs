//! Writes: each is done whole or not at all, together with its event of the audit log.

use std::iter;

use rusqlite::{Connection, ErrorCode};

use super::audit::{self, AuditEvent};
use super::clusters::{self, ClusterUpdate};
use super::effect::Effect;
use super::tokens::{self, Bulk, Insertion, TokenUpdate, Usage};
use super::users::{self, UserUpdate};
use super::{StoreError, settings};
use crate::clock::UnixMillis;
use crate::cluster::ClusterRecord;
use crate::identity::{ClusterId, UserId};
use crate::token::{TokenName, Ttl};
use crate::user::UserRecord;

/// A change of what is stored. One that names what does not exist changes nothing.
#[derive(Debug, Clone)]
pub enum Write {
    /// Adds a token: [`StoreError::Exists`] if its name is taken, [`StoreError::UnknownUser`] without an owner,
    /// [`StoreError::QuotaReached`] if the owner has enough of them, [`StoreError::UnknownCluster`] if it is for one that
    /// was added and is gone.
    InsertToken(Box<Insertion>),
    /// Changes the given fields of a token: [`StoreError::TtlNotShorter`] if it would live longer.
    UpdateToken(TokenName, TokenUpdate),
    /// Adds the successor of a token, which lives until `ends_at` at most: [`StoreError::AlreadyReplaced`] if it has one.
    RotateToken {
        /// Which token.
        old: TokenName,
        /// What takes its place.
        successor: Box<Insertion>,
        /// When the old one ends, if it does not end before.
        ends_at: UnixMillis,
    },
    /// Deletes a token.
    DeleteToken(TokenName),
    /// Deletes a token at the wish of who holds it.
    LogOut(TokenName),
    /// Deletes a part of the tokens that a filter lets through.
    DeleteTokens(Bulk),
    /// Makes those tokens of a part that live longer live this long, counted from their creation.
    ShortenTokens(Bulk, Ttl),
    /// Deletes tokens that expired before this moment, so many at most.
    PurgeExpired(UnixMillis, u32),
    /// Deletes tokens whose lease has ended at this moment, so many at most.
    EndLeases(UnixMillis, u32),
    /// Notes when tokens were used, thousands at once. Nobody hears of it through the feed.
    NoteUsage(Vec<Usage>),
    /// Adds a user: [`StoreError::Exists`] if the name or id is taken, or the id ever was.
    InsertUser(Box<UserRecord>),
    /// Changes the given fields of a user: [`StoreError::LastAdministrator`] if nobody would be left to manage users.
    UpdateUser(UserId, Box<UserUpdate>),
    /// Deletes a user and all of the user's tokens: [`StoreError::LastAdministrator`] as above.
    DeleteUser(UserId),
    /// Adds a cluster: [`StoreError::Exists`] if the name or id is taken, or the id ever was.
    InsertCluster(Box<ClusterRecord>),
    /// Changes the given fields of a cluster: [`StoreError::Exists`] if the name is taken.
    UpdateCluster(ClusterId, Box<ClusterUpdate>),
    /// Deletes a cluster and all tokens that are good for it alone.
    DeleteCluster(ClusterId),
    /// Sets settings by name, all of them or none; `None` forgets what a setting was set to.
    SetSettings(Vec<(String, Option<String>)>),
    /// Deletes events of the audit log from before this moment, so many at most.
    PurgeAudit(UnixMillis, u32),
}

/// A write and its event: at least one of them.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) write: Option<Write>,
    pub(super) event: Option<AuditEvent>,
}

impl Request {
    /// Does it within the caller's transaction. If anything changed, its events are written.
    pub(super) fn apply(&self, connection: &Connection) -> Result<Effect, StoreError> {
        let mut effect = match &self.write {
            Some(write) => write.apply(connection)?,
            None => Effect::new(Vec::new(), 1),
        };
        let Some(event) = &self.event else { return Ok(effect) };
        let events = self.events(event, &effect);
        for event in &events {
            audit::record(connection, event)?;
        }
        effect.committed.events = events;
        Ok(effect)
    }

    /// One event; where many tokens were meant by one write, one for each of them; and where tokens end with something
    /// else, such as their user, one for that and one for each.
    fn events(&self, event: &AuditEvent, effect: &Effect) -> Vec<AuditEvent> {
        let tokens = effect.committed.tokens.iter();
        let each = |action: &str| {
            let action = action.to_owned();
            tokens.map(move |token| AuditEvent {
                action: action.clone(),
                token: Some(token.clone()),
                ..event.clone()
            })
        };
        match &self.write {
            Some(write) if write.is_about_many_tokens() => each(&event.action).collect(),
            _ if !effect.committed.changed() => Vec::new(),
            Some(Write::UpdateUser(..) | Write::DeleteUser(_) | Write::DeleteCluster(_)) => {
                iter::once(event.clone()).chain(each("token.delete")).collect()
            }
            _ => vec![event.clone()],
        }
    }
}

impl Write {
    fn apply(&self, connection: &Connection) -> Result<Effect, StoreError> {
        match self {
            Self::InsertToken(insertion) => tokens::insert(connection, insertion),
            Self::UpdateToken(name, update) => tokens::update(connection, name, update),
            Self::RotateToken { old, successor, ends_at } => {
                tokens::rotate(connection, old, successor, *ends_at)
            }
            Self::DeleteToken(name) => tokens::delete(connection, name),
            Self::LogOut(name) => tokens::log_out(connection, name),
            Self::DeleteTokens(bulk) => tokens::delete_many(connection, bulk),
            Self::ShortenTokens(bulk, ttl) => tokens::shorten_many(connection, bulk, *ttl),
            Self::PurgeExpired(before, limit) => tokens::purge_expired(connection, *before, *limit),
            Self::EndLeases(now, limit) => tokens::end_leases(connection, *now, *limit),
            Self::NoteUsage(usages) => tokens::note_usage(connection, usages),
            Self::InsertUser(user) => users::insert(connection, user),
            Self::UpdateUser(id, update) => users::update(connection, id, update),
            Self::DeleteUser(id) => users::delete(connection, id),
            Self::InsertCluster(cluster) => clusters::insert(connection, cluster),
            Self::UpdateCluster(id, update) => clusters::update(connection, id, update),
            Self::DeleteCluster(id) => clusters::delete(connection, id),
            Self::SetSettings(values) => settings::set(connection, values),
            Self::PurgeAudit(before, limit) => {
                Ok(Effect::new(Vec::new(), audit::purge(connection, *before, *limit)?))
            }
        }
    }

    fn is_about_many_tokens(&self) -> bool {
        matches!(
            self,
            Self::DeleteTokens(_) | Self::ShortenTokens(..) | Self::PurgeExpired(..) | Self::EndLeases(..)
        )
    }
}

pub(super) fn constraint_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error() {
        Some(cause) if cause.code == ErrorCode::ConstraintViolation => {
            let no_owner = cause.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY;
            if no_owner { StoreError::UnknownUser } else { StoreError::Exists }
        }
        _ => error.into(),
    }
}
