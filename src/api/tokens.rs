//! `/v3/tokens`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;
use super::request::{By, JsonBody, Links, Named, Parameters};
use super::{Api, Caller, resource};
use crate::authority::{AuthorityError, NewToken, TokenScope};
use crate::identity::UserId;
use crate::token::{TokenName, Ttl};

/// `GET /v3/tokens`: the caller's own, or with `?all=true` everybody's.
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    parameters: Parameters,
) -> Result<Json<Value>, ApiError> {
    let scope = if parameters.all() { TokenScope::All } else { TokenScope::Own };
    let tokens = api.authority.tokens(&caller, scope).await?;
    let data = tokens.iter().map(|token| resource::token(&links, token, &caller)).collect();
    Ok(Json(resource::collection(&links, "/v3/tokens", "token", true, data)))
}

/// `POST /v3/tokens`: makes an API key, or does what `?action=` says.
pub(super) async fn post(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, ApiError> {
    match parameters.action.as_deref() {
        None => create(&api, &caller, &links, &body).await,
        Some("logout") => {
            api.authority.logout(&caller).await?;
            Ok(StatusCode::OK.into_response())
        }
        Some(_) => Err(ApiError::action_not_available()),
    }
}

/// `GET /v3/tokens/<name>`.
pub(super) async fn show(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(name): Named<TokenName>,
) -> Result<Json<Value>, ApiError> {
    let token = api.authority.token(&caller, &name).await?;
    Ok(Json(resource::token(&links, &token, &caller)))
}

/// `DELETE /v3/tokens/<name>`.
pub(super) async fn delete(
    State(api): State<Api>,
    By(caller): By,
    Named(name): Named<TokenName>,
) -> Result<StatusCode, ApiError> {
    api.authority.delete_token(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What counts of a token as a client sends it. Name, kind, state and the like are ours to decide and are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenRequest {
    ttl: Option<i64>,
    description: Option<String>,
    cluster_id: Option<String>,
    user_id: Option<String>,
    groups: Option<Vec<String>>,
    group_principals: Option<Vec<Value>>,
}

async fn create(api: &Api, caller: &Caller, links: &Links, body: &JsonBody) -> Result<Response, ApiError> {
    let request: TokenRequest = body.parse()?;
    let issued = api.authority.create_token(caller, request.try_into()?).await?;
    let mut answer = resource::token(links, &issued.record, caller);
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("token".to_owned(), issued.bearer.expose().expose().into());
    }
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

impl TryFrom<TokenRequest> for NewToken {
    type Error = ApiError;

    fn try_from(request: TokenRequest) -> Result<Self, ApiError> {
        // What would be narrower or wider than asked for is refused, not silently made.
        if request.cluster_id.is_some_and(|id| !id.is_empty()) {
            return Err(ApiError::invalid("InvalidOption", "tokens for one cluster alone are not supported"));
        }
        if request.groups.is_some() || request.group_principals.is_some() {
            return Err(ApiError::invalid("InvalidOption", "a token has the groups of its user"));
        }
        let owner = request.user_id.filter(|id| !id.is_empty());
        let owner = owner.map(|id| UserId::try_from(id.as_str()).map_err(|_| AuthorityError::ForAnotherUser));
        let ttl = u64::try_from(request.ttl.unwrap_or(0)).map_err(|_| AuthorityError::TtlOutOfRange)?;
        Ok(Self {
            description: request.description.unwrap_or_default(),
            ttl: Ttl(ttl),
            owner: owner.transpose()?,
        })
    }
}
