//! `/v3/tokens`.

pub(super) mod actions;
pub(super) mod bulk;
mod input;
mod object;
mod selection;
mod streams;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{HeaderValue, WARNING};
use http::{HeaderMap, StatusCode};

pub(super) use input::{RotateRequest, TokenRequest, TokenUpdateRequest};
pub(super) use object::{TokenObject, expires_at};
pub(super) use selection::marker;

use super::body::JsonBody;
use super::collection::{Collection, Listing, Part};
use super::error::ApiError;
use super::query::Query;
use super::request::{By, Links};
use super::{Api, Caller, schema};
use crate::authority::Issued;
use crate::clock;
use crate::setting::Setting;
use crate::token::Ttl;
use crate::token::ttl::Clamp;

/// Tokens: everybody's for administrators, one's own for others, or with `?me=true`.
#[utoipa::path(get, path = "/v3/tokens", responses((status = 200, body = Collection<TokenObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<TokenObject>>, ApiError> {
    let administrator = api.is_administrator(&caller).await?;
    let asked = selection::page(&query, &caller, api.token_max_ttl())?;
    let descending = asked.descending;
    let page = api.authority.tokens(&caller, asked).await?;
    let data = page.items.iter().map(|token| TokenObject::new(&links, token, &caller)).collect();
    let next = page.next.map(|marker| marker.to_string());
    let listing = Listing { schema: &schema::TOKEN, links: &links, query: &query, administrator };
    listing.collection(Part { data, next, descending }).map(Json)
}

/// Makes a token, or does what `?action=` says: `logout` deletes the token of this request, `shorten` makes the tokens
/// that the filters let through live as long as tokens may now.
#[utoipa::path(
    post, path = "/v3/tokens",
    request_body(content = TokenRequest),
    responses(
        (status = 201, description = "The token, with its key", body = TokenObject),
        (status = 200, description = "What was shortened; nothing for a logout"),
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
            Ok(granted(&links, &issued, &caller))
        }
        Some("logout") => log_out(State(api), By(caller)).await.map(IntoResponse::into_response),
        Some("shorten") => bulk::shorten(&api, By(caller), &query).await.map(IntoResponse::into_response),
        Some(_) => Err(ApiError::action_not_available()),
    }
}

/// Logs out: the token of this request is deleted.
#[utoipa::path(post, path = "/v1/logout", responses((status = 200, description = "It is gone")))]
pub(super) async fn log_out(State(api): State<Api>, By(caller): By) -> Result<StatusCode, ApiError> {
    api.authority.logout(&caller).await?;
    Ok(StatusCode::OK)
}

/// The answer with a new token. That it lives shorter than was asked for stands in a header, for whoever does not
/// compare: code 299 of RFC 7234, for whatever has no code of its own, which Kubernetes' clients print.
fn granted(links: &Links, issued: &Issued, caller: &Caller) -> Response {
    let mut headers = HeaderMap::new();
    if let Some(warning) = issued.clamped.and_then(|clamp| HeaderValue::try_from(warning(clamp)).ok()) {
        headers.insert(WARNING, warning);
    }
    (StatusCode::CREATED, headers, Json(TokenObject::issued(links, issued, caller))).into_response()
}

fn warning(Clamp { asked, max }: Clamp) -> String {
    let asked =
        if asked == Ttl(0) { "for ever".to_owned() } else { format!("for {}", clock::in_words(asked.0)) };
    let (max, setting) = (clock::in_words(max.0), Setting::TokenMaxTtl.name());
    format!("299 - \"the token lives for {max}, the maximum by {setting}, and not {asked}\"")
}

impl Api {
    /// The longest life of a token by the settings; 0 is for ever.
    fn token_max_ttl(&self) -> Ttl {
        Ttl(self.authority.settings().token_max_ttl().millis())
    }
}
