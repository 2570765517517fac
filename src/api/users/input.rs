//! What clients send to make and change users.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::body::SecretText;
use crate::api::error::ApiError;
use crate::authority::{NewUser, UserChange};
use crate::identity::{Group, Username};

/// What counts of a user as a client sends it.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct UserRequest {
    /// What the user logs in with, and what clusters know the user by.
    username: Option<String>,
    /// Without one the user can't log in.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretText>,
    /// The groups clusters know the user to be in.
    #[schema(max_items = 512)]
    groups: Option<Vec<String>>,
    /// Whether the user may manage users, settings and everybody's tokens.
    admin: Option<bool>,
    /// False while the user and all of the user's tokens are switched off.
    enabled: Option<bool>,
}

/// A new password for somebody.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct SetPassword {
    /// The new password.
    #[schema(value_type = String, format = Password)]
    pub(super) new_password: SecretText,
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
}

impl UserRequest {
    /// The name, if one was sent.
    pub(super) fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// What is to be changed about a user.
    pub(super) fn into_change(self) -> Result<UserChange, ApiError> {
        if self.password.is_some() {
            let message = "a password is set by the action setpassword";
            return Err(ApiError::invalid("InvalidOption", message).on("password"));
        }
        let groups = self.groups.map(parse_groups).transpose()?;
        Ok(UserChange { groups, admin: self.admin, enabled: self.enabled })
    }

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

fn parse_groups(names: Vec<String>) -> Result<Vec<Group>, ApiError> {
    let parse = |name: String| {
        Group::try_from(name.as_str()).map_err(|error| ApiError::invalid_name("groups", error))
    };
    names.into_iter().map(parse).collect()
}
