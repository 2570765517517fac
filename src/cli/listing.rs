//! Lists of resources, printed page by page: a store may hold more tokens than anybody wants in memory at once.

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::{Client, encoded, joint};
use super::error::CliError;
use super::output::{self, Format, OutputOptions, print_on};
use super::table::Columns;

/// A resource that can stand in a list.
pub(super) trait Item<const N: usize>: DeserializeOwned {
    /// The columns of its table.
    const HEADING: [&'static str; N];

    /// What `-o name` prints.
    fn name(&self) -> String;

    /// Its line of the table.
    fn row(&self) -> [String; N];
}

/// Flags of lists that may be long.
#[derive(Debug, Args)]
pub(super) struct PageOptions {
    /// Print so many at most
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

impl PageOptions {
    /// Prints the collection at `path`.
    pub(super) fn print<T: Item<N>, const N: usize>(
        &self,
        client: &Client,
        path: &str,
    ) -> Result<(), CliError> {
        let mut listing = Listing::<N>::new(self.output.output, T::HEADING);
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut marker: Option<String> = None;
        loop {
            let mut page = client.page(&self.next(path, left, marker.as_deref()))?;
            page.items.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left = left.saturating_sub(u64::try_from(page.items.len()).unwrap_or(u64::MAX));
            if !listing.print(&parsed::<T, N>(client, page.items)?)? {
                return Ok(());
            }
            marker = page.next;
            if marker.is_none() || left == 0 {
                break;
            }
        }
        listing.end()?;
        if marker.is_some() {
            output::remark("There is more: raise --limit to see it.");
        }
        Ok(())
    }

    fn next(&self, path: &str, left: u64, marker: Option<&str>) -> String {
        let mut path = path.to_owned();
        if self.limit.is_some() {
            path = format!("{path}{}limit={}", joint(&path), left.min(PAGE_ITEMS));
        }
        match marker {
            Some(marker) => format!("{path}{}marker={}", joint(&path), encoded(marker)),
            None => path,
        }
    }
}

/// Prints a list that is here in full.
pub(super) fn print_list<T: Item<N>, const N: usize>(
    client: &Client,
    format: Format,
    resources: Vec<Value>,
) -> Result<(), CliError> {
    let items = parsed::<T, N>(client, resources)?;
    let mut listing = Listing::<N>::new(format, T::HEADING);
    if listing.print(&items)? { listing.end() } else { Ok(()) }
}

fn parsed<T: Item<N>, const N: usize>(
    client: &Client,
    resources: Vec<Value>,
) -> Result<Vec<(Value, T)>, CliError> {
    resources
        .into_iter()
        .map(|resource| {
            let item = client.parse(&resource)?;
            Ok((resource, item))
        })
        .collect()
}

/// A list on its way to standard output.
struct Listing<const N: usize> {
    format: Format,
    columns: Columns<N>,
    empty: bool,
}

impl<const N: usize> Listing<N> {
    fn new(format: Format, heading: [&'static str; N]) -> Self {
        Self { format, columns: Columns::new(heading), empty: true }
    }

    /// The next items; false if nobody reads them.
    fn print<T: Item<N>>(&mut self, items: &[(Value, T)]) -> Result<bool, CliError> {
        let text = match self.format {
            Format::Table => {
                let rows: Vec<_> = items.iter().map(|(_, item)| item.row()).collect();
                self.columns.lines(&rows)
            }
            Format::Name => {
                let names: Vec<_> = items.iter().map(|(_, item)| item.name() + "\n").collect();
                names.concat()
            }
            Format::Json => items.iter().map(|(resource, _)| self.element(resource)).collect(),
            // Sequences one after the other are one sequence.
            Format::Yaml if items.is_empty() => String::new(),
            Format::Yaml => {
                let resources: Vec<_> = items.iter().map(|(resource, _)| resource).collect();
                output::yaml(&resources)?
            }
        };
        self.empty &= items.is_empty();
        print_on(&text)
    }

    /// An element of the array that all pages make together.
    fn element(&mut self, resource: &Value) -> String {
        let before = if std::mem::take(&mut self.empty) { "[" } else { "," };
        format!("{before}\n  {}", format!("{resource:#}").replace('\n', "\n  "))
    }

    fn end(self) -> Result<(), CliError> {
        match (self.format, self.empty) {
            (Format::Json | Format::Yaml, true) => output::print("[]\n"),
            (Format::Json, false) => output::print("\n]\n"),
            (Format::Yaml, false) | (Format::Table | Format::Name, _) => Ok(()),
        }
    }
}

/// More than this the server may not give at once.
const PAGE_ITEMS: u64 = 1_000;
