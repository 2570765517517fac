//! `/v3`: where a generic client of Rancher's API begins.

use std::collections::BTreeMap;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::{By, Links};
use super::schema::{SCHEMAS, Version};

/// The links to every collection.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiRoot {
    #[serde(rename = "type")]
    kind: &'static str,
    base_type: &'static str,
    id: &'static str,
    api_version: Version,
    links: BTreeMap<&'static str, String>,
}

/// Where a client begins: links to every collection.
#[utoipa::path(get, path = "/v3", responses((status = 200, body = ApiRoot)))]
pub(super) async fn root(_: By, links: Links) -> Json<ApiRoot> {
    Json(ApiRoot::new("v3", "/v3", &links))
}

/// The same for clients that also look at Rancher's second API, of which there is nothing but its beginning.
#[utoipa::path(get, path = "/v1", responses((status = 200, body = ApiRoot)))]
pub(super) async fn v1_root(_: By, links: Links) -> Json<ApiRoot> {
    Json(ApiRoot::new("v1", "/v1", &links))
}

impl ApiRoot {
    fn new(id: &'static str, path: &str, links: &Links) -> Self {
        let collections = SCHEMAS.iter().filter(|schema| !schema.plural.is_empty());
        let mut urls: BTreeMap<_, _> =
            collections.map(|schema| (schema.plural, links.to(&schema.path()))).collect();
        urls.extend([
            ("self", links.to(path)),
            ("root", links.to(path)),
            ("schemas", links.to("/v3/schemas")),
        ]);
        Self { kind: "apiRoot", base_type: "apiRoot", id, api_version: Version::default(), links: urls }
    }
}
