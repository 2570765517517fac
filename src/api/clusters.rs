//! `/v3/clusters`: which clusters there are, and kubeconfigs for them.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::error::ApiError;
use super::request::{By, JsonBody, Links, Parameters};
use super::{Api, resource};
use crate::kube::Kubeconfig;

/// `GET /v3/clusters`.
pub(super) async fn list(State(api): State<Api>, _: By, links: Links) -> Json<Value> {
    let data = vec![cluster(&links, &api.info.cluster)];
    Json(resource::collection(&links, "/v3/clusters", "cluster", false, data))
}

/// `GET /v3/clusters/<id>`.
pub(super) async fn show(
    State(api): State<Api>,
    _: By,
    links: Links,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    if id != api.info.cluster {
        return Err(ApiError::not_found());
    }
    Ok(Json(cluster(&links, &id)))
}

/// `POST /v3/clusters/<id>?action=generateKubeconfig`: a kubeconfig with a token of its own.
pub(super) async fn act(
    State(api): State<Api>,
    By(caller): By,
    Path(id): Path<String>,
    parameters: Parameters,
    _: JsonBody,
) -> Result<Json<Value>, ApiError> {
    if id != api.info.cluster {
        return Err(ApiError::not_found());
    }
    match parameters.action.as_deref() {
        Some("generateKubeconfig") => {}
        Some(_) => return Err(ApiError::action_not_available()),
        None => return Err(ApiError::of(StatusCode::METHOD_NOT_ALLOWED)),
    }
    let issued = api.authority.create_kubeconfig_token(&caller, "Kubeconfig token".to_owned()).await?;
    let bearer = issued.bearer.expose();
    let kubeconfig = Kubeconfig {
        name: &id,
        server: &format!("{}/k8s/clusters/{id}", api.info.server_url.trim_end_matches('/')),
        certificate_authority: api.info.certificate_authority.as_deref(),
        token: bearer.expose(),
    };
    Ok(Json(json!({
        "type": "generateKubeConfigOutput",
        "baseType": "generateKubeConfigOutput",
        "config": kubeconfig.to_yaml(),
    })))
}

fn cluster(links: &Links, id: &str) -> Value {
    let url = links.to_one("/v3/clusters", id);
    json!({
        "type": "cluster",
        "baseType": "cluster",
        "id": id,
        "name": id,
        "links": { "self": url },
        "actions": { "generateKubeconfig": format!("{url}?action=generateKubeconfig") },
    })
}
