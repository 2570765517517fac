//! `/v3/users`.

mod input;
mod object;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

pub(super) use input::{ChangePassword, SetPassword, UserRequest};
pub(super) use object::UserObject;

use super::body::JsonBody;
use super::collection::{Collection, Listing};
use super::error::ApiError;
use super::query::Query;
use super::request::{By, Links, Named};
use super::{Api, schema};
use crate::authority::AuthorityError;
use crate::identity::UserId;
use crate::store::{MAX_PAGE, UserQuery};

/// Users: all, for administrators; with `?me=true` the caller alone.
#[utoipa::path(get, path = "/v3/users", responses((status = 200, body = Collection<UserObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<UserObject>>, ApiError> {
    let users = if query.flag("me")? == Some(true) {
        let me = api.authority.user(&caller, &caller.id).await;
        vec![me.map_err(|error| match error {
            AuthorityError::NotFound => AuthorityError::CallerGone,
            other => other,
        })?]
    } else {
        api.authority.users(&caller, UserQuery { limit: MAX_PAGE, ..UserQuery::default() }).await?.items
    };
    let administrator = api.is_administrator(&caller).await?;
    let data = users.iter().map(|user| UserObject::new(&links, user, &caller)).collect();
    let listing = Listing { schema: &schema::USER, links: &links, query: &query, administrator };
    listing.whole(data).map(Json)
}

/// Makes a user, or with `?action=changepassword` changes the caller's own password.
#[utoipa::path(
    post, path = "/v3/users",
    request_body(content = UserRequest),
    responses(
        (status = 201, description = "The user", body = UserObject),
        (status = 200, description = "The password is changed"),
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
            let request: UserRequest = body.parse()?;
            let user = api.authority.create_user(&caller, request.into_new_user()?).await?;
            let object = UserObject::new(&links, &user, &caller);
            Ok((StatusCode::CREATED, Json(object)).into_response())
        }
        Some("changepassword") => {
            let ChangePassword { current_password, new_password } = body.parse()?;
            api.authority.change_password(&caller, current_password.0, new_password.0, None).await?;
            Ok(StatusCode::OK.into_response())
        }
        Some(_) => Err(ApiError::action_not_available()),
    }
}

/// One user: oneself, or anybody for an administrator.
#[utoipa::path(get, path = "/v3/users/{id}", responses((status = 200, body = UserObject)))]
pub(super) async fn show(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(id): Named<UserId>,
) -> Result<Json<UserObject>, ApiError> {
    let user = api.authority.user(&caller, &id).await?;
    Ok(Json(UserObject::new(&links, &user, &caller)))
}

/// Changes the fields that are given.
#[utoipa::path(
    put, path = "/v3/users/{id}",
    request_body(content = UserRequest),
    responses((status = 200, body = UserObject))
)]
pub(super) async fn update(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(id): Named<UserId>,
    body: JsonBody,
) -> Result<Json<UserObject>, ApiError> {
    let request: UserRequest = body.parse()?;
    if let Some(username) = request.username() {
        let user = api.authority.user(&caller, &id).await?;
        if user.name.as_str() != username {
            return Err(ApiError::invalid("InvalidOption", "a user name can't be changed").on("username"));
        }
    }
    let user = api.authority.update_user(&caller, &id, request.into_change()?).await?;
    Ok(Json(UserObject::new(&links, &user, &caller)))
}

/// Gives a user a new password.
#[utoipa::path(
    post, path = "/v3/users/{id}",
    request_body(content = SetPassword),
    responses((status = 200, body = UserObject))
)]
pub(super) async fn act(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(id): Named<UserId>,
    query: Query,
    body: JsonBody,
) -> Result<Json<UserObject>, ApiError> {
    match query.action()? {
        Some("setpassword") => {
            let SetPassword { new_password } = body.parse()?;
            let user = api.authority.set_password(&caller, &id, new_password.0, None).await?;
            Ok(Json(UserObject::new(&links, &user, &caller)))
        }
        Some(_) => Err(ApiError::action_not_available()),
        None => Err(ApiError::action_missing()),
    }
}

/// Deletes a user and all of the user's tokens.
#[utoipa::path(delete, path = "/v3/users/{id}", responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(
    State(api): State<Api>,
    By(caller): By,
    Named(id): Named<UserId>,
) -> Result<StatusCode, ApiError> {
    api.authority.delete_user(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
