//! `/v3` and `/v3/schemas`: where a generic client of Rancher's API begins.

use axum::Json;
use serde_json::{Value, json};

use super::request::{By, Links};
use super::resource;

/// `GET /v3`.
pub(super) async fn root(_: By, links: Links) -> Json<Value> {
    Json(json!({
        "type": "apiRoot",
        "baseType": "apiRoot",
        "id": "v3",
        "apiVersion": { "group": "management.cattle.io", "path": "/v3", "version": "v3" },
        "links": {
            "self": links.to("/v3"),
            "root": links.to("/v3"),
            "schemas": links.to("/v3/schemas"),
            "tokens": links.to("/v3/tokens"),
            "users": links.to("/v3/users"),
            "clusters": links.to("/v3/clusters"),
        },
    }))
}

/// `GET /v3/schemas`: which resources there are and what can be done with them.
pub(super) async fn schemas(_: By, links: Links) -> Json<Value> {
    let data = SCHEMAS.iter().map(|schema| schema.to_json(&links)).collect();
    Json(resource::collection(&links, "/v3/schemas", "schema", false, data))
}

struct Schema {
    id: &'static str,
    plural: &'static str,
    resource_methods: &'static [&'static str],
    collection_methods: &'static [&'static str],
}

impl Schema {
    fn to_json(&self, links: &Links) -> Value {
        let collection = format!("/v3/{}", self.plural);
        json!({
            "type": "schema",
            "baseType": "schema",
            "id": self.id,
            "pluralName": self.plural,
            "version": { "group": "management.cattle.io", "path": "/v3", "version": "v3" },
            "resourceFields": {},
            "resourceMethods": self.resource_methods,
            "collectionMethods": self.collection_methods,
            "links": {
                "self": links.to_one("/v3/schemas", self.id),
                "collection": links.to(&collection),
            },
        })
    }
}

const SCHEMAS: [Schema; 3] = [
    Schema {
        id: "token",
        plural: "tokens",
        resource_methods: &["GET", "DELETE"],
        collection_methods: &["GET", "POST"],
    },
    Schema {
        id: "user",
        plural: "users",
        resource_methods: &["GET", "PUT", "DELETE"],
        collection_methods: &["GET", "POST"],
    },
    Schema { id: "cluster", plural: "clusters", resource_methods: &["GET"], collection_methods: &["GET"] },
];
