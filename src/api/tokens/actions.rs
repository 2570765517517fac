//! What can be done with one token.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::{RotateRequest, TokenObject, TokenUpdateRequest, granted};
use crate::api::Api;
use crate::api::body::JsonBody;
use crate::api::error::{ApiError, ErrorObject};
use crate::api::query::Query;
use crate::api::request::{AboutItself, By, Links, Named};
use crate::authority::TokenChange;
use crate::token::TokenName;

/// One token, and what is open by its leave. A token that is for a cluster alone may ask for itself.
#[utoipa::path(get, path = "/v3/tokens/{id}", responses((status = 200, body = TokenObject)))]
pub(in crate::api) async fn show(
    State(api): State<Api>,
    by: AboutItself,
    links: Links,
    Named(name): Named<TokenName>,
) -> Result<Json<TokenObject>, ApiError> {
    let is_confined = by.is_confined;
    let caller = by.token(&name)?;
    let token = api.authority.token(&caller, &name).await?;
    let open = api.streams.of_token(&name);
    let object = TokenObject::new(&links, &token, &caller).with_streams(&open);
    Ok(Json(if is_confined { object.without_changes() } else { object }))
}

/// Changes the fields that are given. A life can only be made shorter.
#[utoipa::path(
    put, path = "/v3/tokens/{id}",
    request_body(content = TokenUpdateRequest),
    responses(
        (status = 200, body = TokenObject),
        (status = 409, description = "It was changed meanwhile", body = ErrorObject),
    )
)]
pub(in crate::api) async fn update(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(name): Named<TokenName>,
    body: JsonBody,
) -> Result<Json<TokenObject>, ApiError> {
    let request: TokenUpdateRequest = body.parse()?;
    let mut change = TokenChange::from(request);
    if let Some(ttl) = change.ttl {
        // Clients send whole resources back: what is as it was is no change.
        let token = api.authority.token(&caller, &name).await?;
        change.ttl = Some(ttl).filter(|ttl| u64::try_from(*ttl) != Ok(token.ttl.0));
    }
    let token = api.authority.update_token(&caller, &name, change).await?;
    Ok(Json(TokenObject::new(&links, &token, &caller)))
}

/// Deletes a token: from the next request on it is good for nothing. One that is for a cluster alone may delete itself.
#[utoipa::path(delete, path = "/v3/tokens/{id}", responses((status = 204, description = "It is gone")))]
pub(in crate::api) async fn delete(
    State(api): State<Api>,
    by: AboutItself,
    Named(name): Named<TokenName>,
) -> Result<StatusCode, ApiError> {
    let caller = by.token(&name)?;
    api.authority.delete_token(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does what `?action=` says: switches the token on or off, makes a new one in its place, or renews its lease.
#[utoipa::path(
    post, path = "/v3/tokens/{id}",
    request_body(content = RotateRequest, description = "For the action rotate"),
    responses(
        (status = 200, description = "The token", body = TokenObject),
        (status = 201, description = "The token in its place, with its key", body = TokenObject),
        (status = 409, description = "It was changed or replaced meanwhile", body = ErrorObject),
    )
)]
pub(in crate::api) async fn act(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(name): Named<TokenName>,
    query: Query,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let switch = |enabled| TokenChange { enabled: Some(enabled), ..TokenChange::default() };
    let token = match query.action()? {
        Some("enable") => api.authority.update_token(&caller, &name, switch(true)).await?,
        Some("disable") => api.authority.update_token(&caller, &name, switch(false)).await?,
        Some("renewLease") => api.authority.renew_lease(&caller, &name).await?,
        Some("rotate") => {
            let request: RotateRequest = body.parse()?;
            let issued = api.authority.rotate_token(&caller, &name, request.try_into()?).await?;
            return Ok(granted(&links, &issued, &caller));
        }
        Some(_) => return Err(ApiError::action_not_available()),
        None => return Err(ApiError::action_missing()),
    };
    Ok(Json(TokenObject::new(&links, &token, &caller)).into_response())
}
