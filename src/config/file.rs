//! The configuration file: YAML, flattened to the paths of [`super::KEYS`].

use serde_json::Value;

use super::error::ConfigError;
use super::key::Given;
use super::resolution::closest;
use super::source::{ConfigFile, Origin};
use super::{API_VERSION, KEYS, KIND};

/// What a file sets, and what is wrong with it before any value is looked at.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) values: Vec<(&'static str, Given)>,
    /// The list of clusters, the one thing in a file that is more than a value.
    pub(super) clusters: Option<Value>,
    pub(super) errors: Vec<ConfigError>,
}

/// Reads the file's YAML. Unknown keys, a foreign header and values of a wrong shape are errors, all of them.
pub(super) fn parse(file: &ConfigFile) -> Parsed {
    let mut parsed = Parsed::default();
    match serde_saphyr::from_str::<Value>(&file.text) {
        Ok(Value::Object(mut fields)) => {
            for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
                if fields.remove(field).is_none_or(|value| value != expected) {
                    let path = file.path.clone();
                    parsed.errors.push(ConfigError::Header { field, expected, path });
                }
            }
            parsed.clusters = fields.remove(CLUSTERS).filter(|list| !list.is_null());
            for (name, value) in fields {
                parsed.flatten(file, segment(&name), value);
            }
        }
        Ok(_) => parsed.syntax(file, "expected a mapping with apiVersion, kind and keys".to_owned()),
        Err(error) => parsed.syntax(file, error.to_string()),
    }
    parsed
}

impl Parsed {
    /// Recursion ends with the parser's own limit on depth.
    fn flatten(&mut self, file: &ConfigFile, path: String, value: Value) {
        let key = KEYS.iter().find(|key| key.path == path);
        let section =
            KEYS.iter().any(|key| key.path.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.')));
        match (key, value) {
            // `key:` with nothing behind it is a line that was left open, not a value.
            (Some(_), Value::Null) => {}
            (None, Value::Null) if section => {}
            (Some(key), value) => match given(value) {
                Some(given) => self.values.push((key.path, given)),
                None => self.invalid(file, path, format!("a {}, not a mapping", key.kind.name())),
            },
            (None, Value::Object(fields)) if section => {
                for (name, value) in fields {
                    self.flatten(file, format!("{path}.{}", segment(&name)), value);
                }
            }
            (None, _) if section => self.invalid(file, path, "a mapping with keys below it".to_owned()),
            (None, _) => {
                let suggestion = closest(&path, KEYS.iter().map(|key| key.path)).map(str::to_owned);
                self.errors.push(ConfigError::Unknown { key: path, origin: origin(file), suggestion });
            }
        }
    }

    fn invalid(&mut self, file: &ConfigFile, key: String, expected: String) {
        self.errors.push(ConfigError::Invalid { key, origin: origin(file), given: None, expected });
    }

    fn syntax(&mut self, file: &ConfigFile, message: String) {
        self.errors.push(ConfigError::Syntax { path: file.path.clone(), message });
    }
}

/// One part of a path. A part that has a dot itself is quoted, so that it can't pose as two.
fn segment(name: &str) -> String {
    if name.contains('.') { format!("{name:?}") } else { name.to_owned() }
}

/// The key of the list of clusters.
pub(super) const CLUSTERS: &str = "clusters";

fn origin(file: &ConfigFile) -> Origin {
    Origin::File(file.path.clone())
}

fn given(value: Value) -> Option<Given> {
    match value {
        Value::Array(items) => items.into_iter().map(scalar).collect::<Option<_>>().map(Given::Many),
        scalar_value => scalar(scalar_value).map(Given::One),
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
