//! `/v3/clusters`: which clusters there are, and kubeconfigs for them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::body::{JsonBody, SecretText};
use super::collection::{Collection, Listing};
use super::error::ApiError;
use super::query::Query;
use super::request::{By, Links};
use super::schema;
use crate::kube::{Kubeconfig, KubeconfigCredential};
use crate::setting::Settings;
use crate::token::{Bearer, TokenName};

/// A cluster behind this server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cluster)]
pub(super) struct ClusterObject {
    /// Always `cluster`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `cluster`.
    base_type: &'static str,
    id: String,
    /// The same as the id.
    name: String,
    /// Always `active`.
    state: &'static str,
    links: BTreeMap<&'static str, String>,
    actions: BTreeMap<&'static str, String>,
}

/// A kubeconfig.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = GenerateKubeConfigOutput)]
pub(super) struct KubeconfigObject {
    /// Always `generateKubeConfigOutput`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `generateKubeConfigOutput`.
    base_type: &'static str,
    /// Its text, in YAML.
    config: String,
    /// The token in it, if there is one.
    token_name: Option<String>,
}

/// Which token goes into a kubeconfig.
#[derive(Deserialize, ToSchema)]
pub(super) struct KubeconfigRequest {
    /// A kubeconfig token to use again, if more than half of its life is left; a new one is made otherwise.
    #[schema(value_type = Option<String>, format = Password)]
    reuse: Option<SecretText>,
}

/// Clusters: the one there is.
#[utoipa::path(get, path = "/v3/clusters", responses((status = 200, body = Collection<ClusterObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<ClusterObject>>, ApiError> {
    let id = &api.info.cluster;
    let is_meant = query.text("name")?.is_none_or(|name| name == id);
    let administrator = api.is_administrator(&caller).await?;
    let data = is_meant.then(|| ClusterObject::new(&links, id)).into_iter().collect();
    let listing = Listing { schema: &schema::CLUSTER, links: &links, query: &query, administrator };
    listing.whole(data).map(Json)
}

/// One cluster.
#[utoipa::path(get, path = "/v3/clusters/{id}", responses((status = 200, body = ClusterObject)))]
pub(super) async fn show(
    State(api): State<Api>,
    _: By,
    links: Links,
    Path(id): Path<String>,
) -> Result<Json<ClusterObject>, ApiError> {
    if id != api.info.cluster {
        return Err(ApiError::not_found());
    }
    Ok(Json(ClusterObject::new(&links, &id)))
}

/// A kubeconfig for the cluster: with a token in it, or, where the settings say so, with a call of the credential plugin.
#[utoipa::path(
    post, path = "/v3/clusters/{id}",
    request_body(content = KubeconfigRequest),
    responses((status = 200, body = KubeconfigObject))
)]
pub(super) async fn act(
    State(api): State<Api>,
    By(caller): By,
    Path(id): Path<String>,
    query: Query,
    body: JsonBody,
) -> Result<Json<KubeconfigObject>, ApiError> {
    if id != api.info.cluster {
        return Err(ApiError::not_found());
    }
    match query.action()? {
        Some("generateKubeconfig") => {}
        Some(_) => return Err(ApiError::action_not_available()),
        None => return Err(ApiError::action_missing()),
    }
    let reuse = body.parse::<KubeconfigRequest>()?.reuse()?;
    let settings = api.authority.settings();
    if !settings.kubeconfig_generate_token() {
        let plugin = KubeconfigCredential::Plugin { server: settings.server_url(), cluster: &id };
        return Ok(Json(KubeconfigObject::new(&settings, &id, plugin, None)));
    }
    let issued = api.authority.kubeconfig_token(&caller, reuse).await?;
    let bearer = issued.bearer.expose();
    let token = KubeconfigCredential::Token(bearer.expose());
    Ok(Json(KubeconfigObject::new(&settings, &id, token, Some(&issued.record.name))))
}

impl KubeconfigRequest {
    /// The token to use again. An empty field of a form means none.
    fn reuse(self) -> Result<Option<Bearer>, ApiError> {
        let given = self.reuse.filter(|text| !text.0.expose().is_empty());
        let bearer = given.map(|text| Bearer::try_from(text.0.expose())).transpose();
        bearer.map_err(|_| ApiError::invalid("InvalidFormat", "reuse is not a token").on("reuse"))
    }
}

impl KubeconfigObject {
    fn new(
        settings: &Settings,
        cluster: &str,
        credential: KubeconfigCredential<'_>,
        token: Option<&TokenName>,
    ) -> Self {
        let authority = settings.ca_certificates();
        let kubeconfig = Kubeconfig {
            name: cluster,
            server: &format!("{}/k8s/clusters/{cluster}", settings.server_url()),
            certificate_authority: Some(authority).filter(|pem| !pem.is_empty()),
            credential,
        };
        Self {
            object: "generateKubeConfigOutput",
            base_type: "generateKubeConfigOutput",
            config: kubeconfig.to_yaml(),
            token_name: token.map(TokenName::to_string),
        }
    }
}

impl ClusterObject {
    fn new(links: &Links, id: &str) -> Self {
        let url = links.to_one("/v3/clusters", id);
        let generate = format!("{url}?action=generateKubeconfig");
        Self {
            object: "cluster",
            base_type: "cluster",
            id: id.to_owned(),
            name: id.to_owned(),
            state: "active",
            links: BTreeMap::from([("self", url)]),
            actions: BTreeMap::from([("generateKubeconfig", generate)]),
        }
    }
}
