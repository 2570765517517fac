//! `/v3/tokens`.

mod input;
mod object;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

pub(super) use input::TokenRequest;
pub(super) use object::{TokenObject, expires_at};

use super::body::JsonBody;
use super::collection::{Collection, Listing};
use super::error::ApiError;
use super::query::Query;
use super::request::{By, Links, Named};
use super::{Api, schema};
use crate::authority::AuthorityError;
use crate::store::{MAX_PAGE, TokenFilter, TokenQuery, TokenSort};
use crate::token::TokenName;

/// Tokens: one's own, or with `?all=true` everybody's.
#[utoipa::path(get, path = "/v3/tokens", responses((status = 200, body = Collection<TokenObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<TokenObject>>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    let all = query.flag("all")? == Some(true);
    if all && !administrator {
        return Err(AuthorityError::NotAdministrator.into());
    }
    let filter = TokenFilter { owner: (!all).then(|| caller.id.clone()), ..TokenFilter::default() };
    let asked = TokenQuery { filter, sort: TokenSort::CreatedAt, limit: MAX_PAGE, ..TokenQuery::default() };
    let tokens = api.authority.tokens(&caller, asked).await?;
    let data = tokens.items.iter().map(|token| TokenObject::new(&links, token, &caller)).collect();
    let listing = Listing { schema: &schema::TOKEN, links: &links, query: &query, administrator };
    listing.whole(data).map(Json)
}

/// Makes a token, or does what `?action=` says.
#[utoipa::path(
    post, path = "/v3/tokens",
    request_body(content = TokenRequest),
    responses(
        (status = 201, description = "The token, with its key", body = TokenObject),
        (status = 200, description = "What the action says"),
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
            let request: TokenRequest = body.parse()?;
            let issued = api.authority.create_token(&caller, request.try_into()?).await?;
            let object = TokenObject::issued(&links, &issued, &caller);
            Ok((StatusCode::CREATED, Json(object)).into_response())
        }
        Some("logout") => log_out(State(api), By(caller)).await.map(IntoResponse::into_response),
        Some(_) => Err(ApiError::action_not_available()),
    }
}

/// Logs out: the token of this request is deleted.
#[utoipa::path(post, path = "/v1/logout", responses((status = 200, description = "It is gone")))]
pub(super) async fn log_out(State(api): State<Api>, By(caller): By) -> Result<StatusCode, ApiError> {
    api.authority.logout(&caller).await?;
    Ok(StatusCode::OK)
}

/// One token.
#[utoipa::path(get, path = "/v3/tokens/{id}", responses((status = 200, body = TokenObject)))]
pub(super) async fn show(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(name): Named<TokenName>,
) -> Result<Json<TokenObject>, ApiError> {
    let token = api.authority.token(&caller, &name).await?;
    Ok(Json(TokenObject::new(&links, &token, &caller)))
}

/// Deletes a token: from the next request on it is good for nothing.
#[utoipa::path(delete, path = "/v3/tokens/{id}", responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(
    State(api): State<Api>,
    By(caller): By,
    Named(name): Named<TokenName>,
) -> Result<StatusCode, ApiError> {
    api.authority.delete_token(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
