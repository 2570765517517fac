//! The list `clusters` of the configuration file, and what the keys `cluster.…` say beside where the default cluster is.

use std::path::PathBuf;

use http::Uri;
use http::uri::Scheme;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ConfigError;
use super::source::Origin;
use crate::identity::{Access, ClusterId, Group, Username};

/// What is done with the token of a service account of the cluster that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceAccountMode {
    /// The cluster is asked whose it is, and the request goes on as that.
    #[default]
    Impersonate,
    /// The cluster is asked, and the request goes on with its own token.
    Passthrough,
    /// It is no credential here.
    Deny,
}

/// What holds for the default cluster beside where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterRules {
    /// What is done with the tokens of its service accounts.
    pub service_accounts: ServiceAccountMode,
    /// Who may use it at all.
    pub access: Access,
}

/// A cluster of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredCluster {
    /// Its id in paths; none that could be given out to an added one.
    pub id: ClusterId,
    /// What people call it; its id unless given.
    pub name: String,
    /// URLs of its apiservers; those of the kubeconfig if there are none.
    pub endpoints: Vec<Uri>,
    /// A file with certificates of authorities.
    pub certificate_authority: Option<PathBuf>,
    /// The name in the apiservers' certificates.
    pub tls_server_name: Option<String>,
    /// What we prove ourselves with.
    pub credential: CredentialFiles,
    /// What is done with the tokens of its service accounts, and who may use it.
    pub rules: ClusterRules,
}

/// Files with a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialFiles {
    /// A kubeconfig, and a context of it other than the current one.
    Kubeconfig(PathBuf, Option<String>),
    /// A bearer token.
    Token(PathBuf),
    /// A client certificate and its key.
    ClientCertificate(PathBuf, PathBuf),
}

/// A cluster as the file writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    id: String,
    name: Option<String>,
    #[serde(default)]
    endpoints: Vec<String>,
    certificate_authority: Option<PathBuf>,
    tls_server_name: Option<String>,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    #[serde(default)]
    service_accounts: ServiceAccountMode,
    allowed_users: Option<Vec<String>>,
    allowed_groups: Option<Vec<String>>,
}

/// The clusters of the list, and all that is wrong with it.
pub(super) fn parse(list: &Value, origin: &Origin, errors: &mut Vec<ConfigError>) -> Vec<ConfiguredCluster> {
    let mut clusters: Vec<ConfiguredCluster> = Vec::new();
    let mut wrong = |place: String, reason: String| {
        errors.push(ConfigError::Cluster { place, origin: origin.clone(), reason });
    };
    let Value::Array(entries) = list else {
        wrong("clusters".to_owned(), "expected a list".to_owned());
        return clusters;
    };
    for (index, entry) in entries.iter().enumerate() {
        let parsed = Entry::deserialize(entry).map_err(|error| error.to_string()).and_then(Entry::check);
        let parsed = parsed.and_then(|cluster| match clusters.iter().find(|other| cluster.clashes(other)) {
            Some(other) => Err(format!("cluster {} has the same id or name", other.id)),
            None => Ok(cluster),
        });
        match parsed {
            Ok(cluster) => clusters.push(cluster),
            Err(reason) => wrong(format!("clusters[{index}]"), reason),
        }
    }
    clusters
}

/// `None` for both lists is everybody.
pub(super) fn access(users: Option<Vec<Username>>, groups: Option<Vec<Group>>) -> Access {
    if users.is_none() && groups.is_none() {
        return Access::Everyone;
    }
    Access::Only { users: users.unwrap_or_default(), groups: groups.unwrap_or_default() }
}

impl Entry {
    fn check(self) -> Result<ConfiguredCluster, String> {
        let id = ClusterId::try_from(self.id.as_str()).map_err(|error| format!("id: {error}"))?;
        if id.is_default() {
            return Err("id: local is the cluster of cluster.kubeconfig".to_owned());
        }
        if id.is_generated() {
            return Err("id: what begins with c- is given out to clusters that are added".to_owned());
        }
        let name = self.name.unwrap_or(self.id);
        if name.trim() != name || name.is_empty() || name.chars().any(char::is_control) {
            return Err("name: not a name: not empty, without control characters".to_owned());
        }
        let credential = match (self.kubeconfig, self.token_file, self.client_certificate, self.client_key) {
            (Some(path), None, None, None) => CredentialFiles::Kubeconfig(path, self.context),
            (None, Some(path), None, None) => CredentialFiles::Token(path),
            (None, None, Some(certificate), Some(key)) => {
                CredentialFiles::ClientCertificate(certificate, key)
            }
            _ => {
                let ways = "kubeconfig, tokenFile, or clientCertificate and clientKey";
                return Err(format!("set one of {ways}"));
            }
        };
        let endpoints = self.endpoints.iter().map(|text| endpoint(text)).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() && !matches!(credential, CredentialFiles::Kubeconfig(..)) {
            return Err("endpoints: at least one is needed without a kubeconfig".to_owned());
        }
        let users = names::<Username>("allowedUsers", self.allowed_users)?;
        let groups = names::<Group>("allowedGroups", self.allowed_groups)?;
        let rules = ClusterRules { service_accounts: self.service_accounts, access: access(users, groups) };
        let (certificate_authority, tls_server_name) = (self.certificate_authority, self.tls_server_name);
        Ok(ConfiguredCluster {
            id,
            name,
            endpoints,
            certificate_authority,
            tls_server_name,
            credential,
            rules,
        })
    }
}

impl ConfiguredCluster {
    fn clashes(&self, other: &Self) -> bool {
        self.id == other.id || self.name == other.name
    }
}

impl ServiceAccountMode {
    /// The mode as files and the API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Impersonate => "impersonate",
            Self::Passthrough => "passthrough",
            Self::Deny => "deny",
        }
    }

    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Impersonate, Self::Passthrough, Self::Deny];

    /// The mode that is written so.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

fn endpoint(text: &str) -> Result<Uri, String> {
    let url = text.parse::<Uri>().ok().filter(|url| url.scheme() == Some(&Scheme::HTTPS));
    url.ok_or_else(|| format!("endpoints: {text:?} is not a URL such as https://10.0.0.1:6443"))
}

fn names<'t, N>(field: &str, texts: Option<Vec<String>>) -> Result<Option<Vec<N>>, String>
where
    N: for<'a> TryFrom<&'a str, Error = crate::identity::IdentityError>,
{
    let parse = |text: &String| N::try_from(text).map_err(|error| format!("{field}: {error}"));
    texts.map(|texts| texts.iter().map(parse).collect()).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(yaml: &str) -> (Vec<ConfiguredCluster>, Vec<String>) {
        let value = serde_saphyr::from_str(yaml).unwrap();
        let mut errors = Vec::new();
        let clusters = parse(&value, &Origin::File("gate.yaml".into()), &mut errors);
        (clusters, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_list_of_clusters_is_read_whole() {
        let (clusters, errors) = parsed(
            "- {id: prod, kubeconfig: /etc/prod, context: admin, allowedGroups: [dev]}\n\
             - {id: test, name: Testing, endpoints: ['https://10.0.0.1:6443', 'https://10.0.0.2:6443'],\
                certificateAuthority: /ca, tlsServerName: kubernetes, tokenFile: /token, serviceAccounts: deny}",
        );
        assert_eq!(errors, Vec::<String>::new());
        let [prod, test] = clusters.as_slice() else { panic!("{clusters:?}") };
        assert_eq!(prod.name, "prod");
        assert_eq!(
            prod.credential,
            CredentialFiles::Kubeconfig("/etc/prod".into(), Some("admin".to_owned()))
        );
        let dev = Group::try_from("dev").unwrap();
        assert_eq!(prod.rules.access, Access::Only { users: Vec::new(), groups: vec![dev] });
        assert_eq!((test.endpoints.len(), test.rules.service_accounts), (2, ServiceAccountMode::Deny));
        assert_eq!(test.rules.access, Access::Everyone);
    }

    #[test]
    fn every_mistake_of_a_list_is_named_with_its_place() {
        for (entry, reason) in [
            ("{kubeconfig: /a}", "missing field `id`"),
            ("{id: local, kubeconfig: /a}", "id: local is"),
            ("{id: c-bbbbb, kubeconfig: /a}", "id: what begins with c-"),
            ("{id: A, kubeconfig: /a}", "id: not a cluster id"),
            ("{id: a, kubeconfig: /a, token: hunter2}", "unknown field `token`"),
            ("{id: a}", "set one of"),
            ("{id: a, kubeconfig: /a, tokenFile: /b}", "set one of"),
            ("{id: a, tokenFile: /b}", "endpoints: at least one"),
            ("{id: a, tokenFile: /b, endpoints: ['http://a']}", "endpoints: \"http://a\""),
            ("{id: a, kubeconfig: /a, allowedUsers: ['']}", "allowedUsers: name is empty"),
            ("{id: good, kubeconfig: /a}", "cluster good has the same"),
        ] {
            let (clusters, errors) = parsed(&format!("[{{id: good, kubeconfig: /a}}, {entry}]"));
            assert_eq!(clusters.len(), 1);
            let [error] = errors.as_slice() else { panic!("{entry}: {errors:?}") };
            assert!(error.starts_with("clusters[1] (file gate.yaml): ") && error.contains(reason), "{error}");
        }
        assert_eq!(parsed("{a: b}").1, ["clusters (file gate.yaml): expected a list"]);
    }
}
