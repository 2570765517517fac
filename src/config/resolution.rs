//! Which source wins for each key, and what is wrong with all of them together.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::clusters;
use super::error::{ConfigError, ConfigErrors};
use super::file;
use super::key::{DefaultValue, Draft, Given, Key, Kind, Reload};
use super::source::{CONFIG_VARIABLE, Origin, Sources, VARIABLE_PREFIX};
use super::{API_VERSION, Config, KEYS, KIND, TlsFiles, settings};
use crate::setting::{ENVIRONMENT_PREFIX, Setting};

/// A configuration together with where each of its values came from.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The result.
    pub config: Config,
    /// One entry a key, in the table's order.
    pub values: Vec<Value>,
    /// The list of clusters as the file has it, and where.
    clusters: Option<(serde_json::Value, Origin)>,
}

/// One key's value and its source.
#[derive(Debug, Clone)]
pub struct Value {
    /// The key.
    pub key: &'static Key,
    /// The value as it was written; `None` if it is not set and has no default.
    pub given: Option<Given>,
    /// Who set it.
    pub origin: Origin,
}

impl Resolution {
    /// Takes each key from its strongest source and checks everything.
    pub fn of(sources: &Sources) -> Result<Self, ConfigErrors> {
        let parsed = sources.file.as_ref().map(file::parse).unwrap_or_default();
        let clusters = parsed.clusters.zip(sources.file.as_ref().map(|file| Origin::File(file.path.clone())));
        let mut errors = parsed.errors;
        errors.extend(near_misses(&sources.environment));
        let in_file: BTreeMap<_, _> = parsed.values.into_iter().collect();
        let values: Vec<_> = KEYS.iter().map(|key| winner(key, sources, &in_file)).collect();
        let mut config = typed(&values, &mut errors);
        config.settings = settings::of(&sources.environment, &mut errors);
        if let Some((list, origin)) = &clusters {
            config.clusters = clusters::parse(list, origin, &mut errors);
        }
        ConfigErrors::check(errors)?;
        Ok(Self { config, values, clusters })
    }

    /// What is in use after the sources were read again and gave `again`: the keys that change live as they are there, all
    /// others as they are here.
    pub fn reloaded(&self, again: &Self) -> Result<Self, ConfigErrors> {
        let in_use = |(own, again): (&Value, &Value)| match own.key.reload {
            Reload::Live => again.clone(),
            Reload::Restart => own.clone(),
        };
        let values: Vec<_> = self.values.iter().zip(&again.values).map(in_use).collect();
        let mut errors = Vec::new();
        let config = typed(&values, &mut errors);
        ConfigErrors::check(errors)?;
        let (settings, clusters) = (self.config.settings.clone(), again.config.clusters.clone());
        Ok(Self { config: Config { clusters, settings, ..config }, values, clusters: again.clusters.clone() })
    }

    /// The keys whose values are others than in `before`.
    pub fn differences(&self, before: &Self) -> Vec<&'static str> {
        let pairs = self.values.iter().zip(&before.values);
        let mut keys: Vec<_> =
            pairs.filter(|(now, then)| now.given != then.given).map(|(now, _)| now.key.path).collect();
        if self.config.clusters != before.config.clusters {
            keys.push(file::CLUSTERS);
        }
        keys
    }

    /// The configuration as a file that would give it, with the source of each value in a comment.
    pub fn to_yaml(&self) -> String {
        let mut lines = vec![format!("apiVersion: {API_VERSION}"), format!("kind: {KIND}")];
        let mut section = "";
        for value in &self.values {
            let (parent, name) = value.key.path.rsplit_once('.').unwrap_or(("", value.key.path));
            if parent != section {
                section = parent;
                lines.push(format!("{parent}:"));
            }
            let indent = if parent.is_empty() { "" } else { "  " };
            lines.push(match &value.given {
                Some(given) => {
                    format!("{indent}{name}: {}  # {}", yaml_value(value.key.kind, given), value.origin)
                }
                None => format!("{indent}{name}:  # not set"),
            });
        }
        if let Some((list, origin)) = &self.clusters {
            // JSON is YAML, and keeps whatever is in it.
            lines.push(format!("{}: {list}  # {origin}", file::CLUSTERS));
        }
        lines.extend(settings::describe(&self.config.settings));
        lines.push(String::new());
        lines.join("\n")
    }
}

/// The known name that a misspelt one most likely stands for: the same last part, or few letters away.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let lower = name.to_ascii_lowercase();
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).trim_matches('"').to_ascii_lowercase();
    known.clone().find(|candidate| last(candidate) == last(name)).or_else(|| {
        known
            .map(|candidate| {
                (strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), candidate)
            })
            .filter(|(distance, _)| *distance <= 3)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, candidate)| candidate)
    })
}

fn winner(key: &'static Key, sources: &Sources, in_file: &BTreeMap<&str, Given>) -> Value {
    let flag = key.flag.and_then(|name| Some((sources.flags.get(key.path)?.clone(), Origin::Flag(name))));
    // An empty variable counts as absent: compose files and charts pass them on when nothing was set.
    let variable = sources.environment.get(key.environment).filter(|value| !value.is_empty()).cloned();
    let variable = variable.map(|text| (text, Origin::Environment(key.environment.to_owned())));
    if let Some((text, origin)) = flag.or(variable) {
        return Value { key, given: Some(Given::One(text)), origin };
    }
    if let (Some(given), Some(file)) = (in_file.get(key.path), &sources.file) {
        return Value { key, given: Some(given.clone()), origin: Origin::File(file.path.clone()) };
    }
    let given = match key.default {
        DefaultValue::Unset => None,
        DefaultValue::Text(text) => Some(text.to_owned()),
        DefaultValue::Computed(_, compute) => compute(&sources.host, &sources.environment),
    };
    Value { key, given: given.map(Given::One), origin: Origin::Default }
}

/// The values with their types, and all that is wrong with them.
fn typed(values: &[Value], errors: &mut Vec<ConfigError>) -> Config {
    let mut draft = Draft {
        config: Config::blank(),
        tls: TlsFiles { certificate: PathBuf::new(), key: PathBuf::new() },
        allowed_users: None,
        allowed_groups: None,
    };
    for value in values {
        match &value.given {
            Some(given) => errors.extend(store(&mut draft, value, given)),
            None => errors.extend(missing(value.key)),
        }
    }
    finish(draft, errors)
}

fn store(draft: &mut Draft, value: &Value, given: &Given) -> Option<ConfigError> {
    let expected = (value.key.set)(draft, given).err()?;
    Some(ConfigError::Invalid {
        key: value.key.path.to_owned(),
        origin: value.origin.clone(),
        given: match given {
            Given::One(text) => Some(text.clone()),
            Given::Many(_) => None,
        },
        expected: expected.0,
    })
}

fn missing(key: &'static Key) -> Option<ConfigError> {
    match key.default {
        DefaultValue::Unset => None,
        DefaultValue::Text(_) | DefaultValue::Computed(..) => {
            Some(ConfigError::Missing { key: key.path, environment: key.environment, help: key.help })
        }
    }
}

/// The rules that look at two keys.
fn finish(draft: Draft, errors: &mut Vec<ConfigError>) -> Config {
    let Draft { mut config, tls, allowed_users, allowed_groups } = draft;
    config.cluster_rules.access = clusters::access(allowed_users, allowed_groups);
    let unset = |path: &PathBuf| path.as_os_str().is_empty();
    match (unset(&tls.certificate), unset(&tls.key)) {
        (false, false) => config.tls = Some(tls),
        (true, true) => {}
        _ => errors.push(ConfigError::Conflict {
            keys: "tls.certificate, tls.key",
            reason: "set both, or none for a self-made certificate",
        }),
    }
    let (main, admin) = (config.listen, config.admin_listen);
    let overlap = main.ip() == admin.ip() || main.ip().is_unspecified() || admin.ip().is_unspecified();
    // Port 0 lets the system choose, and it never chooses one twice.
    if main.port() == admin.port() && main.port() != 0 && overlap {
        errors.push(ConfigError::Conflict {
            keys: "listen, adminListen",
            reason: "need different ports: probes and metrics must not be reachable for clients",
        });
    }
    if unset(&config.backup_dir) {
        config.backup_dir = sibling(&config.data_dir);
    }
    if !unset(&config.data_dir) && config.backup_dir.starts_with(&config.data_dir) {
        errors.push(ConfigError::Conflict {
            keys: "backupDir, dataDir",
            reason: "backups must be outside the data directory: who loses it must not lose them too",
        });
    }
    if unset(&config.cluster_key_file) {
        config.cluster_key_file = config.data_dir.join("cluster.key");
    }
    config
}

/// `<dir>-backups`, beside `dir`.
fn sibling(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or(OsStr::new("portcullis")).to_owned();
    name.push("-backups");
    dir.parent().unwrap_or(Path::new("/")).join(name)
}

/// Variables that look like misspelt ones of ours. Others that begin with our prefix are let be: Kubernetes sets
/// `PORTCULLIS_PORT`, `PORTCULLIS_SERVICE_HOST` and more in every pod beside a service called `portcullis`.
fn near_misses(environment: &BTreeMap<String, String>) -> Vec<ConfigError> {
    let settings: Vec<String> = Setting::ALL.into_iter().map(Setting::environment).collect();
    let known = || {
        let keys = KEYS.iter().map(|key| key.environment).chain([CONFIG_VARIABLE]);
        keys.chain(settings.iter().map(String::as_str))
    };
    let mut errors = Vec::new();
    for name in environment.keys().filter(|name| name.starts_with(VARIABLE_PREFIX)) {
        if known().any(|variable| variable == name) {
            continue;
        }
        let of_a_service = name.contains("_SERVICE_") || name.contains("_PORT");
        let suggestion = closest(name, known()).filter(|_| !of_a_service).map(str::to_owned);
        // Nobody but us has settings: one that is not known is a mistake, however far from all that are.
        if suggestion.is_some() || name.starts_with(ENVIRONMENT_PREFIX) {
            let origin = Origin::Environment(name.clone());
            errors.push(ConfigError::Unknown { key: name.clone(), origin, suggestion });
        }
    }
    errors
}

fn yaml_value(kind: Kind, given: &Given) -> String {
    // A JSON string is a YAML string, whatever is in it.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match (kind, given) {
        (Kind::Count | Kind::Fraction | Kind::Bool | Kind::Duration | Kind::Size, Given::One(text)) => {
            text.clone()
        }
        (Kind::List, Given::One(text)) => {
            let items: Vec<_> = text.split(',').map(|item| quoted(item.trim())).collect();
            format!("[{}]", items.join(", "))
        }
        (_, Given::One(text)) => quoted(text),
        (_, Given::Many(texts)) => {
            let items: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", items.join(", "))
        }
    }
}
