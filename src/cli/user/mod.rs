//! `portcullis user`: users, for administrators.

mod change;
mod resource;
mod revoke;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::error::CliError;
use super::listing::PageOptions;
use super::output::{self, OutputOptions, print_as};
use super::password::PasswordOptions;
use super::table;
use super::trust::TrustOptions;

pub(super) use resource::UserResource;
pub(super) use revoke::RevokeOptions;

/// Arguments of `user`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct User {
    #[command(subcommand)]
    command: UserCommand,
    #[command(flatten)]
    trust: TrustOptions,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make a user who logs in with a password
    Create(Create),
    /// List all users
    List(PageOptions),
    /// Show one user
    Show(Show),
    /// Switch a user off: no login, and none of the user's tokens is accepted
    Disable(Named),
    /// Switch a user on again, and with it the user's tokens
    Enable(Named),
    /// Delete a user and the user's tokens
    Delete(Named),
    /// Replace the groups of a user
    SetGroups(change::SetGroups),
    /// Replace the password of a user; tokens stay good unless --revoke says otherwise
    SetPassword(change::SetPassword),
}

/// A user on the command line.
#[derive(Debug, Args)]
struct Named {
    /// Name or id of the user
    user: String,
}

#[derive(Debug, Args)]
struct Create {
    /// The name that the cluster will see
    name: String,
    /// A group that the cluster will see; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Let the user manage other users
    #[arg(long)]
    admin: bool,
    /// Start switched off
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    password: PasswordOptions,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    output: OutputOptions,
}

const EXAMPLES: &str = "\
Examples:
  portcullis user create alice --group developers
  portcullis user create ci --password-stdin < password-file
  portcullis user set-groups alice developers oncall
  portcullis user set-password alice --revoke sessions
  portcullis user disable alice";

impl User {
    /// Runs one of the subcommands.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        match self.command {
            UserCommand::Create(create) => create.run(&client),
            UserCommand::List(page) => page.print::<UserResource, 6>(&client, "/v3/users"),
            UserCommand::Show(show) => {
                let (user, resource) = resource::find(&client, &show.named.user)?;
                print_one(&show.output, &user, &resource)
            }
            UserCommand::Disable(named) => change::set_enabled(&client, &named, false),
            UserCommand::Enable(named) => change::set_enabled(&client, &named, true),
            UserCommand::Delete(named) => change::delete(&client, &named),
            UserCommand::SetGroups(groups) => groups.run(&client),
            UserCommand::SetPassword(password) => password.run(&client),
        }
    }
}

impl Create {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let password = self.password.new_password(&self.name)?;
        let body = json!({
            "username": self.name,
            "password": password.expose(),
            "groups": self.groups,
            "admin": self.admin,
            "enabled": !self.disabled,
        });
        let resource = client.post("/v3/users", Some(&body))?;
        let user: UserResource = client.parse(&resource)?;
        output::remark(&format!("User {} was made.", user.username));
        print_one(&self.output, &user, &resource)
    }
}

/// The id of the user with this name or id.
pub(super) fn id_of(client: &Client, name_or_id: &str) -> Result<String, CliError> {
    resource::find(client, name_or_id).map(|(user, _)| user.id)
}

fn print_one(options: &OutputOptions, user: &UserResource, resource: &Value) -> Result<(), CliError> {
    let names = || vec![user.username.clone()];
    print_as(options.output, resource, names, || table::facts(&user.facts()))
}
