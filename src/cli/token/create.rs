//! `portcullis token create`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use http::Method;
use serde_json::{Map, Value};

use super::{NewFormat, TokenResource, Ttl, parse_ttl, print_new};
use crate::cli::client::Client;
use crate::cli::cluster;
use crate::cli::error::CliError;
use crate::cli::output::remark;
use crate::cli::table::span;
use crate::cli::user;
use crate::token::TokenKind;

#[derive(Debug, Args)]
pub(super) struct Create {
    /// How long it is good, such as 90d or 12h; 0 for ever, where there is no maximum [default: what the kind has]
    #[arg(long, value_parser = parse_ttl, value_name = "DURATION")]
    ttl: Option<Ttl>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What kind of token; most kinds are for administrators alone
    #[arg(long, default_value = "api-key", value_name = "KIND", value_parser = made_kinds())]
    kind: String,
    /// Whose it is, by name or id, for administrators
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The one cluster it is good for, by name or id; without it, all of them and the server's own API
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// How to print; `bearer` prints nothing but the token itself
    #[arg(short, long, value_enum, default_value = "bearer", value_name = "FORMAT")]
    output: NewFormat,
}

impl Create {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        let mut body =
            Map::from_iter([("type".to_owned(), "token".into()), ("kind".to_owned(), self.kind.into())]);
        let mut add = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        add("ttl", self.ttl.map(|ttl| ttl.0.into()));
        add("description", self.description.map(Value::from));
        if let Some(name) = &self.user {
            add("userId", Some(user::id_of(client, name)?.into()));
        }
        if let Some(name) = &self.cluster {
            add("clusterId", Some(cluster::id_of(client, name)?.into()));
        }
        let answer = client.exchange(Method::POST, "/v3/tokens", Some(&Value::Object(body)))?;
        let token: TokenResource = client.parse(&answer.body)?;
        for warning in &answer.warnings {
            remark(&format!("warning: {warning}"));
        }
        if let Some(note) = shortened(self.ttl, token.ttl).filter(|_| answer.warnings.is_empty()) {
            remark(&note);
        }
        remark(&format!(
            "Token {} was made (expires: {}). It is not shown again.",
            token.id,
            token.expires()
        ));
        print_new(client, &answer.body, self.output)
    }
}

/// What to say if the token is good for another time than was asked for.
fn shortened(asked: Option<Ttl>, got: Option<u64>) -> Option<String> {
    let words = |millis| if millis == 0 { "ever".to_owned() } else { span(millis) };
    match (asked, got) {
        (Some(Ttl(asked)), Some(got)) if asked != got => {
            Some(format!("warning: asked for {}, it is good for {}", words(asked), words(got)))
        }
        _ => None,
    }
}

/// Sessions are made by logging in.
fn made_kinds() -> PossibleValuesParser {
    let kinds = TokenKind::ALL.into_iter().filter(|kind| *kind != TokenKind::Session);
    PossibleValuesParser::new(kinds.map(TokenKind::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_life_than_was_asked_for_is_never_silent() {
        let day = 86_400_000;
        assert_eq!(
            shortened(Some(Ttl(400 * day)), Some(90 * day)).unwrap(),
            "warning: asked for 400d, it is good for 90d"
        );
        assert_eq!(
            shortened(Some(Ttl(0)), Some(90 * day)).unwrap(),
            "warning: asked for ever, it is good for 90d"
        );
        for (asked, got) in [(Some(Ttl(0)), Some(0)), (None, Some(day)), (Some(Ttl(day)), None)] {
            assert_eq!(shortened(asked, got), None);
        }
    }
}
