//! New contexts put into a kubeconfig that has others.

use std::path::Path;

use serde_json::{Map, Value};

use super::earlier::{is_beneath, list, named};
use crate::cli::error::CliError;

/// The file that contexts are put into. An empty one is a kubeconfig without contexts.
pub(super) fn parse(path: &Path, text: &str) -> Result<Value, CliError> {
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let config: Value = serde_saphyr::from_str(text).unwrap_or_default();
    // What is no kubeconfig would be written anew as half of one.
    let is_list = |part: &str| config.get(part).is_none_or(|list| list.is_array() || list.is_null());
    if config.is_object() && PARTS.iter().all(|part| is_list(part)) {
        Ok(config)
    } else {
        Err(CliError::NotKubeconfig(path.to_owned()))
    }
}

/// Whether something of another server has the name of a context that is to be written.
pub(super) fn is_taken(config: &Value, name: &str, server: &str) -> bool {
    let foreign = |cluster: &Value| !is_beneath(cluster, server);
    let cluster_of = |context: &Value| {
        Some(named(config, "clusters", context.pointer("/context/cluster")?.as_str()?)?.clone())
    };
    let uses = |context: &&Value| {
        let own = context.get("name").is_some_and(|own| own == name);
        own || context.pointer("/context/user").is_some_and(|user| user == name)
    };
    let mut contexts = list(config, "contexts").iter().filter(uses);
    named(config, "clusters", name).is_some_and(foreign)
        || contexts.any(|context| cluster_of(context).is_none_or(|cluster| foreign(&cluster)))
}

/// `config` with the entries of `new` in the place of those of the same name. Its current context stays, unless it has
/// none or is to be that of `new`.
pub(super) fn merged(config: Value, new: &Value, takes_current: bool) -> Value {
    let mut merged = match config {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for part in PARTS {
        let added = list(new, part);
        let is_replaced = |entry: &Value| added.iter().any(|added| added.get("name") == entry.get("name"));
        let mut all = match merged.remove(*part) {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        all.retain(|entry| !is_replaced(entry));
        all.extend(added.iter().cloned());
        merged.insert((*part).to_owned(), all.into());
    }
    let has_current = merged.get(CURRENT).and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    let current = new.get(CURRENT).and_then(Value::as_str).filter(|_| takes_current || !has_current);
    let current = current.map(|name| (CURRENT, name));
    for (key, value) in [("apiVersion", "v1"), ("kind", "Config")].into_iter().chain(current) {
        merged.insert(key.to_owned(), value.into());
    }
    Value::Object(merged)
}

const PARTS: &[&str] = &["clusters", "users", "contexts"];
const CURRENT: &str = "current-context";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GATE: &str = "https://gate.example.org";

    fn config(entries: &[(&str, &str)]) -> Value {
        let map = |entry: &dyn Fn(&str, &str) -> Value| -> Vec<Value> {
            entries.iter().map(|(name, server)| entry(name, server)).collect()
        };
        json!({
            "clusters": map(&|name, server| json!({ "name": name, "cluster": { "server": server } })),
            "users": map(&|name, server| json!({ "name": name, "user": { "token": server } })),
            "contexts": map(&|name, _| json!({ "name": name, "context": { "cluster": name, "user": name } })),
            "current-context": entries.first().map(|(name, _)| name),
        })
    }

    #[test]
    fn contexts_of_other_servers_stay_and_ours_are_replaced() {
        let mut file =
            config(&[("kind", "https://127.0.0.1:6443"), ("eu-1", "https://gate.example.org/old")]);
        file["preferences"] = json!({ "colors": true });
        file["users"][0]["user"] = json!({ "exec": { "command": "aws" } });
        let new = config(&[("eu-1", "https://gate.example.org/k8s/clusters/eu-1"), ("us-1", "x")]);
        let both = merged(file.clone(), &new, false);
        let names =
            |part: &str| list(&both, part).iter().map(|entry| entry["name"].clone()).collect::<Vec<_>>();
        for part in PARTS {
            assert_eq!(names(part), ["kind", "eu-1", "us-1"], "{part}");
        }
        assert_eq!(both["users"][0]["user"]["exec"]["command"], "aws");
        assert_eq!(both["clusters"][1]["cluster"]["server"], "https://gate.example.org/k8s/clusters/eu-1");
        assert_eq!(
            (&both["current-context"], &both["preferences"]["colors"]),
            (&json!("kind"), &json!(true))
        );
        assert_eq!(merged(file, &new, true)["current-context"], "eu-1");
        let into_nothing = merged(json!({}), &new, false);
        assert_eq!(
            (&into_nothing["current-context"], &into_nothing["kind"]),
            (&json!("eu-1"), &json!("Config"))
        );
    }

    #[test]
    fn a_name_that_something_else_has_is_seen_before_it_is_lost() {
        let mut file = config(&[
            ("local", "https://127.0.0.1:6443"),
            ("eu-1", "https://gate.example.org/k8s/clusters/eu-1"),
        ]);
        assert!(is_taken(&file, "local", GATE));
        assert!(!is_taken(&file, "eu-1", GATE) && !is_taken(&file, "us-1", GATE));
        // A foreign context that uses a user of the name.
        file["contexts"][0]["context"]["user"] = "us-1".into();
        assert!(is_taken(&file, "us-1", GATE));
    }

    #[test]
    fn what_is_no_kubeconfig_is_not_merged_into() {
        let path = Path::new("file");
        for text in ["precious: [", "- a", "5", "clusters: 5"] {
            assert!(matches!(parse(path, text), Err(CliError::NotKubeconfig(_))), "{text}");
        }
        for text in ["", "\n", "{}", "clusters: null", "apiVersion: v1\nkind: Config\nclusters: []\n"] {
            assert!(parse(path, text).is_ok(), "{text}");
        }
    }
}
