//! The keys that are about the tokens of service accounts; [`KEYS`](super::KEYS) has them at their place.

use super::key::{DefaultValue, Key, Kind, Reload};
use super::value::{audiences, count, count_usize};

/// How the tokens of service accounts are reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reviews {
    /// For whom a token must be meant; the apiserver's own audiences if there are none.
    pub audiences: Vec<String>,
    /// How many reviews of one cluster begin in a second, at most.
    pub per_second: u32,
    /// How many of them are under way at the same time, at most.
    pub at_once: usize,
}

pub(super) const AUDIENCES: Key = Key {
    path: "serviceAccounts.audiences",
    environment: "PORTCULLIS_SERVICE_ACCOUNTS_AUDIENCES",
    flag: None,
    kind: Kind::List,
    default: DefaultValue::Unset,
    reload: Reload::Live,
    help: "Audiences of service accounts' tokens, one of which a token must have; unset: the apiserver's own",
    set: |draft, given| audiences(given).map(|value| draft.config.reviews.audiences = value),
};

pub(super) const PER_SECOND: Key = Key {
    path: "serviceAccounts.reviewsPerSecond",
    environment: "PORTCULLIS_SERVICE_ACCOUNTS_REVIEWS_PER_SECOND",
    flag: None,
    kind: Kind::Count,
    default: DefaultValue::Text("200"),
    reload: Reload::Live,
    help: "TokenReviews that a cluster is asked for in a second",
    set: |draft, given| count(given, 100_000).map(|value| draft.config.reviews.per_second = value),
};

pub(super) const AT_ONCE: Key = Key {
    path: "serviceAccounts.reviewsAtOnce",
    environment: "PORTCULLIS_SERVICE_ACCOUNTS_REVIEWS_AT_ONCE",
    flag: None,
    kind: Kind::Count,
    default: DefaultValue::Text("32"),
    reload: Reload::Live,
    help: "TokenReviews that a cluster is asked for at the same time",
    set: |draft, given| count_usize(given, 10_000).map(|value| draft.config.reviews.at_once = value),
};
