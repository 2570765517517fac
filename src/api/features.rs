//! `/v3/features`: what can be switched on. There is one, the hashing of tokens, and it can't be switched off again.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::collection::{Collection, Listing};
use super::error::ApiError;
use super::query::Query;
use super::request::{By, Links};
use super::{Api, schema};
use crate::store::{HashingState, HashingStatus};

/// A feature.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Feature)]
pub(super) struct FeatureObject {
    /// Always `feature`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `feature`.
    base_type: &'static str,
    /// The name.
    id: &'static str,
    name: &'static str,
    /// Whether it is on.
    value: bool,
    /// Whether it is on in a new installation.
    default: bool,
    /// Whether it can't be changed any more.
    locked: bool,
    /// What it does.
    description: &'static str,
    status: FeatureStatusObject,
    /// What the caller can do with it: `self`, `update`.
    links: BTreeMap<&'static str, String>,
    actions: BTreeMap<&'static str, String>,
}

/// How far switching it on has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeatureStatus)]
struct FeatureStatusObject {
    /// `off`, `backup`, `hashing`, `vacuum` or `on`.
    state: &'static str,
    /// How much of the step is done.
    done: u64,
    /// Of how much.
    total: u64,
    /// Where on the server the backup from before is; for administrators.
    backup: Option<String>,
    /// Why it stopped; for administrators.
    error: Option<String>,
}

/// Whether a feature is to be on.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = FeatureChange)]
pub(super) struct FeatureRequest {
    /// `true`: what is on stays on.
    value: bool,
}

/// Features: the one there is.
#[utoipa::path(get, path = "/v3/features", responses((status = 200, body = Collection<FeatureObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<FeatureObject>>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    let feature = FeatureObject::new(&links, api.authority.token_hashing(), administrator);
    let listing = Listing { schema: &schema::FEATURE, links: &links, query: &query, administrator };
    listing.whole(vec![feature]).map(Json)
}

/// One feature.
#[utoipa::path(get, path = "/v3/features/{id}", responses((status = 200, body = FeatureObject)))]
pub(super) async fn show(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Path(name): Path<String>,
) -> Result<Json<FeatureObject>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    check_name(&name)?;
    Ok(Json(FeatureObject::new(&links, api.authority.token_hashing(), administrator)))
}

/// Switches a feature on, which goes on after the answer: `status` says how far it is. For administrators.
#[utoipa::path(
    put, path = "/v3/features/{id}",
    request_body(content = FeatureRequest),
    responses(
        (status = 200, description = "It is as it was asked for", body = FeatureObject),
        (status = 202, description = "It is being switched on", body = FeatureObject),
    )
)]
pub(super) async fn set(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Path(name): Path<String>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    check_name(&name)?;
    let FeatureRequest { value } = body.parse()?;
    let status = if value {
        api.authority.enable_token_hashing(&caller).await?
    } else {
        api.authority.disable_token_hashing(&caller).await?
    };
    let under_way = value && status.state != HashingState::On;
    let code = if under_way { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((code, Json(FeatureObject::new(&links, status, true))).into_response())
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if name == TOKEN_HASHING { Ok(()) } else { Err(ApiError::not_found()) }
}

impl FeatureObject {
    fn new(links: &Links, status: HashingStatus, administrator: bool) -> Self {
        let locked = status.state != HashingState::Off;
        let url = links.to_one("/v3/features", TOKEN_HASHING);
        let mut links = BTreeMap::from([("self", url.clone())]);
        if administrator && !locked {
            links.insert("update", url);
        }
        Self {
            object: "feature",
            base_type: "feature",
            id: TOKEN_HASHING,
            name: TOKEN_HASHING,
            value: status.state == HashingState::On,
            default: true,
            locked,
            description: "Keys of tokens are stored as hashes, so that whoever reads the store can't use them; it can't be \
                          switched off",
            status: FeatureStatusObject {
                state: status.state.as_str(),
                done: status.done,
                total: status.total,
                backup: status.backup.filter(|_| administrator).map(|path| path.display().to_string()),
                error: status.error.filter(|_| administrator),
            },
            links,
            actions: BTreeMap::new(),
        }
    }
}

const TOKEN_HASHING: &str = "token-hashing";
