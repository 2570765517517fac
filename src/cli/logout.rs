//! `portcullis logout`: the session ends on the server, then the profile is forgotten.

use clap::Args;
use serde_json::json;

use super::client::Client;
use super::credential;
use super::error::CliError;
use super::output;
use super::profile::Profile;
use super::trust::TrustOptions;

/// Arguments of `logout`.
#[derive(Debug, Args)]
pub(super) struct Logout {
    #[command(flatten)]
    trust: TrustOptions,
}

impl Logout {
    /// Ends the session.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        match client.post("/v3/tokens?action=logout", Some(&json!({}))) {
            // A session that is over already is what was asked for.
            Ok(_) | Err(CliError::SessionEnded(_)) => {}
            // The profile stays: as long as the session is good, somebody must be able to end it.
            Err(error) => return Err(error),
        }
        // What kubectl was given at the same server is a part of being logged in.
        credential::forget(Some(client.server()), &self.trust)?;
        Profile::remove()?;
        output::remark(&format!("Logged out from {}.", client.server()));
        Ok(())
    }
}
