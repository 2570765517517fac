//! A cluster as the API shows it.

use serde::Deserialize;
use serde_json::Value;

use crate::cli::client::{Client, encoded};
use crate::cli::error::CliError;
use crate::cli::listing::Item;
use crate::cli::output::age;
use crate::cli::table::joined;

/// The fields of the API's cluster that commands read. Users who are no administrators are shown few of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterResource {
    pub(super) id: String,
    pub(super) name: String,
    endpoints: Option<Vec<String>>,
    tls_server_name: Option<String>,
    credential: Option<Credential>,
    service_accounts: Option<String>,
    access: Option<Access>,
    source: Option<String>,
    state: String,
    transitioning_message: Option<String>,
    created: Option<String>,
}

/// What is shown of a credential.
#[derive(Debug, Deserialize)]
struct Credential {
    kind: String,
}

/// Who may use a cluster.
#[derive(Debug, Deserialize)]
struct Access {
    everybody: bool,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
}

impl ClusterResource {
    /// All that is known, for a single cluster.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts =
            vec![("Name", self.name.clone()), ("Id", self.id.clone()), ("State", self.state.clone())];
        let access = self.access.as_ref().map(Access::sentence);
        let rare = [
            ("Trouble", self.transitioning_message.clone().filter(|text| !text.is_empty())),
            ("Source", self.source.clone()),
            ("Endpoints", self.endpoints.as_deref().map(joined)),
            ("TLS server name", self.tls_server_name.clone()),
            ("Credential", self.credential.as_ref().map(|credential| credential.kind.clone())),
            ("Service accounts", self.service_accounts.clone()),
            ("Access", access),
            ("Created", self.created.clone()),
        ];
        facts.extend(rare.into_iter().filter_map(|(name, value)| Some((name, value?))));
        facts
    }

    /// Its path in the API.
    pub(super) fn path(&self) -> String {
        format!("/v3/clusters/{}", encoded(&self.id))
    }
}

impl Access {
    fn sentence(&self) -> String {
        if self.everybody {
            return "everybody".to_owned();
        }
        let parts = [("users", &self.users), ("groups", &self.groups)];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<_> = parts.map(|(kind, names)| format!("{kind} {}", joined(names))).collect();
        if parts.is_empty() { "nobody".to_owned() } else { parts.join("; ") }
    }
}

impl Item<6> for ClusterResource {
    const HEADING: [&'static str; 6] = ["NAME", "ID", "STATE", "SOURCE", "ENDPOINTS", "AGE"];

    fn name(&self) -> String {
        self.id.clone()
    }

    fn row(&self) -> [String; 6] {
        let dash = || "-".to_owned();
        [
            self.name.clone(),
            self.id.clone(),
            self.state.clone(),
            self.source.clone().unwrap_or_else(dash),
            self.endpoints.as_deref().map_or_else(dash, joined),
            age(self.created.as_deref()),
        ]
    }
}

/// The cluster with this name or id. The id of one may be the name of another.
pub(super) fn find(client: &Client, name_or_id: &str) -> Result<(ClusterResource, Value), CliError> {
    let mut found = None;
    for resource in client.list("/v3/clusters")? {
        let cluster: ClusterResource = client.parse(&resource)?;
        if cluster.name != name_or_id && cluster.id != name_or_id {
            continue;
        }
        if found.is_some() {
            // Guessing could delete the wrong one.
            return Err(CliError::AmbiguousCluster(name_or_id.to_owned()));
        }
        found = Some((cluster, resource));
    }
    found.ok_or_else(|| CliError::NoSuchCluster(name_or_id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_said_in_words() {
        let access = |everybody, users: &[&str], groups: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            Access { everybody, users: owned(users), groups: owned(groups) }.sentence()
        };
        assert_eq!(access(true, &[], &[]), "everybody");
        assert_eq!(access(false, &[], &[]), "nobody");
        assert_eq!(access(false, &["alice", "bob"], &["dev"]), "users alice,bob; groups dev");
    }
}
