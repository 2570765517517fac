//! `portcullis change-password`: one's own.

use clap::Args;

use super::client::Client;
use super::error::CliError;
use super::output;
use super::password::PasswordOptions;
use super::profile::Profile;
use super::trust::TrustOptions;
use super::user::RevokeOptions;

/// Arguments of `change-password`.
#[derive(Debug, Args)]
pub(super) struct ChangePassword {
    #[command(flatten)]
    password: PasswordOptions,
    #[command(flatten)]
    revoke: RevokeOptions,
    #[command(flatten)]
    trust: TrustOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  portcullis change-password
  portcullis change-password --revoke sessions
  portcullis change-password --password-stdin < old-and-new    the current password, then the new one, a line each";

impl ChangePassword {
    /// Changes the password of whoever is logged in.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        let user = Profile::load()?.user;
        let (current, new) = self.password.old_and_new(&user)?;
        let body = self.revoke.body(&[("currentPassword", &current), ("newPassword", &new)]);
        client.post("/v3/users?action=changepassword", Some(&body))?;
        output::remark(&format!("The password of {user} was changed; {}.", self.revoke.outcome()));
        Ok(())
    }
}
