//! `portcullis audit`: who changed what.

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::client::Client;
use super::error::CliError;
use super::listing::{Item, PageOptions};
use super::moment::{Moment, moment};
use super::query::Query;
use super::trust::TrustOptions;
use super::user;

/// Arguments of `audit`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
    #[command(flatten)]
    trust: TrustOptions,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List what happened, the newest first
    List(List),
}

#[derive(Debug, Args)]
struct List {
    /// Only what is of this kind, such as token.create
    #[arg(long)]
    action: Option<String>,
    /// Only what this user did, by name or id
    #[arg(long, value_name = "USER")]
    actor: Option<String>,
    /// Only what happened since then: 2026-01-31, 2026-01-31T12:00:00Z, or a time ago such as 2h
    #[arg(long, value_name = "DATE|DURATION", value_parser = moment)]
    since: Option<Moment>,
    #[command(flatten)]
    page: PageOptions,
}

/// The fields of the API's audit event that commands read.
#[derive(Debug, Deserialize)]
struct AuditResource {
    id: String,
    created: String,
    action: String,
    actor: Option<String>,
    token: Option<String>,
    user: Option<String>,
    client: Option<String>,
    outcome: Option<String>,
    message: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  portcullis audit list --since 2h
  portcullis audit list --action token.create --limit 20 -o json";

impl Audit {
    /// Runs one of the subcommands.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        match self.command {
            AuditCommand::List(list) => list.run(&client),
        }
    }
}

impl List {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let mut query = Query::default();
        query.add("action", self.action);
        query.add("actor", self.actor.map(|name| id_of(client, name)).transpose()?);
        query.add("since", self.since.map(|since| since.to_string()));
        self.page.print::<AuditResource, 8>(client, &query.of("/v3/auditevents"))
    }
}

/// The id of a user; of one who is deleted, only the id is known.
fn id_of(client: &Client, name_or_id: String) -> Result<String, CliError> {
    match user::id_of(client, &name_or_id) {
        Err(CliError::NoSuchUser(_)) => Ok(name_or_id),
        found => found,
    }
}

impl Item<8> for AuditResource {
    const HEADING: [&'static str; 8] =
        ["TIME", "ACTION", "OUTCOME", "ACTOR", "USER", "TOKEN", "CLIENT", "MESSAGE"];

    fn name(&self) -> String {
        self.id.clone()
    }

    fn row(&self) -> [String; 8] {
        let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
        [
            self.created.clone(),
            self.action.clone(),
            text(&self.outcome),
            text(&self.actor),
            text(&self.user),
            text(&self.token),
            text(&self.client),
            self.message.clone().unwrap_or_default(),
        ]
    }
}
