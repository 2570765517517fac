//! `/v3/users`.

mod input;
mod object;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use input::revoke;
pub(super) use input::{ChangePassword, SetPassword, UserRequest, UserUpdateRequest};
pub(super) use object::UserObject;

use super::body::JsonBody;
use super::collection::{Collection, Listing, Part};
use super::error::{ApiError, ErrorObject};
use super::query::Query;
use super::request::{AboutItself, By, Links, Named};
use super::tokens::marker;
use super::{Api, schema};
use crate::identity::{UserId, Username};
use crate::store::{UserFilter, UserQuery};

/// Users: all, for administrators; with `?me=true` the caller alone, which a token for a cluster alone may ask as well.
#[utoipa::path(get, path = "/v3/users", responses((status = 200, body = Collection<UserObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    by: AboutItself,
    links: Links,
    query: Query,
) -> Result<Json<Collection<UserObject>>, ApiError> {
    let (is_confined, is_me) = (by.is_confined, query.flag("me")? == Some(true));
    let caller = by.own_user(is_me)?;
    let administrator = !is_confined && api.is_administrator(&caller).await?;
    let listing = Listing { schema: &schema::USER, links: &links, query: &query, administrator };
    let asked = selection(&query)?;
    if is_me {
        let me = UserObject::new(&links, &api.own_user(&caller).await?, &caller);
        return listing.whole(vec![if is_confined { me.without_changes() } else { me }]).map(Json);
    }
    let descending = asked.descending;
    let page = api.authority.users(&caller, asked).await?;
    let data = page.items.iter().map(|user| UserObject::new(&links, user, &caller)).collect();
    let next = page.next.map(|marker| marker.to_string());
    listing.collection(Part { data, next, descending }).map(Json)
}

fn selection(query: &Query) -> Result<UserQuery, ApiError> {
    let name = query.parsed("username", "a user's name", |text| Username::try_from(text).ok())?;
    query.parsed("sort", "username", |text| (text == "username").then_some(()))?;
    let filter = UserFilter { name, enabled: query.flag("enabled")?, admin: query.flag("admin")? };
    let descending = query.descending()?.unwrap_or(false);
    Ok(UserQuery { filter, descending, after: marker(query)?, limit: query.limit()? })
}

/// A new user, or for the action `changepassword` a new password.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the description: the action says which it is")]
enum UserPost {
    NewUser(UserRequest),
    ChangePassword(ChangePassword),
}

/// Makes a user, or with `?action=changepassword` changes the caller's own password.
#[utoipa::path(
    post, path = "/v3/users",
    request_body(content = UserPost),
    responses(
        (status = 201, description = "The user", body = UserObject),
        (status = 200, description = "The password is changed"),
        (status = 409, description = "Another user has the name", body = ErrorObject),
        (status = 429, description = "Too many failures; Retry-After says when to try again", body = ErrorObject),
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
            let ChangePassword { current_password, new_password, revoke_tokens } = body.parse()?;
            let (current, new, revoke) =
                (current_password.0, new_password.0, revoke(revoke_tokens.as_deref())?);
            api.authority.change_password(&caller, current, new, revoke).await?;
            Ok(StatusCode::OK.into_response())
        }
        Some(_) => Err(ApiError::action_not_available()),
    }
}

/// One user: oneself, or anybody for an administrator. A token for a cluster alone may ask for its own.
#[utoipa::path(get, path = "/v3/users/{id}", responses((status = 200, body = UserObject)))]
pub(super) async fn show(
    State(api): State<Api>,
    by: AboutItself,
    links: Links,
    Named(id): Named<UserId>,
) -> Result<Json<UserObject>, ApiError> {
    let is_confined = by.is_confined;
    let caller = by.user(&id)?;
    let user = UserObject::new(&links, &api.authority.user(&caller, &id).await?, &caller);
    Ok(Json(if is_confined { user.without_changes() } else { user }))
}

/// Changes the fields that are given.
#[utoipa::path(
    put, path = "/v3/users/{id}",
    request_body(content = UserUpdateRequest),
    responses((status = 200, body = UserObject))
)]
pub(super) async fn update(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    Named(id): Named<UserId>,
    body: JsonBody,
) -> Result<Json<UserObject>, ApiError> {
    let request: UserUpdateRequest = body.parse()?;
    if let Some(username) = &request.username {
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
            let SetPassword { new_password, revoke_tokens } = body.parse()?;
            let revoke = revoke(revoke_tokens.as_deref())?;
            let user = api.authority.set_password(&caller, &id, new_password.0, revoke).await?;
            Ok(Json(UserObject::new(&links, &user, &caller)))
        }
        Some(_) => Err(ApiError::action_not_available()),
        None => Err(ApiError::action_missing()),
    }
}

/// Deletes a user and all of the user's tokens.
#[utoipa::path(
    delete, path = "/v3/users/{id}",
    responses(
        (status = 204, description = "It is gone"),
        (status = 422, description = "It is the caller's own, or the last administrator's", body = ErrorObject),
    )
)]
pub(super) async fn delete(
    State(api): State<Api>,
    By(caller): By,
    Named(id): Named<UserId>,
) -> Result<StatusCode, ApiError> {
    api.authority.delete_user(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
