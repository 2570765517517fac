//! `portcullis feature`: what can be switched on for the whole server, for good.

use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, encoded};
use super::confirm::ConfirmOptions;
use super::error::CliError;
use super::listing::{Item, print_list};
use super::output::{self, OutputOptions};
use super::progress::{Amount, Progress};
use super::table::yes;
use super::trust::TrustOptions;

/// Arguments of `feature`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Feature {
    #[command(subcommand)]
    command: FeatureCommand,
    #[command(flatten)]
    trust: TrustOptions,
}

#[derive(Debug, Subcommand)]
enum FeatureCommand {
    /// List all features
    List(OutputOptions),
    /// Switch a feature on and wait until it is
    Enable(Enable),
    /// Switch a feature off, if it can be
    Disable(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// Name of the feature
    name: String,
}

#[derive(Debug, Args)]
struct Enable {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    confirm: ConfirmOptions,
}

/// The fields of the API's feature that commands read.
#[derive(Debug, Deserialize)]
struct FeatureResource {
    name: String,
    value: Option<bool>,
    #[serde(default)]
    locked: bool,
    description: Option<String>,
    #[serde(default)]
    status: FeatureStatus,
}

/// How far the switch is.
#[derive(Debug, Default, Deserialize)]
struct FeatureStatus {
    #[serde(default)]
    state: String,
    #[serde(default)]
    done: u64,
    #[serde(default)]
    total: u64,
    backup: Option<String>,
    error: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  portcullis feature list
  portcullis feature enable token-hashing";

impl Feature {
    /// Runs one of the subcommands.
    pub(super) fn run(self) -> Result<(), CliError> {
        let client = Client::of_profile(&self.trust)?;
        match self.command {
            FeatureCommand::List(options) => {
                print_list::<FeatureResource, 5>(&client, options.output, client.list("/v3/features")?)
            }
            FeatureCommand::Enable(enable) => enable.run(&client),
            FeatureCommand::Disable(named) => {
                put(&client, &named.name, false)?;
                output::remark(&format!("Feature {} is off.", named.name));
                Ok(())
            }
        }
    }
}

impl Enable {
    fn run(self, client: &Client) -> Result<(), CliError> {
        let name = &self.named.name;
        let feature: FeatureResource = client.parse(&client.get(&path(name))?)?;
        if feature.is_on() {
            output::remark(&format!("Feature {name} is on already."));
            return Ok(());
        }
        if !feature.is_under_way() {
            output::remark(if name == TOKEN_HASHING { HASHING_EXPLAINED } else { FEATURE_EXPLAINED });
            self.confirm.confirm(&format!("Switch {name} on for good?"))?;
            put(client, name, true)?;
        }
        let feature = follow(client, name)?;
        if let Some(backup) = feature.status.backup {
            output::remark(&format!(
                "The backup from before is {backup} on the server. It holds the keys in clear: delete it when you no longer \
                 need it."
            ));
        }
        output::remark(&format!("Feature {name} is on. Clients keep the tokens that they have."));
        Ok(())
    }
}

/// Waits until the feature is on, or the server has given up, and shows how far it is.
fn follow(client: &Client, name: &str) -> Result<FeatureResource, CliError> {
    let mut progress = Progress::start();
    let start = Instant::now();
    let mut has_begun = false;
    loop {
        let feature: FeatureResource = client.parse(&client.get(&path(name))?)?;
        let status = &feature.status;
        has_begun |= feature.is_under_way();
        match &status.error {
            _ if feature.is_under_way() => progress.at(&status.state, status.amount()),
            // What the server does before may take a while, and an error may be one of the last time.
            _ if !feature.is_on() && !has_begun && start.elapsed() < PATIENCE => {}
            None if feature.is_on() => return Ok(feature),
            error => {
                let reason =
                    error.clone().unwrap_or_else(|| "the server has stopped switching it on".to_owned());
                return Err(CliError::FeatureFailed { name: name.to_owned(), reason });
            }
        }
        // The API has no way to announce it.
        sleep(BETWEEN_QUESTIONS);
    }
}

fn put(client: &Client, name: &str, value: bool) -> Result<Value, CliError> {
    client.put(&path(name), &json!({ "value": value }))
}

fn path(name: &str) -> String {
    format!("/v3/features/{}", encoded(name))
}

impl FeatureStatus {
    fn amount(&self) -> Amount {
        match self.state.as_str() {
            "backup" => Amount::Bytes(self.done, self.total),
            _ => Amount::Items(self.done, self.total),
        }
    }
}

impl FeatureResource {
    fn is_on(&self) -> bool {
        self.status.state == "on"
    }

    fn is_under_way(&self) -> bool {
        ["backup", "hashing", "vacuum"].contains(&self.status.state.as_str())
    }
}

impl Item<5> for FeatureResource {
    const HEADING: [&'static str; 5] = ["NAME", "VALUE", "STATE", "LOCKED", "DESCRIPTION"];

    fn name(&self) -> String {
        self.name.clone()
    }

    fn row(&self) -> [String; 5] {
        [
            self.name.clone(),
            self.value.map_or_else(|| "-".to_owned(), |value| value.to_string()),
            self.status.state.clone(),
            yes(self.locked),
            self.description.clone().unwrap_or_default(),
        ]
    }
}

const TOKEN_HASHING: &str = "token-hashing";

const HASHING_EXPLAINED: &str = "\
From now on the store keeps only hashes of tokens' keys: whoever reads it can't use a token. Tokens that are in use
keep working. The server makes a backup first, then hashes every key. This can't be undone.";

const FEATURE_EXPLAINED: &str = "This can't be undone.";

const BETWEEN_QUESTIONS: Duration = Duration::from_millis(200);

/// How long it may take until the server begins.
const PATIENCE: Duration = Duration::from_secs(10);
