//! `portcullis token`: the caller's own tokens.

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, encoded};
use super::error::CliError;
use super::output::{self, Format, OutputOptions, age, print_as, remaining};
use super::table::{self, yes};
use super::trust::TrustOptions;
use crate::config;
use crate::token::TokenName;

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
    Create(Create),
    /// List your tokens
    List(List),
    /// Show one token
    Show(Show),
    /// Delete tokens; requests that use them end at once
    Delete(Delete),
}

#[derive(Debug, Args)]
struct Create {
    /// How long it is good, such as 90d or 12h; 0 for ever
    #[arg(long, default_value = "90d", value_parser = parse_ttl, value_name = "DURATION")]
    ttl: Ttl,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,
    /// How to print; `bearer` prints nothing but the token itself
    #[arg(short, long, value_enum, default_value = "bearer", value_name = "FORMAT")]
    output: CreateFormat,
}

#[derive(Debug, Args)]
struct List {
    /// Also the tokens of others, for administrators
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct Show {
    /// Name of the token: the part before the colon
    name: String,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct Delete {
    /// Names of the tokens: the parts before the colon
    #[arg(required = true)]
    names: Vec<String>,
}

/// How a new token is printed. A format that shows only its name would lose it.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum CreateFormat {
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

/// The fields of the API's token that commands read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenResource {
    id: String,
    kind: Option<String>,
    user_id: Option<String>,
    description: Option<String>,
    created: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    expired: bool,
    enabled: Option<bool>,
    #[serde(default)]
    current: bool,
}

const EXAMPLES: &str = "\
Examples:
  TOKEN=$(portcullis token create --ttl 12h --description ci)
  kubectl --server https://gate.example.org --token \"$TOKEN\" get pods
  portcullis token list
  portcullis token delete token-bcdfg";

impl Token {
    /// Runs one of the subcommands.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        match self.command {
            TokenCommand::Create(create) => create.run(&client),
            TokenCommand::List(list) => list.run(&client),
            TokenCommand::Show(show) => show.run(&client),
            TokenCommand::Delete(delete) => delete.run(&client),
        }
    }
}

impl Create {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let body = json!({ "type": "token", "ttl": self.ttl.0, "description": self.description });
        let resource = client.post("/v3/tokens", Some(&body))?;
        let bearer = client.text(&resource, "token")?;
        let token: TokenResource = client.parse(&resource)?;
        output::remark(&format!(
            "Token {} was made (expires: {}). It is not shown again.",
            token.id,
            token.expires()
        ));
        let format = match self.output {
            CreateFormat::Bearer => return output::print(&format!("{bearer}\n")),
            CreateFormat::Table => Format::Table,
            CreateFormat::Json => Format::Json,
            CreateFormat::Yaml => Format::Yaml,
        };
        print_as(format, &resource, Vec::new, || {
            let mut facts = token.facts();
            facts.push(("Token", bearer));
            table::facts(&facts)
        })
    }
}

impl List {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let resources = client.list(if self.all { "/v3/tokens?all=true" } else { "/v3/tokens" })?;
        let tokens: Vec<TokenResource> =
            resources.iter().map(|item| client.parse(item)).collect::<Result<_, _>>()?;
        print_as(
            self.output.output,
            &Value::Array(resources),
            || tokens.iter().map(|token| token.id.clone()).collect(),
            || {
                let rows: Vec<_> = tokens.iter().map(TokenResource::row).collect();
                table::columns(["NAME", "KIND", "OWNER", "AGE", "EXPIRES", "DESCRIPTION"], &rows)
            },
        )
    }
}

impl Show {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let resource = client.get(&path(&self.name)?)?;
        let token: TokenResource = client.parse(&resource)?;
        print_as(self.output.output, &resource, || vec![token.id.clone()], || table::facts(&token.facts()))
    }
}

impl Delete {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let paths: Vec<_> = self.names.iter().map(|name| path(name)).collect::<Result<_, _>>()?;
        for (name, path) in self.names.iter().zip(paths) {
            client.delete(&path)?;
            output::remark(&format!("Token {name} was deleted."));
        }
        Ok(())
    }
}

impl TokenResource {
    fn row(&self) -> [String; 6] {
        let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
        let created = age(self.created.as_deref());
        [self.id.clone(), text(&self.kind), text(&self.user_id), created, self.expires(), self.description()]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            ("Name", self.id.clone()),
            ("Kind", text(&self.kind)),
            ("Owner", text(&self.user_id)),
            ("Created", text(&self.created)),
            ("Expires", self.expires()),
            ("Enabled", yes(self.enabled.unwrap_or(true))),
            ("Current", yes(self.current)),
            ("Description", self.description()),
        ]
    }

    fn expires(&self) -> String {
        if self.expired { "expired".to_owned() } else { remaining(self.expires_at.as_deref()) }
    }

    fn description(&self) -> String {
        self.description.clone().unwrap_or_default()
    }
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
