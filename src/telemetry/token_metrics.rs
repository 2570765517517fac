//! What is counted of the tokens themselves and of what is written down about them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::{register, resolve};
use crate::token::TokenKind;

/// Figures of the token authority. Those that it keeps itself are taken over once a minute.
pub struct TokenMetrics {
    never_expiring: [(TokenKind, Gauge); TokenKind::ALL.len()],
    usage_writes: Counter,
    usage_lost: Counter,
    purged: Counter,
    audit_events_lost: Counter,
    hashing: Gauge,
}

impl TokenMetrics {
    pub(super) fn register(to: &mut Registry) -> Self {
        let never_expiring = register(to, "tokens_never_expiring", "Tokens that never expire");
        Self {
            never_expiring: TokenKind::ALL
                .map(|kind| (kind, resolve::<Gauge>(&never_expiring, "kind", kind.as_str()))),
            usage_writes: register(to, "token_usage_writes", "Last uses of tokens written to the store"),
            usage_lost: register(to, "token_usage_lost", "Last uses of tokens lost for want of room"),
            purged: register(to, "tokens_purged", "Tokens deleted because they, or their lease, had expired"),
            hashing: register(
                to,
                "token_hashing",
                "1 if the keys of all tokens are stored as hashes, else 0",
            ),
            audit_events_lost: register(
                to,
                "audit_events_lost",
                "Refusals that stand in the log and not in the audit events, as there were too many at once",
            ),
        }
    }

    /// Counts last uses of tokens that were written to the store.
    pub fn count_usage_written(&self, uses: u64) {
        self.usage_writes.inc_by(uses);
    }

    /// Counts last uses of tokens that were lost for want of room.
    pub fn count_usage_lost(&self, uses: u64) {
        self.usage_lost.inc_by(uses);
    }

    /// How many tokens of each kind never expire.
    pub fn set_never_expiring(&self, counts: &[(TokenKind, u64)]) {
        for (kind, gauge) in &self.never_expiring {
            let count = counts.iter().find(|(of, _)| of == kind).map_or(0, |(_, count)| *count);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// How many tokens have been deleted since the start because they, or their lease, had expired.
    pub fn set_purged(&self, total: u64) {
        raise(&self.purged, total);
    }

    /// Whether the keys of all tokens are stored as hashes.
    pub fn set_hashed(&self, is_on: bool) {
        self.hashing.set(i64::from(is_on));
    }

    /// How many audit events have been lost since the start.
    pub fn set_audit_events_lost(&self, total: u64) {
        raise(&self.audit_events_lost, total);
    }
}

fn raise(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
