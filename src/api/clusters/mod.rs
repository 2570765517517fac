//! `/v3/clusters`: which clusters there are, whether they can be used, and kubeconfigs for them. Everybody sees those that
//! they may use; administrators see all, and add, change, test and delete those that the configuration does not name.

mod input;
pub(super) mod kubeconfig;
mod object;
mod verdict;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use input::ClusterRequest;
use kubeconfig::{KubeconfigObject, KubeconfigRequest};
pub(super) use object::ClusterObject;
use verdict::VerdictObject;

use super::body::JsonBody;
use super::collection::{Collection, Listing};
use super::error::{ApiError, ErrorObject};
use super::query::Query;
use super::request::{By, Links, Named};
use super::{Api, schema};
use crate::cluster::Member;
use crate::identity::ClusterId;

/// Clusters that the caller may use; all of them for administrators, unless asked for those that are `usable` to them.
/// The default one comes first.
#[utoipa::path(get, path = "/v3/clusters", responses((status = 200, body = Collection<ClusterObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<ClusterObject>>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    let wanted = object::Wanted::of(&query)?;
    let clusters = match query.parsed("usable", "true", |text| (text == "true").then_some(()))? {
        Some(()) => api.authority.usable_clusters(&caller).await?,
        None => api.authority.clusters(&caller).await?,
    };
    let objects = clusters.iter().map(|member| api.cluster_object(&links, member, administrator));
    let data = objects.filter(|object| wanted.admits(object)).collect();
    let listing = Listing { schema: &schema::CLUSTER, links: &links, query: &query, administrator };
    listing.whole(data).map(Json)
}

/// Adds a cluster. Or, with `?action=test`, connects to what is described and says what is wrong; or, with
/// `?action=generateKubeconfig`, gives a kubeconfig with a context for each of several clusters.
#[utoipa::path(
    post, path = "/v3/clusters",
    request_body(content = ClusterRequest, description = "GenerateKubeconfigsInput for the action generateKubeconfig"),
    responses(
        (status = 201, description = "The cluster", body = ClusterObject),
        (status = 200, description = "What the action gives", body = ClusterOutput),
        (status = 409, description = "Another cluster has the name", body = ErrorObject),
    )
)]
pub(super) async fn post(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
    body: JsonBody,
) -> Result<Response, ApiError> {
    match query.action()? {
        None => {
            let request: ClusterRequest = body.parse()?;
            let member = api.authority.create_cluster(&caller, request.into_new_cluster()?).await?;
            let object = api.cluster_object(&links, &member, true);
            Ok((StatusCode::CREATED, Json(object)).into_response())
        }
        Some("test") => {
            let request: ClusterRequest = body.parse()?;
            let tested = api.authority.test_described_cluster(&caller, request.into_reach()?).await?;
            Ok(Json(VerdictObject::new(tested)).into_response())
        }
        Some("generateKubeconfig") => {
            let made = kubeconfig::of_several(&api, &caller, body.parse()?).await?;
            Ok(Json(made).into_response())
        }
        Some(_) => Err(ApiError::action_not_available()),
    }
}

/// One cluster.
#[utoipa::path(get, path = "/v3/clusters/{id}", responses((status = 200, body = ClusterObject)))]
pub(super) async fn show(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(id): Named<ClusterId>,
) -> Result<Json<ClusterObject>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    let member = api.authority.cluster(&caller, &id).await?;
    Ok(Json(api.cluster_object(&links, &member, administrator)))
}

/// Changes the fields that are given. A credential belongs to the place it is sent to: who changes that gives both.
#[utoipa::path(
    put, path = "/v3/clusters/{id}",
    request_body(content = ClusterRequest),
    responses(
        (status = 200, body = ClusterObject),
        (status = 405, description = "The configuration says that it is there", body = ErrorObject),
        (status = 409, description = "Another cluster has the name", body = ErrorObject),
    )
)]
pub(super) async fn update(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(id): Named<ClusterId>,
    body: JsonBody,
) -> Result<Json<ClusterObject>, ApiError> {
    let request: ClusterRequest = body.parse()?;
    let now = api.authority.cluster(&caller, &id).await?;
    let member = api.authority.update_cluster(&caller, &id, request.into_change(&now.record)?).await?;
    Ok(Json(api.cluster_object(&links, &member, true)))
}

/// What a deletion would cut.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterDeletion)]
pub(super) struct DeletionObject {
    /// Always `clusterDeletion`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `clusterDeletion`.
    base_type: &'static str,
    /// Watches, logs, execs and the like that are open to it.
    open_streams: usize,
    /// Tokens that are good for this cluster alone; they are deleted with it.
    scoped_tokens: u64,
}

/// Deletes a cluster and the tokens for it alone, and cuts what is open to it. With `dryRun=true` it only says what that
/// would be.
#[utoipa::path(
    delete, path = "/v3/clusters/{id}",
    responses(
        (status = 204, description = "It is gone"),
        (status = 200, description = "What would be cut", body = DeletionObject),
        (status = 405, description = "The configuration says that it is there", body = ErrorObject),
    )
)]
pub(super) async fn delete(
    State(api): State<Api>,
    By(caller): By,
    Named(id): Named<ClusterId>,
    query: Query,
) -> Result<Response, ApiError> {
    // A slip in its name must not make it the deletion itself.
    query.only(&["dryRun"])?;
    if query.flag("dryRun")? == Some(true) {
        let scoped_tokens = api.authority.tokens_for_cluster(&caller, &id).await?;
        let kind = "clusterDeletion";
        let open_streams = api.open_streams_of_cluster(&id);
        return Ok(Json(DeletionObject { object: kind, base_type: kind, open_streams, scoped_tokens })
            .into_response());
    }
    api.authority.delete_cluster(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What the actions give.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ClusterOutput)]
#[expect(dead_code, reason = "for the description: the action says which it is")]
enum ClusterOutput {
    Kubeconfig(KubeconfigObject),
    Verdict(VerdictObject),
}

/// Does what `?action=` says: gives a kubeconfig for the cluster, with a token in it, or, where the settings say so, with
/// a call of the credential plugin; or connects to the cluster, and says what is wrong.
#[utoipa::path(
    post, path = "/v3/clusters/{id}",
    request_body(content = KubeconfigRequest, description = "For the action generateKubeconfig"),
    responses((status = 200, body = ClusterOutput))
)]
pub(super) async fn act(
    State(api): State<Api>,
    By(caller): By,
    Named(id): Named<ClusterId>,
    query: Query,
    body: JsonBody,
) -> Result<Response, ApiError> {
    match query.action()? {
        Some("generateKubeconfig") => {
            let made = kubeconfig::of_one(&api, &caller, &id, body.parse()?).await?;
            Ok(Json(made).into_response())
        }
        Some("test") => {
            let tested = api.authority.test_cluster(&caller, &id).await?;
            Ok(Json(VerdictObject::new(tested)).into_response())
        }
        Some(_) => Err(ApiError::action_not_available()),
        None => Err(ApiError::action_missing()),
    }
}

impl Api {
    fn cluster_object(&self, links: &Links, member: &Member, administrator: bool) -> ClusterObject {
        let trouble = self.authority.cluster_trouble(member);
        ClusterObject::new(links, member, trouble.as_deref(), administrator)
    }
}
