//! What changes a user.

use clap::Args;
use serde_json::json;

use super::revoke::RevokeOptions;
use super::{Named, resource};
use crate::cli::client::{Client, encoded};
use crate::cli::error::CliError;
use crate::cli::output::remark;
use crate::cli::password::PasswordOptions;

/// Arguments of `set-groups`.
#[derive(Debug, Args)]
pub(super) struct SetGroups {
    #[command(flatten)]
    named: Named,
    /// All groups that the user shall have
    #[arg(required_unless_present = "none")]
    groups: Vec<String>,
    /// Take all groups away
    #[arg(long, conflicts_with = "groups")]
    none: bool,
}

/// Arguments of `set-password`.
#[derive(Debug, Args)]
pub(super) struct SetPassword {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    password: PasswordOptions,
    #[command(flatten)]
    revoke: RevokeOptions,
}

impl SetGroups {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        let (user, _) = resource::find(client, &self.named.user)?;
        client.put(&path(&user.id), &json!({ "groups": self.groups }))?;
        remark(&format!("The groups of {} were replaced.", user.username));
        Ok(())
    }
}

impl SetPassword {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        let (user, _) = resource::find(client, &self.named.user)?;
        let password = self.password.new_password(&user.username)?;
        let body = self.revoke.body(&[("newPassword", &password)]);
        client.post(&format!("{}?action=setpassword", path(&user.id)), Some(&body))?;
        remark(&format!("The password of {} was replaced; {}.", user.username, self.revoke.outcome()));
        Ok(())
    }
}

pub(super) fn set_enabled(client: &Client, named: &Named, enabled: bool) -> Result<(), CliError> {
    let (user, _) = resource::find(client, &named.user)?;
    client.put(&path(&user.id), &json!({ "enabled": enabled }))?;
    remark(&format!("User {} is switched {}.", user.username, if enabled { "on" } else { "off" }));
    Ok(())
}

pub(super) fn delete(client: &Client, named: &Named) -> Result<(), CliError> {
    let (user, _) = resource::find(client, &named.user)?;
    client.delete(&path(&user.id))?;
    remark(&format!("User {} and the user's tokens were deleted.", user.username));
    Ok(())
}

fn path(id: &str) -> String {
    format!("/v3/users/{}", encoded(id))
}
