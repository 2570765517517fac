//! `/v3-public` and `/v1-public`: what a client may do before it has a token.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::error::ApiError;
use super::request::{Client, JsonBody, Links, Parameters, SecretText};
use super::resource;
use crate::authority::{Login, LoginPurpose};

/// `POST /v3-public/localProviders/local?action=login`.
pub(super) async fn v3(
    State(api): State<Api>,
    client: Client,
    parameters: Parameters,
    body: JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    match parameters.action.as_deref() {
        Some("login") => log_in(&api, client, body.parse()?).await,
        Some(_) => Err(ApiError::action_not_available()),
        None => Err(ApiError::of(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

/// `POST /v1-public/login`: the same, with the provider named in the body.
pub(super) async fn v1(
    State(api): State<Api>,
    client: Client,
    body: JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let request: LoginRequest = body.parse()?;
    if request.provider.as_deref() != Some(LOCAL_PROVIDER) {
        return Err(ApiError::invalid("InvalidBodyContent", "type must be localProvider"));
    }
    log_in(&api, client, request).await
}

/// `GET /v1-public/authproviders` and `GET /v3-public/authProviders`.
pub(super) async fn providers(links: Links) -> Json<Value> {
    let login = links.to("/v3-public/localProviders/local?action=login");
    let local = json!({
        "type": LOCAL_PROVIDER,
        "baseType": "authProvider",
        "id": "local",
        "name": "local",
        "actions": { "login": login },
        "links": { "self": links.to("/v3-public/localProviders/local") },
    });
    Json(resource::collection(&links, "/v3-public/authProviders", "authProvider", false, vec![local]))
}

/// A login as a client sends it. Its `ttl` is ignored: how long a session lives is not the client's to say.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginRequest {
    #[serde(rename = "type")]
    provider: Option<String>,
    username: Option<String>,
    password: Option<SecretText>,
    response_type: Option<String>,
    description: Option<String>,
}

async fn log_in(
    api: &Api,
    Client(client): Client,
    request: LoginRequest,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let purpose = purpose(request.response_type.as_deref().unwrap_or_default())?;
    let (Some(username), Some(password)) = (request.username, request.password) else {
        return Err(ApiError::invalid("MissingRequired", "username and password are required"));
    };
    let description = request.description.unwrap_or_default();
    let login = Login { username, password: password.0, purpose, description, client };
    let issued = api.authority.login(login).await?;
    let answer = json!({
        "type": "token",
        "baseType": "token",
        "id": issued.record.name.as_str(),
        "token": issued.bearer.expose().expose(),
        "expiresAt": resource::expires_at(&issued.record),
        "ttl": issued.record.ttl.0,
        "userId": issued.record.user_id.as_str(),
    });
    Ok((StatusCode::CREATED, Json(answer)))
}

fn purpose(response_type: &str) -> Result<LoginPurpose, ApiError> {
    match response_type {
        "kubeconfig" => Ok(LoginPurpose::Kubeconfig),
        "cookie" => Err(ApiError::invalid("InvalidOption", "logging in by cookie is not supported")),
        // A token that opens more than the one cluster it was asked for would be worse than none.
        scoped if scoped.starts_with("kubeconfig_") => {
            Err(ApiError::invalid("InvalidOption", "tokens for one cluster alone are not supported"))
        }
        _ => Ok(LoginPurpose::Session),
    }
}

const LOCAL_PROVIDER: &str = "localProvider";
