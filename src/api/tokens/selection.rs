//! Which tokens a query means.

use crate::api::Caller;
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::identity::{ClusterId, UserId};
use crate::store::{Marker, TokenFilter, TokenQuery, TokenSort};
use crate::token::{TokenKind, Ttl};

/// The page that `query` asks for. `max` is the longest life of a token by the settings; 0 is for ever.
pub(super) fn page(query: &Query, caller: &Caller, max: Ttl) -> Result<TokenQuery, ApiError> {
    let sort = query.parsed("sort", "name, created, expiresAt or lastUsedAt", |text| match text {
        "name" => Some(TokenSort::Name),
        "created" => Some(TokenSort::CreatedAt),
        "expiresAt" => Some(TokenSort::ExpiresAt),
        "lastUsedAt" => Some(TokenSort::LastUsedAt),
        _ => None,
    })?;
    Ok(TokenQuery {
        filter: filter(query, caller, max)?,
        sort: sort.unwrap_or_default(),
        descending: query.descending()?.unwrap_or(false),
        after: marker(query)?,
        limit: query.limit()?,
    })
}

/// The tokens that `query` lets through.
pub(super) fn filter(query: &Query, caller: &Caller, max: Ttl) -> Result<TokenFilter, ApiError> {
    let kind = query.parsed("kind", "a kind of token", TokenKind::from_text)?;
    let cluster = query.parsed("clusterId", "a cluster's id", |text| ClusterId::try_from(text).ok())?;
    let filter = TokenFilter {
        owner: owner(query, caller)?,
        kinds: kind.into_iter().collect(),
        enabled: query.flag("enabled")?,
        expired: query.flag("expired")?,
        never_expires: query.flag("neverExpires")?,
        last_used_before: query.moment("lastUsedBefore")?,
        cluster,
        name_contains: query.text("nameContains")?.map(ToOwned::to_owned),
        ..TokenFilter::default()
    };
    match query.parsed("exceedsMax", "true", |text| (text == "true").then_some(()))? {
        Some(()) => Ok(filter.clone().exceeding(max).unwrap_or_else(|| none_of(filter))),
        None => Ok(filter),
    }
}

/// Where the page begins.
pub(in crate::api) fn marker(query: &Query) -> Result<Option<Marker>, ApiError> {
    query.parsed("marker", "one that a page of the same list has given", |text| Marker::try_from(text).ok())
}

fn owner(query: &Query, caller: &Caller) -> Result<Option<UserId>, ApiError> {
    let named = query.parsed("userId", "a user's id", |text| UserId::try_from(text).ok())?;
    let own = query.flag("me")? == Some(true);
    match named {
        Some(id) if own && id != caller.id => {
            Err(ApiError::invalid("InvalidOption", "me and userId are two users").on("userId"))
        }
        Some(id) => Ok(Some(id)),
        None => Ok(own.then(|| caller.id.clone())),
    }
}

/// A filter that lets nothing through: no token that expires lives this long.
fn none_of(filter: TokenFilter) -> TokenFilter {
    TokenFilter { never_expires: Some(false), exceeds: Some(Ttl(u64::MAX >> 1)), ..filter }
}
