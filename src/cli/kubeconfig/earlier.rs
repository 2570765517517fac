//! The tokens in a kubeconfig that was written before. A token is sent to no other server than the one that it was for.

use serde_json::Value;

use crate::token::Bearer;

/// A kubeconfig that is for nothing but clusters of one server.
pub(super) struct Earlier {
    /// By the names of their contexts.
    pub(super) tokens: Vec<(String, Bearer)>,
}

impl Earlier {
    /// `None` if anything in it is for somewhere else, or not in use.
    pub(super) fn of(text: &str, server: &str) -> Option<Self> {
        let config: Value = serde_saphyr::from_str(text).ok()?;
        let clusters = list(&config, "clusters");
        let count = clusters.len();
        let is_whole =
            count > 0 && ["users", "contexts"].iter().all(|part| list(&config, part).len() == count);
        let ours = is_whole && clusters.iter().all(|cluster| is_beneath(cluster, server));
        ours.then(|| Self { tokens: tokens(&config, server) })
    }
}

/// The tokens of those contexts that are for `server`.
pub(super) fn tokens(config: &Value, server: &str) -> Vec<(String, Bearer)> {
    let token = |context: &Value| {
        let name = context.get("name")?.as_str()?;
        let cluster = named(config, "clusters", context.pointer("/context/cluster")?.as_str()?)?;
        let user = named(config, "users", context.pointer("/context/user")?.as_str()?)?;
        is_beneath(cluster, server).then_some(())?;
        Some((name.to_owned(), token_of(user)?))
    };
    list(config, "contexts").iter().filter_map(token).collect()
}

/// The token of an entry of `users`, if it is one of ours.
pub(super) fn token_of(user: &Value) -> Option<Bearer> {
    Bearer::try_from(user.pointer("/user/token")?.as_str()?).ok()
}

/// Whether an entry of `clusters` is a cluster behind `server`.
pub(super) fn is_beneath(cluster: &Value, server: &str) -> bool {
    let url = cluster.pointer("/cluster/server").and_then(Value::as_str).unwrap_or_default();
    url.strip_prefix(server).is_some_and(|path| path.starts_with('/'))
}

/// The entries of one of a kubeconfig's lists.
pub(super) fn list<'a>(config: &'a Value, part: &str) -> &'a [Value] {
    config.get(part).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The entry of a list that has this name.
pub(super) fn named<'a>(config: &'a Value, part: &str, name: &str) -> Option<&'a Value> {
    list(config, part).iter().find(|entry| entry.get("name").is_some_and(|own| own == name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GATE: &str = "https://gate.example.org";

    fn config(server: &str, token: &str) -> Value {
        json!({
            "clusters": [{ "name": "local", "cluster": { "server": server } }],
            "users": [{ "name": "local", "user": { "token": token } }],
            "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "local" } }],
        })
    }

    fn add(config: &mut Value, name: &str, server: &str, token: &str) {
        let more = [
            ("clusters", json!({ "name": name, "cluster": { "server": server } })),
            ("users", json!({ "name": name, "user": { "token": token } })),
            ("contexts", json!({ "name": name, "context": { "cluster": name, "user": name } })),
        ];
        for (part, entry) in more {
            config[part].as_array_mut().unwrap().push(entry);
        }
    }

    #[test]
    fn only_a_kubeconfig_of_this_server_alone_is_replaced_and_its_token_sent() {
        let bearer = format!("kubeconfig-user-bcdfgbcdfg:{}", "b".repeat(54));
        let ours = config("https://gate.example.org/k8s/clusters/local", &bearer);
        let of = |config: &Value| Earlier::of(&config.to_string(), GATE);
        assert_eq!(of(&ours).unwrap().tokens[0].1.name.as_str(), "kubeconfig-user-bcdfgbcdfg");

        let foreign = config("https://gate.example.org/k8s/clusters/local", "eyJhbGciOi.a.b");
        assert!(of(&foreign).unwrap().tokens.is_empty());
        for server in [
            "https://gate.example.org.evil/k8s/clusters/local",
            "https://gate.example.org:8443/k8s/clusters/local",
            "http://gate.example.org/k8s/clusters/local",
            "https://other/k8s/clusters/local",
        ] {
            assert!(of(&config(server, &bearer)).is_none(), "{server}");
            let mut both = ours.clone();
            add(&mut both, "other", server, &bearer);
            assert!(of(&both).is_none(), "{server}");
            assert_eq!(tokens(&both, GATE).len(), 1, "{server}");
        }
        for list in ["clusters", "users", "contexts"] {
            let mut more = ours.clone();
            let first = more[list][0].clone();
            more[list].as_array_mut().unwrap().push(first);
            assert!(of(&more).is_none(), "{list}");
        }
        for text in ["", "[", "precious", "clusters: 5"] {
            assert!(Earlier::of(text, GATE).is_none(), "{text}");
        }
    }

    #[test]
    fn each_context_has_its_own_token() {
        let bearer = |letter: &str| format!("kubeconfig-user-bcdfg{}:{}", letter.repeat(5), "b".repeat(54));
        let mut two = config("https://gate.example.org/k8s/clusters/local", &bearer("b"));
        add(&mut two, "eu-1", "https://gate.example.org/k8s/clusters/eu-1", &bearer("c"));
        let found = Earlier::of(&two.to_string(), GATE).unwrap().tokens;
        let names: Vec<_> =
            found.iter().map(|(name, bearer)| (name.as_str(), bearer.name.as_str())).collect();
        assert_eq!(names, [("local", "kubeconfig-user-bcdfgbbbbb"), ("eu-1", "kubeconfig-user-bcdfgccccc")]);
    }
}
