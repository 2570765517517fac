//! What can be asked of the lists of tokens and users.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::page::{Conditions, Marker, Order, Page, Selection};
use super::{StoreError, integer, rows};
use crate::clock::{self, UnixMillis};
use crate::identity::{ClusterId, UserId, Username};
use crate::token::{TokenKind, TokenName, TokenRecord, Ttl};
use crate::user::UserRecord;

/// Which tokens: those that fulfil everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Tokens of this user.
    pub owner: Option<UserId>,
    /// Tokens of one of these kinds; of any if there are none here.
    pub kinds: Vec<TokenKind>,
    /// Tokens that are switched on, or off.
    pub enabled: Option<bool>,
    /// Tokens that have expired by now, or their lease has; or that have not.
    pub expired: Option<bool>,
    /// Tokens that never expire, or that do one day.
    pub never_expires: Option<bool>,
    /// Tokens that were not used at this moment or later; those that never were among them.
    pub last_used_before: Option<UnixMillis>,
    /// Tokens that live longer than this, as those do that never expire.
    pub exceeds: Option<Ttl>,
    /// Tokens that have this in their name.
    pub name_contains: Option<String>,
    /// Tokens with one of these names; with any if there are none here.
    pub names: Vec<TokenName>,
    /// Tokens that are good for this cluster alone.
    pub cluster: Option<ClusterId>,
    /// Every token but this, such as the caller's own.
    pub except: Option<TokenName>,
}

/// What tokens are sorted by; among equals, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenSort {
    /// The name.
    #[default]
    Name,
    /// When they were made.
    CreatedAt,
    /// When they expire; never comes last.
    ExpiresAt,
    /// When they were last used; never comes first.
    LastUsedAt,
}

/// A page of tokens.
#[derive(Debug, Clone)]
pub struct TokenQuery {
    /// Which.
    pub filter: TokenFilter,
    /// In which order.
    pub sort: TokenSort,
    /// The other way round.
    pub descending: bool,
    /// After which place; from the beginning without.
    pub after: Option<Marker>,
    /// How many at most, up to [`MAX_PAGE`](super::MAX_PAGE).
    pub limit: u32,
}

/// Which users: those that fulfil everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// The user of this name.
    pub name: Option<Username>,
    /// Users that are switched on, or off.
    pub enabled: Option<bool>,
    /// Administrators, or everybody else.
    pub admin: Option<bool>,
}

/// A page of users, by name.
#[derive(Debug, Clone)]
pub struct UserQuery {
    /// Which.
    pub filter: UserFilter,
    /// From the last to the first.
    pub descending: bool,
    /// After which place; from the beginning without.
    pub after: Option<Marker>,
    /// How many at most, up to [`MAX_PAGE`](super::MAX_PAGE).
    pub limit: u32,
}

impl Default for TokenQuery {
    fn default() -> Self {
        let (filter, sort) = (TokenFilter::default(), TokenSort::Name);
        Self { filter, sort, descending: false, after: None, limit: DEFAULT_LIMIT }
    }
}

impl Default for UserQuery {
    fn default() -> Self {
        Self { filter: UserFilter::default(), descending: false, after: None, limit: DEFAULT_LIMIT }
    }
}

impl TokenFilter {
    /// Those of them that live longer than `max` and whose kind it bounds; `None` if that can be no token at all.
    pub fn exceeding(mut self, max: Ttl) -> Option<Self> {
        let asked = |kind: &TokenKind| self.kinds.is_empty() || self.kinds.contains(kind);
        let bounded = TokenKind::ALL.into_iter().filter(|kind| kind.rules().bounded);
        let kinds: Vec<_> = bounded.filter(asked).collect();
        // No kinds at all would mean any, and 0 is no maximum.
        if kinds.is_empty() || max == Ttl(0) {
            return None;
        }
        (self.kinds, self.exceeds) = (kinds, Some(max));
        Some(self)
    }

    pub(super) fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        if let Some(owner) = &self.owner {
            conditions.add("user_id = ?", owner.as_str().to_owned());
        }
        if !self.kinds.is_empty() {
            let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
            conditions.add("kind IN (SELECT value FROM json_each(?))", serde_json::json!(kinds).to_string());
        }
        match self.enabled {
            Some(true) => conditions.require("enabled <> 0"),
            // Those that are switched off are few: by an index of them, whatever the order is.
            Some(false) => conditions.require("rowid IN (SELECT rowid FROM tokens WHERE enabled = 0)"),
            None => {}
        }
        if let Some(expired) = self.expired {
            let now = Value::Integer(integer(clock::now().0));
            let clause = if expired {
                "(expiry_order <= ? OR lease_until <= ?)"
            } else {
                "expiry_order > ? AND coalesce(lease_until > ?, TRUE)"
            };
            conditions.add_all(clause, [now.clone(), now]);
        }
        match self.never_expires {
            // By the index of expiry, in which they stand together in the order of names.
            Some(true) => conditions.require("expiry_order = 9223372036854775807"),
            Some(false) => conditions.require("ttl <> 0"),
            None => {}
        }
        if let Some(moment) = self.last_used_before {
            conditions.add("last_used_order < ?", integer(moment.0));
        }
        if let Some(max) = self.exceeds {
            conditions.add("(ttl = 0 OR ttl > ?)", integer(max.0));
        }
        if let Some(part) = &self.name_contains {
            conditions.add("instr(name, ?) > 0", part.clone());
        }
        if !self.names.is_empty() {
            let names: Vec<&str> = self.names.iter().map(TokenName::as_str).collect();
            conditions.add("name IN (SELECT value FROM json_each(?))", serde_json::json!(names).to_string());
        }
        if let Some(cluster) = &self.cluster {
            conditions.add("cluster = ?", cluster.as_str().to_owned());
        }
        if let Some(name) = &self.except {
            conditions.add("name <> ?", name.as_str().to_owned());
        }
        conditions
    }
}

impl TokenQuery {
    pub(super) fn run(&self, connection: &Connection) -> Result<Page<TokenRecord>, StoreError> {
        self.selection().page(connection, rows::read_token)
    }

    pub(super) fn selection(&self) -> Selection<'_> {
        let (name, columns): (&'static str, &'static [&'static str]) = match self.sort {
            TokenSort::Name => ("token-name", &["name"]),
            TokenSort::CreatedAt => ("token-created", &["created_at", "name"]),
            TokenSort::ExpiresAt => ("token-expires", &["expiry_order", "name"]),
            TokenSort::LastUsedAt => ("token-used", &["last_used_order", "name"]),
        };
        Selection {
            columns: rows::TOKEN_COLUMNS,
            table: "tokens",
            conditions: self.filter.conditions(),
            order: Order { name, columns, descending: self.descending },
            after: self.after.as_ref(),
            limit: self.limit,
        }
    }
}

impl UserQuery {
    pub(super) fn run(&self, connection: &Connection) -> Result<Page<UserRecord>, StoreError> {
        let mut conditions = Conditions::default();
        if let Some(name) = &self.filter.name {
            conditions.add("name = ?", name.as_str().to_owned());
        }
        if let Some(enabled) = self.filter.enabled {
            conditions.add("enabled = ?", enabled);
        }
        if let Some(admin) = self.filter.admin {
            conditions.add("admin = ?", admin);
        }
        let selection = Selection {
            columns: rows::USER_COLUMNS,
            table: "users",
            conditions,
            order: Order { name: "user-name", columns: &["name"], descending: self.descending },
            after: self.after.as_ref(),
            limit: self.limit,
        };
        selection.page(connection, rows::read_user)
    }
}

/// Rows in a page, unless something else is asked for.
const DEFAULT_LIMIT: u32 = 1000;
