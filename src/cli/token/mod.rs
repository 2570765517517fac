//! `portcullis token`: the caller's own tokens, and everybody's for administrators.

mod bulk;
mod change;
mod create;
mod filter;
mod resource;
mod streams;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::client::{Client, encoded};
use super::error::CliError;
use super::listing::PageOptions;
use super::output::{self, Format, OutputOptions, print_as};
use super::table;
use super::trust::TrustOptions;
use crate::config;
use crate::token::TokenName;
use filter::FilterOptions;
use resource::TokenResource;
use streams::OpenStreams;

/// Arguments of `token`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
    #[command(flatten)]
    trust: TrustOptions,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it; it is never shown again
    Create(create::Create),
    /// List your tokens, or those of others
    List(List),
    /// Show one token, and what is open by its leave
    Show(Show),
    /// Switch tokens off; they can be switched on again
    Disable(Disable),
    /// Switch tokens on again
    Enable(Names),
    /// Give a token a new name and key, and print it
    Rotate(change::Rotate),
    /// Delete tokens by name, or all that the filters find; they are refused from then on
    Delete(bulk::Delete),
    /// Shorten the tokens that live longer than the maximum that is set now, for administrators
    Shorten(bulk::Shorten),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    filter: FilterOptions,
    /// In which order: by name unless said otherwise
    #[arg(long, value_enum, value_name = "FIELD")]
    sort: Option<Sort>,
    /// The last first
    #[arg(long)]
    descending: bool,
    #[command(flatten)]
    page: PageOptions,
}

/// What a list can be sorted by.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sort {
    Name,
    Created,
    Expires,
    LastUsed,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    output: OutputOptions,
}

/// A token on the command line.
#[derive(Debug, Args)]
struct Named {
    /// Name of the token: the part before the colon
    name: String,
}

/// Tokens on the command line.
#[derive(Debug, Args)]
struct Names {
    /// Names of the tokens: the parts before the colon
    #[arg(required = true)]
    names: Vec<String>,
}

#[derive(Debug, Args)]
struct Disable {
    #[command(flatten)]
    named: Names,
    /// Say what would be cut, and leave the tokens alone
    #[arg(long)]
    dry_run: bool,
}

/// How a new token is printed. A format that shows only its name would lose it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum NewFormat {
    /// The token alone
    Bearer,
    /// Facts for people
    Table,
    /// The API's object as JSON
    Json,
    /// The API's object as YAML
    Yaml,
}

/// A lifetime in milliseconds, 0 for ever.
#[derive(Debug, Clone, Copy)]
struct Ttl(u64);

const EXAMPLES: &str = "\
Examples:
  TOKEN=$(portcullis token create --ttl 12h --description ci)
  kubectl --server https://gate.example.org --token \"$TOKEN\" get pods
  portcullis token create --kind agent --user deployer
  portcullis token list --all --never-expires
  portcullis token list --all --last-used-before 90d --sort last-used
  portcullis token rotate token-bcdfg --overlap 1h
  portcullis token delete token-bcdfg
  portcullis token delete token-bcdfg --dry-run
  portcullis token delete --all --expired --dry-run
  portcullis token shorten --exceeds-max";

impl Token {
    /// Runs one of the subcommands.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        match self.command {
            TokenCommand::Create(create) => create.run(&client),
            TokenCommand::List(list) => list.run(&client),
            TokenCommand::Show(show) => show.run(&client),
            TokenCommand::Disable(disable) => disable.run(&client),
            TokenCommand::Enable(names) => change::set_enabled(&client, &names.names, true),
            TokenCommand::Rotate(rotate) => rotate.run(&client),
            TokenCommand::Delete(delete) => delete.run(&client),
            TokenCommand::Shorten(shorten) => shorten.run(&client),
        }
    }
}

impl List {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let mut query = self.filter.query(client)?;
        query.add("sort", self.sort.map(|sort| sort.parameter().to_owned()));
        query.add("order", self.descending.then(|| "desc".to_owned()));
        self.page.print::<TokenResource, 8>(client, &query.of("/v3/tokens"))
    }
}

impl Sort {
    fn parameter(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Created => "created",
            Self::Expires => "expiresAt",
            Self::LastUsed => "lastUsedAt",
        }
    }
}

impl Disable {
    fn run(self, client: &Client) -> Result<(), CliError> {
        if self.dry_run {
            return streams::foretell(client, &self.named.names, "switched off");
        }
        change::set_enabled(client, &self.named.names, false)
    }
}

impl Show {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let resource = client.get(&path(&self.named.name)?)?;
        let token: TokenResource = client.parse(&resource)?;
        let open = token.open_streams.as_ref().map(OpenStreams::table).unwrap_or_default();
        let facts = || table::facts(&token.facts()) + &open;
        print_as(self.output.output, &resource, || vec![token.id.clone()], facts)
    }
}

/// Prints a token that was just made.
fn print_new(client: &Client, resource: &Value, format: NewFormat) -> Result<(), CliError> {
    let bearer = client.text(resource, "token")?;
    let format = match format {
        NewFormat::Bearer => return output::print(&format!("{bearer}\n")),
        NewFormat::Table => Format::Table,
        NewFormat::Json => Format::Json,
        NewFormat::Yaml => Format::Yaml,
    };
    let token: TokenResource = client.parse(resource)?;
    print_as(format, resource, Vec::new, || {
        let mut facts = token.facts();
        facts.push(("Token", bearer));
        table::facts(&facts)
    })
}

fn path(name: &str) -> Result<String, CliError> {
    match TokenName::try_from(name) {
        Ok(name) => Ok(format!("/v3/tokens/{}", encoded(name.as_str()))),
        // What was typed may be a whole token, and messages end up in logs: it is not repeated.
        Err(_) => Err(CliError::Usage("expected the name of a token: the part before the colon".to_owned())),
    }
}

fn parse_ttl(text: &str) -> Result<Ttl, &'static str> {
    if text == "0" {
        return Ok(Ttl(0));
    }
    let millis =
        config::duration(text).and_then(|ttl| u64::try_from(ttl.as_millis()).ok()).filter(|ttl| *ttl > 0);
    millis.map(Ttl).ok_or("expected a duration such as 90d or 12h, or 0 for a token that never expires")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_zero_means_for_ever() {
        assert_eq!(parse_ttl("0").unwrap().0, 0);
        assert_eq!(parse_ttl("12h").unwrap().0, 43_200_000);
        for text in ["0s", "0d", "", "90", "-1d", "forever"] {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_whole_token_given_as_a_name_is_not_repeated() {
        let key = "b".repeat(54);
        let error = path(&format!("token-bcdfg:{key}")).unwrap_err();
        assert!(matches!(&error, CliError::Usage(message) if !message.contains(&key)));
        assert_eq!(path("token-bcdfg").unwrap(), "/v3/tokens/token-bcdfg");
    }
}
