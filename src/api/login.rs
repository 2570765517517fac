//! `/v3-public` and `/v1-public`: what a client may do before it has a token.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{JsonBody, SecretText};
use super::collection::{Collection, Listing};
use super::error::{ApiError, ErrorObject};
use super::query::Query;
use super::request::{Client, Links};
use super::session::{self, Site};
use super::tokens::expires_at;
use super::{Api, schema};
use crate::authority::{AuthorityError, Login, LoginPurpose};
use crate::identity::ClusterId;

/// Logs in: a token for a user name and a password.
#[utoipa::path(
    post, path = "/v3-public/localProviders/local",
    request_body(content = LoginRequest),
    responses(
        (status = 201, description = "A token", body = LoginOutput),
        (status = 200, description = "A session in the cookie R_SESS, if responseType is cookie"),
        (status = 401, description = "The name or the password is wrong", body = ErrorObject),
        (status = 403, description = "The user is switched off", body = ErrorObject),
        (status = 429, description = "Too many failures; Retry-After says when to try again", body = ErrorObject),
    )
)]
pub(super) async fn v3(
    State(api): State<Api>,
    client: Client,
    site: Site,
    query: Query,
    body: JsonBody,
) -> Result<Response, ApiError> {
    match query.action()? {
        Some("login") => log_in(&api, client, &site, body.parse()?).await,
        Some(_) => Err(ApiError::action_not_available()),
        None => Err(ApiError::action_missing()),
    }
}

/// Logs in: the same, with the provider named in the body.
#[utoipa::path(
    post, path = "/v1-public/login",
    request_body(content = LoginRequest),
    responses(
        (status = 201, description = "A token", body = LoginOutput),
        (status = 200, description = "A session in the cookie R_SESS, if responseType is cookie"),
        (status = 401, description = "The name or the password is wrong", body = ErrorObject),
        (status = 403, description = "The user is switched off", body = ErrorObject),
        (status = 429, description = "Too many failures; Retry-After says when to try again", body = ErrorObject),
    )
)]
pub(super) async fn v1(
    State(api): State<Api>,
    client: Client,
    site: Site,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let request: LoginRequest = body.parse()?;
    if request.provider.as_deref().is_some_and(|provider| provider != LOCAL_PROVIDER) {
        return Err(ApiError::invalid("InvalidBodyContent", "type must be localProvider").on("type"));
    }
    log_in(&api, client, &site, request).await
}

/// Where one can log in: with a password known here.
#[utoipa::path(
    get, path = "/v3-public/authProviders",
    responses((status = 200, body = Collection<AuthProviderObject>))
)]
pub(super) async fn providers(
    links: Links,
    query: Query,
) -> Result<Json<Collection<AuthProviderObject>>, ApiError> {
    let listing =
        Listing { schema: &schema::AUTH_PROVIDER, links: &links, query: &query, administrator: false };
    listing.whole(vec![AuthProviderObject::local(&links)]).map(Json)
}

/// The same under the name that newer clients ask for.
#[utoipa::path(
    get, path = "/v1-public/authproviders",
    responses((status = 200, body = Collection<AuthProviderObject>))
)]
pub(super) async fn v1_providers(
    links: Links,
    query: Query,
) -> Result<Json<Collection<AuthProviderObject>>, ApiError> {
    providers(links, query).await
}

/// Somebody who knows users.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuthProvider)]
pub(super) struct AuthProviderObject {
    /// Always `localProvider`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `authProvider`.
    base_type: &'static str,
    id: &'static str,
    name: &'static str,
    links: BTreeMap<&'static str, String>,
    actions: BTreeMap<&'static str, String>,
}

impl AuthProviderObject {
    fn local(links: &Links) -> Self {
        let url = links.to("/v3-public/localProviders/local");
        Self {
            object: LOCAL_PROVIDER,
            base_type: "authProvider",
            id: "local",
            name: "local",
            actions: BTreeMap::from([("login", format!("{url}?action=login"))]),
            links: BTreeMap::from([("self", url)]),
        }
    }
}

/// The token that a login gives.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginOutput {
    /// Always `token`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `token`.
    base_type: &'static str,
    /// The token's name.
    id: String,
    /// Name and key, as they are presented.
    token: String,
    /// When it ends, by RFC 3339; empty if it never does.
    expires_at: String,
    /// How long it lives, in milliseconds; 0 is for ever.
    ttl: u64,
    /// Whose it is.
    user_id: String,
}

/// A login as a client sends it. Its `ttl` is ignored: how long a session lives is not the client's to say.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginRequest {
    /// Who knows the user: those who are known here.
    #[serde(rename = "type")]
    #[schema(value_type = Option<ProviderType>)]
    provider: Option<String>,
    /// The user's name.
    #[schema(value_type = String, required = true, nullable = false)]
    username: Option<String>,
    /// The user's password.
    #[schema(value_type = String, required = true, nullable = false, format = Password)]
    password: Option<SecretText>,
    /// What the token is for, and how it is given.
    #[schema(value_type = Option<ResponseType>)]
    response_type: Option<String>,
    /// Free text.
    #[schema(max_length = 1024)]
    description: Option<String>,
}

/// Who knows users.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "for the description: what is sent is read as a text and refused by name")]
enum ProviderType {
    LocalProvider,
}

/// What a login gives.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the description: what is sent is read as a text and refused by name")]
enum ResponseType {
    /// A session, in the answer.
    Json,
    /// A session, in the cookie `R_SESS`.
    Cookie,
    /// A token for a kubeconfig.
    Kubeconfig,
}

async fn log_in(
    api: &Api,
    Client(client): Client,
    site: &Site,
    request: LoginRequest,
) -> Result<Response, ApiError> {
    let response_type = request.response_type.as_deref().unwrap_or_default();
    let ((purpose, cluster), into_cookie) = (purpose(response_type)?, response_type == "cookie");
    if into_cookie {
        // Nobody else logs a browser in, not even as themselves.
        site.refuse_others()?;
    }
    let (Some(username), Some(password)) = (request.username, request.password) else {
        return Err(ApiError::invalid("MissingRequired", "username and password are required"));
    };
    let description = request.description.unwrap_or_default();
    let login = Login { username, password: password.0, purpose, cluster, description, client };
    let issued = api.authority.login(login).await?;
    if into_cookie {
        let mut response = StatusCode::OK.into_response();
        session::begin(response.headers_mut(), &issued.bearer.expose())?;
        return Ok(response);
    }
    let answer = LoginOutput {
        object: "token",
        base_type: "token",
        id: issued.record.name.to_string(),
        token: issued.bearer.expose().expose().to_owned(),
        expires_at: expires_at(&issued.record),
        ttl: issued.record.ttl.0,
        user_id: issued.record.user_id.to_string(),
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// What the token is for, and the one cluster it is to be good for, if it is asked for that.
fn purpose(response_type: &str) -> Result<(LoginPurpose, Option<ClusterId>), ApiError> {
    if let Some(id) = response_type.strip_prefix("kubeconfig_") {
        let id = ClusterId::try_from(id).map_err(|_| AuthorityError::UnknownCluster)?;
        return Ok((LoginPurpose::Kubeconfig, Some(id)));
    }
    let purpose = match response_type {
        "kubeconfig" => Ok((LoginPurpose::Kubeconfig, None)),
        "" | "json" | "cookie" => Ok((LoginPurpose::Session, None)),
        _ => Err(ApiError::invalid("InvalidOption", "responseType must be json, cookie or kubeconfig")),
    };
    purpose.map_err(|error| error.on("responseType"))
}

const LOCAL_PROVIDER: &str = "localProvider";
