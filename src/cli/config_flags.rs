//! The flags of `serve` and `check-config`, made from the table of configuration keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::error::CliError;
use crate::config::{ConfigErrors, KEYS, Resolution, Sources};

/// What was given on the command line. Values are checked together with those from other sources.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigFlags {
    config_file: Option<PathBuf>,
    values: BTreeMap<&'static str, String>,
}

impl ConfigFlags {
    /// Resolves the flags together with the environment and the file.
    pub(super) fn resolve(&self) -> Result<Resolution, CliError> {
        self.read().map_err(CliError::Config)
    }

    /// The same, as often as it is wanted.
    pub(super) fn read(&self) -> Result<Resolution, ConfigErrors> {
        let sources = Sources::of_process(self.values.clone(), self.config_file.clone())?;
        Resolution::of(&sources)
    }
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Configuration file [env: PORTCULLIS_CONFIG]");
        KEYS.iter().filter_map(|key| Some((key, key.flag?))).fold(
            command.arg(config),
            |command, (key, flag)| {
                let default = match key.default.describe() {
                    "" => String::new(),
                    text => format!(" [default: {text}]"),
                };
                command.arg(
                    Arg::new(key.path)
                        .long(flag)
                        .value_name(key.kind.name())
                        .help(format!("{} [env: {}]{default}", key.help, key.environment)),
                )
            },
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = KEYS.iter().filter(|key| key.flag.is_some());
        let given = flags.filter_map(|key| Some((key.path, matches.get_one::<String>(key.path)?.clone())));
        Ok(Self { config_file: matches.get_one(CONFIG).cloned(), values: given.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

const CONFIG: &str = "config";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_with_a_flag_is_read_from_it_and_others_have_none() {
        for key in KEYS {
            let command = ConfigFlags::augment_args(Command::new("serve"));
            let flag = key.flag.map_or_else(|| format!("--{}", key.path), |flag| format!("--{flag}"));
            match (command.try_get_matches_from(["serve", &flag, "value"]), key.flag) {
                (Ok(matches), Some(_)) => {
                    let flags = ConfigFlags::from_arg_matches(&matches).unwrap();
                    assert_eq!(flags.values, BTreeMap::from([(key.path, "value".to_owned())]));
                }
                (Err(_), None) => {}
                (result, _) => panic!("{flag}: {}", result.is_ok()),
            }
        }
    }
}
