//! What a write did.

use super::{AuditEvent, Change};
use crate::token::TokenName;

/// What a write did, as its writer is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// How many records were added, changed or deleted: none if what the write names does not exist.
    pub count: usize,
    /// The tokens among them, by name.
    pub tokens: Vec<TokenName>,
    /// What was written into the audit log with it.
    pub events: Vec<AuditEvent>,
}

/// What a write did, before it is committed.
#[derive(Debug, Default)]
pub(super) struct Effect {
    /// What others must hear of.
    pub(super) changes: Vec<Change>,
    pub(super) committed: Committed,
}

impl Committed {
    /// Whether anything changed.
    pub fn changed(&self) -> bool {
        self.count > 0
    }
}

impl Effect {
    pub(super) fn new(changes: Vec<Change>, count: usize) -> Self {
        Self { changes, committed: Committed { count, ..Committed::default() } }
    }

    /// These tokens were added, changed or deleted.
    pub(super) fn of_tokens(tokens: Vec<TokenName>) -> Self {
        let changes = tokens.iter().cloned().map(Change::Token).collect();
        Self { changes, committed: Committed { count: tokens.len(), tokens, events: Vec::new() } }
    }

    /// The token of this name, if any row was touched.
    pub(super) fn of_token(name: &TokenName, rows: usize) -> Self {
        if rows > 0 { Self::of_tokens(vec![name.clone()]) } else { Self::default() }
    }
}
