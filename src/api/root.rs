//! `/v3`: where a generic client of Rancher's API begins.

use std::collections::BTreeMap;

use axum::Json;
use serde::Serialize;

use super::request::{By, Links};
use super::schema::{SCHEMAS, Version};

/// The links to every collection.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiRoot {
    #[serde(rename = "type")]
    kind: &'static str,
    base_type: &'static str,
    id: &'static str,
    api_version: Version,
    links: BTreeMap<&'static str, String>,
}

/// `GET /v3`.
pub(super) async fn root(_: By, links: Links) -> Json<ApiRoot> {
    let collections = SCHEMAS.iter().filter(|schema| !schema.plural.is_empty());
    let mut urls: BTreeMap<_, _> =
        collections.map(|schema| (schema.plural, links.to(&format!("/v3/{}", schema.plural)))).collect();
    urls.extend([("self", links.to("/v3")), ("root", links.to("/v3")), ("schemas", links.to("/v3/schemas"))]);
    let api_version = Version::default();
    Json(ApiRoot { kind: "apiRoot", base_type: "apiRoot", id: "v3", api_version, links: urls })
}
