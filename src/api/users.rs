//! `/v3/users`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;
use super::request::{By, Client, JsonBody, Links, Named, Parameters, SecretText};
use super::{Api, resource};
use crate::authority::{AuthorityError, NewUser, UserChange};
use crate::identity::{Group, UserId, Username};

/// `GET /v3/users`: all, for administrators; with `?me=true` the caller alone.
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    parameters: Parameters,
) -> Result<Json<Value>, ApiError> {
    let users = if parameters.me() {
        let me = api.authority.user(&caller, &caller.id).await;
        vec![me.map_err(|error| match error {
            AuthorityError::NotFound => AuthorityError::CallerGone,
            other => other,
        })?]
    } else {
        api.authority.users(&caller).await?
    };
    let data = users.iter().map(|user| resource::user(&links, user, &caller)).collect();
    Ok(Json(resource::collection(&links, "/v3/users", "user", true, data)))
}

/// `POST /v3/users`: makes a user, or with `?action=changepassword` changes the caller's own password.
pub(super) async fn post(
    State(api): State<Api>,
    By(caller): By,
    Client(client): Client,
    links: Links,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Response, ApiError> {
    match parameters.action.as_deref() {
        None => {
            let request: UserRequest = body.parse()?;
            let user = api.authority.create_user(&caller, request.into_new_user()?).await?;
            Ok((StatusCode::CREATED, Json(resource::user(&links, &user, &caller))).into_response())
        }
        Some("changepassword") => {
            let ChangePassword { current_password, new_password } = body.parse()?;
            api.authority.change_password(&caller, client, current_password.0, new_password.0).await?;
            Ok(StatusCode::OK.into_response())
        }
        Some(_) => Err(ApiError::action_not_available()),
    }
}

/// `GET /v3/users/<id>`.
pub(super) async fn show(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(id): Named<UserId>,
) -> Result<Json<Value>, ApiError> {
    let user = api.authority.user(&caller, &id).await?;
    Ok(Json(resource::user(&links, &user, &caller)))
}

/// `PUT /v3/users/<id>`: changes the fields that are given.
pub(super) async fn update(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(id): Named<UserId>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let request: UserRequest = body.parse()?;
    if request.password.is_some() {
        return Err(ApiError::invalid("InvalidOption", "a password is set by the action setpassword"));
    }
    if let Some(username) = &request.username {
        let user = api.authority.user(&caller, &id).await?;
        if user.name.as_str() != username {
            return Err(ApiError::invalid("InvalidOption", "a user name can't be changed"));
        }
    }
    let groups = request.groups.map(parse_groups).transpose()?;
    let change = UserChange { groups, admin: request.admin, enabled: request.enabled };
    let user = api.authority.update_user(&caller, &id, change).await?;
    Ok(Json(resource::user(&links, &user, &caller)))
}

/// `POST /v3/users/<id>?action=setpassword`.
pub(super) async fn act(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(id): Named<UserId>,
    parameters: Parameters,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    match parameters.action.as_deref() {
        Some("setpassword") => {
            let SetPassword { new_password } = body.parse()?;
            let user = api.authority.set_password(&caller, &id, new_password.0).await?;
            Ok(Json(resource::user(&links, &user, &caller)))
        }
        Some(_) => Err(ApiError::action_not_available()),
        None => Err(ApiError::of(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

/// `DELETE /v3/users/<id>`.
pub(super) async fn delete(
    State(api): State<Api>,
    By(caller): By,
    Named(id): Named<UserId>,
) -> Result<StatusCode, ApiError> {
    api.authority.delete_user(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What counts of a user as a client sends it.
#[derive(Deserialize)]
struct UserRequest {
    username: Option<String>,
    password: Option<SecretText>,
    groups: Option<Vec<String>>,
    admin: Option<bool>,
    enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetPassword {
    new_password: SecretText,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangePassword {
    current_password: SecretText,
    new_password: SecretText,
}

impl UserRequest {
    fn into_new_user(self) -> Result<NewUser, ApiError> {
        let Some(username) = self.username else {
            return Err(ApiError::invalid("MissingRequired", "username is required"));
        };
        let name = Username::try_from(username.as_str());
        Ok(NewUser {
            name: name.map_err(|error| ApiError::invalid_name("username", error))?,
            groups: parse_groups(self.groups.unwrap_or_default())?,
            admin: self.admin.unwrap_or(false),
            enabled: self.enabled.unwrap_or(true),
            // An empty field of a form means none: it would be too short anyway.
            password: self.password.map(|text| text.0).filter(|password| !password.expose().is_empty()),
        })
    }
}

fn parse_groups(names: Vec<String>) -> Result<Vec<Group>, ApiError> {
    let parse = |name: String| {
        Group::try_from(name.as_str()).map_err(|error| ApiError::invalid_name("groups", error))
    };
    names.into_iter().map(parse).collect()
}
