//! What is open by a token's leave, and would be cut with it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{TokenResource, path};
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::output::{age, print};
use crate::cli::table::Columns;

/// The requests that are open by a token's leave.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpenStreams {
    count: u64,
    #[serde(default)]
    by_kind: BTreeMap<String, u64>,
    #[serde(default)]
    streams: Vec<OpenStream>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpenStream {
    kind: String,
    cluster_id: String,
    client: String,
    opened_at: Option<String>,
}

impl OpenStreams {
    /// How many, and of which kinds.
    pub(super) fn summary(&self) -> String {
        if self.count == 0 {
            return "none".to_owned();
        }
        let kinds: Vec<_> = self.by_kind.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!("{} ({})", self.count, kinds.join(", "))
    }

    /// Those that are open longest, one a line; nothing if there is none.
    pub(super) fn table(&self) -> String {
        if self.streams.is_empty() {
            return String::new();
        }
        let row = |stream: &OpenStream| {
            let opened_at = age(stream.opened_at.as_deref());
            [stream.kind.clone(), stream.cluster_id.clone(), stream.client.clone(), opened_at]
        };
        let rows: Vec<_> = self.streams.iter().map(row).collect();
        format!("\n{}", Columns::new(["KIND", "CLUSTER", "FROM", "AGE"]).lines(&rows))
    }
}

/// Says what `verb` would do to the tokens of these names and to what is open by them; does nothing.
pub(super) fn foretell(client: &Client, names: &[String], verb: &str) -> Result<(), CliError> {
    // All names are looked at before the first is asked for.
    let paths: Vec<_> = names.iter().map(|name| path(name)).collect::<Result<_, _>>()?;
    for (name, path) in names.iter().zip(paths) {
        let token: TokenResource = client.parse(&client.get(&path)?)?;
        let open = token.open_streams.as_ref();
        let cut = open.map_or_else(|| "unknown".to_owned(), OpenStreams::summary);
        let table = open.map(OpenStreams::table).unwrap_or_default();
        print(&format!("Token {name} would be {verb}. Streams that would be cut: {cut}\n{table}"))?;
    }
    Ok(())
}
