//! `/v3/projects`: there are none. Rancher's clients ask for them when they log in.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::collection::{Collection, Listing};
use super::error::ApiError;
use super::query::Query;
use super::request::{By, Links};
use super::schema;

/// A project, of which there is none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
pub(super) struct ProjectObject {
    id: String,
}

/// Projects: none.
#[utoipa::path(get, path = "/v3/projects", responses((status = 200, body = Collection<ProjectObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<ProjectObject>>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    let listing = Listing { schema: &schema::PROJECT, links: &links, query: &query, administrator };
    listing.whole(Vec::new()).map(Json)
}

/// One project, which is never found.
#[utoipa::path(get, path = "/v3/projects/{id}", responses((status = 200, body = ProjectObject)))]
pub(super) async fn show(_: By, Path(_): Path<String>) -> ApiError {
    ApiError::not_found()
}
