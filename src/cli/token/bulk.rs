//! What changes many tokens: first it is said which, then it is done.

use clap::Args;
use http::Method;
use serde::Deserialize;

use super::{FilterOptions, OpenStreams, path, streams};
use crate::cli::client::Client;
use crate::cli::confirm::ConfirmOptions;
use crate::cli::error::CliError;
use crate::cli::output::{print, remark};
use crate::cli::query::Query;
use crate::cli::user;

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Names of the tokens: the parts before the colon
    #[arg(required_unless_present = "FilterOptions", conflicts_with_all = ["FilterOptions"])]
    names: Vec<String>,
    #[command(flatten)]
    filter: FilterOptions,
    #[command(flatten)]
    bulk: BulkOptions,
}

#[derive(Debug, Args)]
pub(super) struct Shorten {
    /// All that live longer than the maximum that is set now; there is no other choice yet
    #[arg(long, required = true)]
    exceeds_max: bool,
    /// Only those of one user, by name or id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    bulk: BulkOptions,
}

/// How far to go.
#[derive(Debug, Args)]
struct BulkOptions {
    /// Say which tokens it would be, and what would be cut with those that are deleted; leave them alone
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: ConfirmOptions,
}

/// What the API says of many tokens.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkResult {
    count: u64,
    #[serde(default)]
    names: Vec<String>,
    /// What would be cut, where the server says it.
    open_streams: Option<OpenStreams>,
}

/// One change of many tokens.
struct Bulk<'a> {
    client: &'a Client,
    method: Method,
    query: Query,
    verb: &'static str,
    done: &'static str,
}

impl Delete {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        if self.names.is_empty() {
            if !self.filter.narrows() {
                return Err(CliError::Usage(
                    "name the tokens, or say which with a filter besides --all".to_owned(),
                ));
            }
            let query = self.filter.query(client)?;
            return Bulk { client, method: Method::DELETE, query, verb: "Delete", done: "deleted" }
                .run(&self.bulk);
        }
        if self.bulk.dry_run {
            return streams::foretell(client, &self.names, "deleted");
        }
        let paths: Vec<_> = self.names.iter().map(|name| path(name)).collect::<Result<_, _>>()?;
        for (name, path) in self.names.iter().zip(paths) {
            client.delete(&path)?;
            remark(&format!("Token {name} was deleted."));
        }
        Ok(())
    }
}

impl Shorten {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        let mut query = Query::default();
        query.add("action", Some("shorten".to_owned()));
        query.flag("exceedsMax", self.exceeds_max);
        query.add("userId", self.user.as_deref().map(|name| user::id_of(client, name)).transpose()?);
        Bulk { client, method: Method::POST, query, verb: "Shorten", done: "shortened" }.run(&self.bulk)
    }
}

impl Bulk<'_> {
    fn run(self, options: &BulkOptions) -> Result<(), CliError> {
        let found = self.ask(true)?;
        if found.count == 0 {
            remark("No token is meant by that.");
            return Ok(());
        }
        if options.dry_run {
            let table = found.open_streams.as_ref().map(OpenStreams::table).unwrap_or_default();
            return print(&format!("{}\n{table}", found.forecast()));
        }
        remark(&found.forecast());
        let question = format!("{} {}?", self.verb, found.quantity());
        options.confirm.confirm(&question)?;
        let changed = self.ask(false)?;
        remark(&format!("{} {} {}.", changed.quantity(), was_or_were(changed.count), self.done));
        Ok(())
    }

    fn ask(&self, dry_run: bool) -> Result<BulkResult, CliError> {
        let mut query = self.query.clone();
        query.add("dryRun", Some(dry_run.to_string()));
        let answer = self.client.send(self.method.clone(), &query.of("/v3/tokens"), None)?;
        self.client.parse(&answer)
    }
}

impl BulkResult {
    /// How many, and the first of their names.
    fn sentence(&self) -> String {
        let first: Vec<_> = self.names.iter().take(FIRST_NAMES).map(String::as_str).collect();
        let shown = u64::try_from(first.len()).unwrap_or(u64::MAX);
        let more = match self.count.saturating_sub(shown) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}: {}{more}", self.quantity(), first.join(", "))
    }

    /// The same, and what would be cut.
    fn forecast(&self) -> String {
        match &self.open_streams {
            Some(open) => format!("{}\nStreams that would be cut: {}", self.sentence(), open.summary()),
            None => self.sentence(),
        }
    }

    fn quantity(&self) -> String {
        if self.count == 1 { "1 token".to_owned() } else { format!("{} tokens", self.count) }
    }
}

fn was_or_were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// Names that are shown before the question.
const FIRST_NAMES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_the_first_and_counts_the_rest() {
        let names: Vec<_> = (0..100).map(|number| format!("token-{number}")).collect();
        let many = BulkResult { count: 1_000, names: names.clone(), open_streams: None };
        assert!(many.sentence().starts_with("1000 tokens: token-0, token-1, "), "{}", many.sentence());
        assert!(many.sentence().ends_with("token-9 and 990 more"), "{}", many.sentence());
        let one = BulkResult { count: 1, names: names.into_iter().take(1).collect(), open_streams: None };
        assert_eq!(one.sentence(), "1 token: token-0");
    }
}
