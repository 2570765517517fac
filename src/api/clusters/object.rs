//! A cluster as it is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::api::request::Links;
use crate::cluster::{Access, CertificateAuthority, ClusterRecord, Member, Origin, State};
use crate::identity::{Group, Username};

/// A cluster behind this server. Who is no administrator is told only that it is there and whether it can be used.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cluster)]
pub(in crate::api) struct ClusterObject {
    /// Always `cluster`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `cluster`.
    base_type: &'static str,
    id: String,
    /// What it is called, here and as a context in kubeconfigs.
    name: String,
    /// Whether it can be used: `active`, `provisioning` while that is being found out, or `unavailable`.
    state: &'static str,
    /// The same in the words of Rancher's clients: `no`, `yes` or `error`.
    transitioning: &'static str,
    /// Why it can't be used; in full for administrators.
    transitioning_message: String,
    /// Who says that it is there: `configured` or `stored`.
    source: &'static str,
    /// URLs of its apiservers; for administrators.
    endpoints: Option<Vec<String>>,
    /// Authorities that sign the apiservers' certificates, PEM; for administrators.
    ca_cert: Option<String>,
    /// The name in the apiservers' certificates, if it is not that of the URL; for administrators.
    tls_server_name: Option<String>,
    /// What this server proves itself with; for administrators.
    credential: Option<CredentialObject>,
    /// What becomes of requests with its own service accounts' tokens: `impersonate`, `passthrough` or `deny`.
    service_accounts: &'static str,
    /// Who may use it at all; for administrators.
    access: Option<AccessObject>,
    /// When it was added, by RFC 3339.
    created: String,
    /// The same in milliseconds since 1970.
    #[serde(rename = "createdTS")]
    created_ts: u64,
    /// What the caller can do with it: `self`, `update`, `remove`.
    links: BTreeMap<&'static str, String>,
    /// The actions it has for the caller.
    actions: BTreeMap<&'static str, String>,
}

/// A credential is shown by its kind alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterCredential)]
struct CredentialObject {
    /// In which way it was given.
    kind: &'static str,
}

/// Who may use a cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterAccess)]
struct AccessObject {
    /// Whether whoever is authenticated may.
    everybody: bool,
    /// Users who may, by their names.
    users: Vec<String>,
    /// Groups whose members may.
    groups: Vec<String>,
}

/// The filters of a list.
pub(super) struct Wanted<'q> {
    name: Option<&'q str>,
    source: Option<&'static str>,
    state: Option<&'static str>,
}

impl<'q> Wanted<'q> {
    pub(super) fn of(query: &'q Query) -> Result<Self, ApiError> {
        let one_of = |texts: &'static [&'static str]| {
            move |text: &str| texts.iter().copied().find(|known| *known == text)
        };
        Ok(Self {
            name: query.text("name")?,
            source: query.parsed("source", "configured or stored", one_of(&["configured", "stored"]))?,
            state: query.parsed(
                "state",
                "active, provisioning or unavailable",
                one_of(&["active", "provisioning", "unavailable"]),
            )?,
        })
    }

    pub(super) fn admits(&self, object: &ClusterObject) -> bool {
        self.name.is_none_or(|name| name == object.name)
            && self.source.is_none_or(|source| source == object.source)
            && self.state.is_none_or(|state| state == object.state)
    }
}

impl ClusterObject {
    /// `member` as an administrator or somebody else sees it; `trouble` is what is wrong with its apiserver.
    pub(super) fn new(links: &Links, member: &Member, trouble: Option<&str>, administrator: bool) -> Self {
        let ClusterRecord { id, name, reach, service_accounts, access, created_at } = &member.record;
        let (state, transitioning, message) = state(member, trouble, administrator);
        let is_stored = member.origin == Origin::Stored;
        let (links, actions) = possible(links, id.as_str(), administrator, is_stored);
        let shown = administrator.then_some(reach);
        Self {
            object: "cluster",
            base_type: "cluster",
            id: id.to_string(),
            name: name.clone(),
            state,
            transitioning,
            transitioning_message: message,
            source: if is_stored { "stored" } else { "configured" },
            endpoints: administrator.then(|| endpoints(&member.record)),
            ca_cert: shown.and_then(|reach| match reach.ca.as_ref()? {
                CertificateAuthority::Pem(pem) => Some(pem.clone()),
                CertificateAuthority::File(_) => None,
            }),
            tls_server_name: shown.and_then(|reach| reach.tls_server_name.clone()),
            credential: shown.map(|reach| CredentialObject { kind: reach.credential.kind() }),
            service_accounts: service_accounts.as_str(),
            access: administrator.then(|| AccessObject::new(access)),
            created: created_at.to_string(),
            created_ts: created_at.0,
            links,
            actions,
        }
    }
}

impl AccessObject {
    fn new(access: &Access) -> Self {
        let Access::Only { users, groups } = access else {
            return Self { everybody: true, users: Vec::new(), groups: Vec::new() };
        };
        Self {
            everybody: false,
            users: users.iter().map(Username::as_str).map(str::to_owned).collect(),
            groups: groups.iter().map(Group::as_str).map(str::to_owned).collect(),
        }
    }
}

/// The URLs as people write them: the library ends each with a slash.
pub(super) fn endpoints(record: &ClusterRecord) -> Vec<String> {
    let urls = record.reach.endpoints.iter().map(ToString::to_string);
    urls.map(|url| url.trim_end_matches('/').to_owned()).collect()
}

/// The state, in our word and in Rancher's, and why it is so. Addresses and names of files are for administrators.
fn state(
    member: &Member,
    trouble: Option<&str>,
    administrator: bool,
) -> (&'static str, &'static str, String) {
    let reason = match (&member.state, trouble) {
        (State::Ready(_), None) => return ("active", "no", String::new()),
        (State::Loading, _) => {
            return ("provisioning", "yes", "whether it can be used is being found out".to_owned());
        }
        (State::Ready(_), Some(reason)) => reason,
        (State::Failing(reason), _) => reason,
    };
    let reason = if administrator { reason } else { "the server can't use it now" };
    ("unavailable", "error", reason.to_owned())
}

type Urls = BTreeMap<&'static str, String>;

fn possible(links: &Links, id: &str, administrator: bool, is_stored: bool) -> (Urls, Urls) {
    let url = links.to_one("/v3/clusters", id);
    let action = |name: &'static str| (name, format!("{url}?action={name}"));
    let mut actions = BTreeMap::from([action("generateKubeconfig")]);
    let mut links = BTreeMap::from([("self", url.clone())]);
    if administrator {
        actions.extend([action("test")]);
    }
    if administrator && is_stored {
        links.extend([("update", url.clone()), ("remove", url.clone())]);
    }
    (links, actions)
}
