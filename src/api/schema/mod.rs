//! `/v3/schemas`: which resources there are, which fields they have, and what the caller can do with them. Generic
//! clients and the pages' forms are made from this.

mod catalogue;
mod clusters;
mod field;
mod fields;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use catalogue::{
    AUDIT_EVENT, AUTH_PROVIDER, CLUSTER, FEATURE, PROJECT, SCHEMAS, SETTING, TOKEN, USER,
};
pub(super) use field::Field;

use super::Api;
use super::collection::{Collection, Listing};
use super::error::ApiError;
use super::query::Query;
use super::request::{By, Links};
use field::{named, named_actions};

/// One type of resource, or of what an action takes and gives (which has no collection).
#[derive(Debug)]
pub(super) struct Schema {
    /// The `type` of its resources.
    pub(super) id: &'static str,
    /// The path that its collection is below.
    pub(super) root: &'static str,
    /// The last segment of its collection's path; empty for what has no collection.
    pub(super) plural: &'static str,
    /// What it is, for people.
    pub(super) description: &'static str,
    /// In the order in which people want to read them.
    pub(super) fields: &'static [Field],
    /// What can be done with one.
    pub(super) resource_methods: Methods,
    /// What can be done with the collection.
    pub(super) collection_methods: Methods,
    /// The actions of one, of which each lists those it has now.
    pub(super) resource_actions: &'static [Action],
    /// The actions of the collection.
    pub(super) collection_actions: &'static [Action],
    /// The parameters by which the collection is filtered.
    pub(super) filters: &'static [Filter],
    /// What the collection can be sorted by; the first unless something else is asked for.
    pub(super) sorts: &'static [&'static str],
}

/// Methods, by who may use them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Methods {
    everybody: &'static [&'static str],
    administrators: &'static [&'static str],
}

impl Methods {
    const NONE: Self = Self::of_everybody(&[]);

    const fn of_everybody(methods: &'static [&'static str]) -> Self {
        Self { everybody: methods, administrators: methods }
    }

    const fn new(everybody: &'static [&'static str], administrators: &'static [&'static str]) -> Self {
        Self { everybody, administrators }
    }

    /// What the caller may use.
    pub(super) fn of(self, administrator: bool) -> &'static [&'static str] {
        if administrator { self.administrators } else { self.everybody }
    }
}

/// Something that is done by `POST …?action=<name>`.
#[derive(Debug)]
pub(super) struct Action {
    /// The value of the parameter `action`.
    pub(super) name: &'static str,
    /// The schema of its body; `None` if it takes none.
    pub(super) input: Option<&'static str>,
    /// The schema of its answer; `None` if that is empty.
    pub(super) output: Option<&'static str>,
    /// Whether only administrators may.
    pub(super) administrators: bool,
}

/// A parameter of a collection's query.
#[derive(Debug)]
pub(super) struct Filter {
    /// Its name.
    pub(super) name: &'static str,
    /// What it takes: `string`, `boolean`, `date` or `enum`.
    pub(super) kind: &'static str,
    /// The values of an `enum`.
    pub(super) options: &'static [&'static str],
}

impl Schema {
    /// The path of its collection.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.root, self.plural)
    }

    /// Whether the caller can do anything with it.
    pub(super) fn is_for(&self, administrator: bool) -> bool {
        self.plural.is_empty() || !self.collection_methods.of(administrator).is_empty()
    }

    fn object(&'static self, links: &Links, administrator: bool) -> SchemaObject {
        let may = |action: &&Action| administrator || !action.administrators;
        SchemaObject {
            kind: "schema",
            base_type: "schema",
            id: self.id,
            plural_name: self.plural,
            description: self.description,
            version: Version::default(),
            resource_fields: named(self.fields),
            resource_methods: self.resource_methods.of(administrator),
            collection_methods: self.collection_methods.of(administrator),
            resource_actions: named_actions(self.resource_actions.iter().filter(may)),
            collection_actions: named_actions(self.collection_actions.iter().filter(may)),
            collection_filters: self.filters.iter().map(field::filter).collect(),
            links: SchemaLinks {
                this: links.to_one("/v3/schemas", self.id),
                collection: (!self.plural.is_empty()).then(|| links.to(&self.path())),
            },
        }
    }
}

/// The schema of this id.
pub(super) fn find(id: &str) -> Option<&'static Schema> {
    SCHEMAS.iter().copied().find(|schema| schema.id == id)
}

/// Schemas: which types of resources there are for the caller.
#[utoipa::path(get, path = "/v3/schemas", responses((status = 200, body = Collection<SchemaObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<SchemaObject>>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    let shown = SCHEMAS.iter().filter(|schema| schema.is_for(administrator));
    let data = shown.map(|schema| schema.object(&links, administrator)).collect();
    let listing = Listing { schema: &catalogue::SCHEMA, links: &links, query: &query, administrator };
    listing.whole(data).map(Json)
}

/// One schema.
#[utoipa::path(get, path = "/v3/schemas/{id}", responses((status = 200, body = SchemaObject)))]
pub(super) async fn show(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Path(id): Path<String>,
) -> Result<Json<SchemaObject>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    let schema = find(&id).filter(|schema| schema.is_for(administrator)).ok_or_else(ApiError::not_found)?;
    Ok(Json(schema.object(&links, administrator)))
}

/// A schema as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Schema)]
pub(super) struct SchemaObject {
    #[serde(rename = "type")]
    kind: &'static str,
    base_type: &'static str,
    id: &'static str,
    plural_name: &'static str,
    description: &'static str,
    version: Version,
    resource_fields: BTreeMap<&'static str, Field>,
    resource_methods: &'static [&'static str],
    collection_methods: &'static [&'static str],
    resource_actions: BTreeMap<&'static str, field::ActionObject>,
    collection_actions: BTreeMap<&'static str, field::ActionObject>,
    collection_filters: BTreeMap<&'static str, field::FilterObject>,
    links: SchemaLinks,
}

/// The part of the API a type belongs to, in the words of Rancher's clients.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Version {
    group: &'static str,
    path: &'static str,
    #[serde(rename = "version")]
    name: &'static str,
}

impl Default for Version {
    fn default() -> Self {
        Self { group: "management.cattle.io", path: "/v3", name: "v3" }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct SchemaLinks {
    #[serde(rename = "self")]
    this: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<String>,
}
