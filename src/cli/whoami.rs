//! `portcullis whoami`: who the server takes us for.

use clap::Args;

use super::client::Client;
use super::error::CliError;
use super::output::{OutputOptions, print_as};
use super::table;
use super::trust::TrustOptions;
use super::user::UserResource;

/// Arguments of `whoami`.
#[derive(Debug, Args)]
pub(super) struct Whoami {
    #[command(flatten)]
    output: OutputOptions,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Whoami {
    /// Asks the server, since the profile knows only what was typed.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        let users = client.list("/v3/users?me=true")?;
        let resource = users.first().ok_or_else(|| client.unexpected("nobody is logged in"))?;
        let user: UserResource = client.parse(resource)?;
        print_as(
            self.output.output,
            resource,
            || vec![user.username.clone()],
            || {
                let mut facts = user.facts();
                facts.push(("Server", client.server().to_owned()));
                table::facts(&facts)
            },
        )
    }
}
