//! `portcullis setting`: what the server's administrators may set while it runs.

use std::path::Path;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Client, encoded};
use super::error::CliError;
use super::listing::{Item, print_list};
use super::output::{self, OutputOptions, print_as};
use super::table;
use super::trust::TrustOptions;

/// Arguments of `setting`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Setting {
    #[command(subcommand)]
    command: SettingCommand,
    #[command(flatten)]
    trust: TrustOptions,
}

#[derive(Debug, Subcommand)]
enum SettingCommand {
    /// List all settings with their values and where these are from
    List(OutputOptions),
    /// Show one setting
    Get(Get),
    /// Set one or several, all of them or none
    Set(Set),
    /// Go back to the defaults of one or several
    Reset(Reset),
}

#[derive(Debug, Args)]
struct Get {
    /// Name of the setting
    name: String,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct Set {
    /// What to set; @FILE takes the value from a file
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = assignment)]
    assignments: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct Reset {
    /// Names of the settings
    #[arg(required = true)]
    names: Vec<String>,
}

/// The fields of the API's setting that commands read.
#[derive(Debug, Deserialize)]
struct SettingResource {
    name: String,
    value: String,
    default: String,
    source: String,
    unit: Option<String>,
    description: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  portcullis setting list
  portcullis setting set auth-token-max-ttl-minutes=43200
  portcullis setting set auth-token-max-ttl-minutes=1440 kubeconfig-default-token-ttl-minutes=1440
  portcullis setting set cacerts=@ca.pem
  portcullis setting reset auth-token-max-ttl-minutes";

impl Setting {
    /// Runs one of the subcommands.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        match self.command {
            SettingCommand::List(options) => {
                print_list::<SettingResource, 5>(&client, options.output, client.list("/v3/settings")?)
            }
            SettingCommand::Get(get) => get.run(&client),
            SettingCommand::Set(set) => set.run(&client),
            SettingCommand::Reset(reset) => {
                store(&client, reset.names.into_iter().map(|name| (name, String::new())))
            }
        }
    }
}

impl Get {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let resource = client.get(&format!("/v3/settings/{}", encoded(&self.name)))?;
        let setting: SettingResource = client.parse(&resource)?;
        let names = || vec![setting.name.clone()];
        print_as(self.output.output, &resource, names, || table::facts(&setting.facts()))
    }
}

impl Set {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let mut values = Vec::with_capacity(self.assignments.len());
        for (name, value) in self.assignments {
            let value = match value.strip_prefix('@') {
                Some(path) => std::fs::read_to_string(path)
                    .map_err(|error| CliError::File(Path::new(path).to_owned(), error))?,
                // The server takes an empty value for a reset, which has a command of its own.
                None if value.is_empty() => {
                    return Err(CliError::Usage(format!(
                        "{name} has no value: `reset {name}` goes back to the default"
                    )));
                }
                None => value,
            };
            values.push((name, value));
        }
        store(client, values.into_iter())
    }
}

/// One request for all: two settings may be wrong one after the other and right together.
fn store(client: &Client, values: impl Iterator<Item = (String, String)>) -> Result<(), CliError> {
    let mut object = Map::new();
    for (name, value) in values {
        if object.insert(name.clone(), Value::String(value)).is_some() {
            return Err(CliError::Usage(format!("{name} is named twice")));
        }
    }
    let answer = client.post("/v3/settings?action=set", Some(&json!({ "values": &object })))?;
    let Some(Value::Array(resources)) = answer.get("data") else {
        return Err(client.unexpected("a list has no data"));
    };
    for resource in resources {
        let setting: SettingResource = client.parse(resource)?;
        if object.contains_key(&setting.name) {
            output::remark(&format!("{} is {} now ({}).", setting.name, setting.shown(), setting.source));
        }
    }
    Ok(())
}

impl SettingResource {
    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Name", self.name.clone()),
            ("Value", self.shown()),
            ("Unit", self.unit()),
            ("Default", brief(&self.default)),
            ("Source", self.source.clone()),
            ("Description", self.description.clone().unwrap_or_default()),
        ]
    }

    /// The value in words: a number says little without its unit.
    fn shown(&self) -> String {
        let is_number = self.value.parse::<u64>().is_ok();
        if is_number { format!("{} {}", self.value, self.unit()) } else { brief(&self.value) }
    }

    fn unit(&self) -> String {
        self.unit.clone().filter(|unit| !unit.is_empty()).unwrap_or_else(|| "-".to_owned())
    }
}

impl Item<5> for SettingResource {
    const HEADING: [&'static str; 5] = ["NAME", "VALUE", "UNIT", "DEFAULT", "SOURCE"];

    fn name(&self) -> String {
        self.name.clone()
    }

    fn row(&self) -> [String; 5] {
        [self.name.clone(), brief(&self.value), self.unit(), brief(&self.default), self.source.clone()]
    }
}

/// A value in one cell: of a file of certificates only the beginning. All of it is in the other formats.
fn brief(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    match line.char_indices().nth(BRIEF_CHARACTERS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None if line.len() < value.trim_end().len() => format!("{line}…"),
        None if line.is_empty() => "-".to_owned(),
        None => line.to_owned(),
    }
}

fn assignment(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE"),
    }
}

const BRIEF_CHARACTERS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_contain_what_separates_it_from_its_name() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(assignment("server-url=https://gate/?a=b"), pair("server-url", "https://gate/?a=b"));
        assert_eq!(assignment("cacerts="), pair("cacerts", ""));
        for text in ["", "=", "=5", "auth-token-max-ttl-minutes"] {
            assert!(assignment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_long_value_is_cut_in_a_cell() {
        assert_eq!(brief("960"), "960");
        assert_eq!(brief(""), "-");
        assert_eq!(brief("-----BEGIN\nabc\n"), "-----BEGIN…");
        assert_eq!(brief(&"ä".repeat(41)), format!("{}…", "ä".repeat(40)));
    }
}
