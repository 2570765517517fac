//! What clients send to make and change users.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::body::SecretText;
use crate::api::error::ApiError;
use crate::authority::{NewUser, UserChange};
use crate::identity::{Group, Username};
use crate::store::Revoke;

/// What counts of a new user as a client sends it.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewUser)]
pub(in crate::api) struct UserRequest {
    /// What the user logs in with, and what clusters know the user by.
    #[schema(value_type = String, required = true, nullable = false, min_length = 1, max_length = 256)]
    username: Option<String>,
    /// Without one the user can't log in.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretText>,
    /// The groups clusters know the user to be in.
    #[schema(value_type = Option<Vec<GroupName>>, max_items = 512)]
    groups: Option<Vec<String>>,
    /// Whether the user may manage users, settings and everybody's tokens.
    admin: Option<bool>,
    /// False while the user and all of the user's tokens are switched off.
    enabled: Option<bool>,
}

/// What is to be changed about a user.
#[derive(Deserialize, ToSchema)]
#[schema(as = UserChange)]
pub(in crate::api) struct UserUpdateRequest {
    /// Clients send whole resources back: the name can't be changed.
    #[schema(ignore)]
    pub(super) username: Option<String>,
    #[schema(ignore)]
    password: Option<SecretText>,
    /// The groups clusters know the user to be in.
    #[schema(value_type = Option<Vec<GroupName>>, max_items = 512)]
    groups: Option<Vec<String>>,
    /// Whether the user may manage users, settings and everybody's tokens.
    admin: Option<bool>,
    /// False while the user and all of the user's tokens are switched off.
    enabled: Option<bool>,
}

/// The name of a group.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 256)]
#[expect(dead_code, reason = "for the description: what is sent is read as a text and refused by name")]
struct GroupName(String);

/// A new password for somebody.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct SetPassword {
    /// The new password.
    #[schema(value_type = String, format = Password)]
    pub(super) new_password: SecretText,
    /// Which of the user's tokens end with the old password: `sessions` or `all`; none unless given.
    #[schema(value_type = Option<RevokeTokens>)]
    pub(super) revoke_tokens: Option<String>,
}

/// A new password of one's own.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct ChangePassword {
    /// The password that is to be changed.
    #[schema(value_type = String, format = Password)]
    pub(super) current_password: SecretText,
    /// The new password.
    #[schema(value_type = String, format = Password)]
    pub(super) new_password: SecretText,
    /// Which of the user's tokens end with the old password: `sessions` or `all`; none unless given.
    #[schema(value_type = Option<RevokeTokens>)]
    pub(super) revoke_tokens: Option<String>,
}

impl UserUpdateRequest {
    /// What is to be changed about the user.
    pub(super) fn into_change(self) -> Result<UserChange, ApiError> {
        if self.password.is_some() {
            let message = "a password is set by the action setpassword";
            return Err(ApiError::invalid("InvalidOption", message).on("password"));
        }
        let groups = self.groups.map(parse_groups).transpose()?;
        Ok(UserChange { groups, admin: self.admin, enabled: self.enabled })
    }
}

impl UserRequest {
    /// The user that is to be made.
    pub(super) fn into_new_user(self) -> Result<NewUser, ApiError> {
        let Some(username) = self.username else {
            return Err(ApiError::invalid("MissingRequired", "username is required").on("username"));
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

/// Which tokens end with the old password.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the description: what is sent is read as a text and refused by name")]
enum RevokeTokens {
    /// Those of logins.
    Sessions,
    /// All.
    All,
}

/// Which tokens end with the old password. An empty field of a form means none.
pub(super) fn revoke(text: Option<&str>) -> Result<Option<Revoke>, ApiError> {
    match text {
        None | Some("") => Ok(None),
        Some("sessions") => Ok(Some(Revoke::Sessions)),
        Some("all") => Ok(Some(Revoke::All)),
        Some(_) => {
            let message = "revokeTokens must be sessions or all";
            Err(ApiError::invalid("InvalidOption", message).on("revokeTokens"))
        }
    }
}

fn parse_groups(names: Vec<String>) -> Result<Vec<Group>, ApiError> {
    let parse = |name: String| {
        Group::try_from(name.as_str()).map_err(|error| ApiError::invalid_name("groups", error))
    };
    names.into_iter().map(parse).collect()
}
