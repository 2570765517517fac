//! Many tokens at once.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::selection;
use super::streams::OpenStreamsObject;
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::api::request::By;
use crate::api::{Api, Caller, schema};
use crate::authority::Bulk;
use crate::store::TokenFilter;
use crate::streams::{Open, Owner};
use crate::token::TokenName;

/// What was done to many tokens, or would be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkResult)]
pub(in crate::api) struct BulkObject {
    /// Always `bulkResult`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `bulkResult`.
    base_type: &'static str,
    /// What was done: `delete` or `shorten`.
    action: &'static str,
    /// Whether nothing was done, only counted.
    dry_run: bool,
    /// To how many tokens.
    count: u64,
    /// To which; the first hundred.
    names: Vec<String>,
    /// What would be cut with them; only of a deletion that is not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_streams: Option<OpenStreamsObject>,
}

impl BulkObject {
    fn new(action: &'static str, dry_run: bool, bulk: &Bulk) -> Self {
        Self {
            object: "bulkResult",
            base_type: "bulkResult",
            action,
            dry_run,
            count: bulk.count,
            names: bulk.names.iter().map(TokenName::to_string).collect(),
            open_streams: None,
        }
    }
}

/// Deletes the tokens that the filters let through, but never the one of this request. At least one filter is needed;
/// with `dryRun=true` nothing is deleted, only counted, and what would be cut with it.
#[utoipa::path(
    delete, path = "/v3/tokens",
    responses((status = 200, description = "What was deleted", body = BulkObject))
)]
pub(in crate::api) async fn delete(
    State(api): State<Api>,
    By(caller): By,
    query: Query,
) -> Result<Json<BulkObject>, ApiError> {
    let (filter, dry_run) = many(&api, &caller, &query)?;
    let bulk = api.authority.delete_tokens(&caller, filter.clone(), dry_run).await?;
    let done = BulkObject::new("delete", dry_run, &bulk);
    if !dry_run {
        return Ok(Json(done));
    }
    let open = api.open_streams_of_many(&caller, filter).await?;
    Ok(Json(BulkObject { open_streams: Some(OpenStreamsObject::of(&open)), ..done }))
}

/// Makes the tokens that the filters let through, and that live longer than tokens may, live as long as that.
pub(super) async fn shorten(api: &Api, By(caller): By, query: &Query) -> Result<Json<BulkObject>, ApiError> {
    let (filter, dry_run) = many(api, &caller, query)?;
    let bulk = api.authority.shorten_tokens(&caller, filter, dry_run).await?;
    Ok(Json(BulkObject::new("shorten", dry_run, &bulk)))
}

impl Api {
    /// What is open by the tokens that a deletion by `filter` would end, the oldest first. Few of many tokens have anything
    /// open, so it is begun with those.
    async fn open_streams_of_many(
        &self,
        caller: &Caller,
        filter: TokenFilter,
    ) -> Result<Vec<Open>, ApiError> {
        let owners = self.streams.owners(|owner| owner.token().is_some());
        let names: Vec<_> = owners.iter().filter_map(Owner::token).cloned().collect();
        let ending = self.authority.deletable_among(caller, filter, &names).await?;
        let mut open: Vec<_> = ending.iter().flat_map(|name| self.streams.of_token(name)).collect();
        open.sort_unstable_by_key(|open| open.id);
        Ok(open)
    }
}

/// Which tokens are meant, and whether they are only to be counted.
fn many(api: &Api, caller: &Caller, query: &Query) -> Result<(TokenFilter, bool), ApiError> {
    let filters = schema::TOKEN.filters.iter().map(|filter| filter.name);
    query.only(&filters.chain(["action", "dryRun"]).collect::<Vec<_>>())?;
    let filter = selection::filter(query, caller, api.token_max_ttl())?;
    Ok((filter, query.flag("dryRun")? == Some(true)))
}
