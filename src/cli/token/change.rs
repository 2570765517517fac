//! What changes single tokens.

use clap::Args;
use serde_json::{Map, Value};

use super::{Named, NewFormat, TokenResource, Ttl, parse_ttl, path, print_new};
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::output::remark;
use crate::cli::table::span;

#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    named: Named,
    /// How long the old one stays good beside the new one [default: not at all]
    #[arg(long, value_parser = parse_ttl, value_name = "DURATION")]
    overlap: Option<Ttl>,
    /// How long the new one is good [default: as long as the old one was]
    #[arg(long, value_parser = parse_ttl, value_name = "DURATION")]
    ttl: Option<Ttl>,
    /// How to print; `bearer` prints nothing but the token itself
    #[arg(short, long, value_enum, default_value = "bearer", value_name = "FORMAT")]
    output: NewFormat,
}

impl Rotate {
    pub(super) fn run(self, client: &Client) -> Result<(), CliError> {
        let old = &self.named.name;
        let overlap = self.overlap.map_or(0, |overlap| overlap.0);
        let mut body = Map::new();
        // Rounded up: one who asks for half a second does not mean none.
        body.insert("overlapSeconds".to_owned(), overlap.div_ceil(1_000).into());
        body.extend(self.ttl.map(|ttl| ("ttl".to_owned(), Value::from(ttl.0))));
        let target = format!("{}?action=rotate", path(old)?);
        let resource = client.post(&target, Some(&Value::Object(body)))?;
        let new: TokenResource = client.parse(&resource)?;
        let rest = if overlap == 0 {
            "no longer good".to_owned()
        } else {
            format!("good for another {}", span(overlap))
        };
        remark(&format!(
            "Token {} (expires: {}) replaces {old}, which is {rest}. It is not shown again.",
            new.id,
            new.expires()
        ));
        print_new(client, &resource, self.output)
    }
}

pub(super) fn set_enabled(client: &Client, names: &[String], enabled: bool) -> Result<(), CliError> {
    let (action, word) = if enabled { ("enable", "on") } else { ("disable", "off") };
    // All names are looked at before the first token is touched.
    let paths: Vec<_> = names.iter().map(|name| path(name)).collect::<Result<_, _>>()?;
    for (name, path) in names.iter().zip(paths) {
        client.post(&format!("{path}?action={action}"), None)?;
        remark(&format!("Token {name} is switched {word}."));
    }
    Ok(())
}
