//! Settings that the environment fixes, `PORTCULLIS_SETTING_…`. They are checked like keys; a file has none of them.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::source::Origin;
use super::value;
use crate::setting::{Setting, Values, first_conflict};

/// The settings that `environment` has, as they are stored. An empty variable counts as absent, as everywhere.
pub(super) fn of(environment: &BTreeMap<String, String>, errors: &mut Vec<ConfigError>) -> Values {
    let mut values = Values::new();
    for setting in Setting::ALL {
        let variable = setting.environment();
        let Some(given) = environment.get(&variable).filter(|value| !value.is_empty()) else { continue };
        match value::setting(setting, given) {
            Ok(checked) => drop(values.insert(setting, checked)),
            Err(expected) => errors.push(ConfigError::Invalid {
                key: setting.name().to_owned(),
                origin: Origin::Environment(variable),
                given: Some(given.clone()),
                expected: expected.0,
            }),
        }
    }
    errors.extend(first_conflict(&values).map(ConfigError::Settings));
    values
}

/// Comments for the printed configuration, which as a file can't set them.
pub(super) fn describe(values: &Values) -> Vec<String> {
    let line = |(setting, value): (&Setting, &String)| {
        let first = value.lines().next().unwrap_or_default();
        format!("# {}: {first}  # environment {}", setting.name(), setting.environment())
    };
    values.iter().map(line).collect()
}
