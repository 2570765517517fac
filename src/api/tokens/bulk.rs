//! Many tokens at once.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::selection;
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::api::request::By;
use crate::api::{Api, Caller, schema};
use crate::authority::Bulk;
use crate::store::TokenFilter;
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
}

impl BulkObject {
    fn new(action: &'static str, dry_run: bool, bulk: &Bulk) -> Self {
        let names = bulk.names.iter().map(TokenName::to_string).collect();
        Self { object: "bulkResult", base_type: "bulkResult", action, dry_run, count: bulk.count, names }
    }
}

/// Deletes the tokens that the filters let through, but never the one of this request. At least one filter is needed;
/// with `dryRun=true` nothing is deleted, only counted.
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
    let bulk = api.authority.delete_tokens(&caller, filter, dry_run).await?;
    Ok(Json(BulkObject::new("delete", dry_run, &bulk)))
}

/// Makes the tokens that the filters let through, and that live longer than tokens may, live as long as that.
pub(super) async fn shorten(api: &Api, By(caller): By, query: &Query) -> Result<Json<BulkObject>, ApiError> {
    let (filter, dry_run) = many(api, &caller, query)?;
    let bulk = api.authority.shorten_tokens(&caller, filter, dry_run).await?;
    Ok(Json(BulkObject::new("shorten", dry_run, &bulk)))
}

/// Which tokens are meant, and whether they are only to be counted.
fn many(api: &Api, caller: &Caller, query: &Query) -> Result<(TokenFilter, bool), ApiError> {
    let filters = schema::TOKEN.filters.iter().map(|filter| filter.name);
    query.only(&filters.chain(["action", "dryRun"]).collect::<Vec<_>>())?;
    let filter = selection::filter(query, caller, api.token_max_ttl())?;
    Ok((filter, query.flag("dryRun")? == Some(true)))
}
