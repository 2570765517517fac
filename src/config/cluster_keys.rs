//! The keys that are about clusters; [`KEYS`](super::KEYS) has them at their place.

use super::clusters::ServiceAccountMode;
use super::key::{DefaultValue, Key, Kind, Reload};
use super::value::{Expected, choice, endpoints, groups, path, text, users};

pub(super) const KEY_FILE: Key = Key {
    path: "clusterKeyFile",
    environment: "PORTCULLIS_CLUSTER_KEY_FILE",
    flag: None,
    kind: Kind::Path,
    default: DefaultValue::Unset,
    reload: Reload::Restart,
    help: "Key for credentials of clusters that are added by value; unset: cluster.key in the data directory",
    set: |draft, given| path(given).map(|value| draft.config.cluster_key_file = value),
};

pub(super) const FILES_DIR: Key = Key {
    path: "clusterFilesDir",
    environment: "PORTCULLIS_CLUSTER_FILES_DIR",
    flag: None,
    kind: Kind::Path,
    default: DefaultValue::Unset,
    reload: Reload::Restart,
    help: "Directory below which clusters that are added may name files; unset: they may name none",
    set: |draft, given| path(given).map(|value| draft.config.cluster_files_dir = Some(value)),
};

pub(super) const KUBECONFIG: Key = Key {
    path: "cluster.kubeconfig",
    environment: "PORTCULLIS_CLUSTER_KUBECONFIG",
    flag: Some("kubeconfig"),
    kind: Kind::Path,
    default: DefaultValue::Unset,
    reload: Reload::Restart,
    help: "Kubeconfig of the cluster; unset: in-cluster environment, else the usual kubeconfig",
    set: |draft, given| path(given).map(|value| draft.config.cluster.kubeconfig = Some(value)),
};

pub(super) const CONTEXT: Key = Key {
    path: "cluster.context",
    environment: "PORTCULLIS_CLUSTER_CONTEXT",
    flag: Some("context"),
    kind: Kind::Text,
    default: DefaultValue::Unset,
    reload: Reload::Restart,
    help: "Context of the kubeconfig; unset: its current one",
    set: |draft, given| {
        text(given, "the name of a context").map(|value| draft.config.cluster.context = Some(value))
    },
};

pub(super) const ENDPOINTS: Key = Key {
    path: "cluster.endpoints",
    environment: "PORTCULLIS_CLUSTER_ENDPOINTS",
    flag: None,
    kind: Kind::List,
    default: DefaultValue::Unset,
    reload: Reload::Restart,
    help: "URLs of the cluster's apiservers; unset: the one of the kubeconfig or the in-cluster environment",
    set: |draft, given| endpoints(given).map(|value| draft.config.cluster.endpoints = value),
};

pub(super) const SERVICE_ACCOUNTS: Key = Key {
    path: "cluster.serviceAccounts",
    environment: "PORTCULLIS_CLUSTER_SERVICE_ACCOUNTS",
    flag: None,
    kind: Kind::Text,
    default: DefaultValue::Text("impersonate"),
    reload: Reload::Live,
    help: "Tokens of the cluster's service accounts: impersonate, passthrough or deny",
    set: |draft, given| {
        let mode = choice(given, &ServiceAccountMode::ALL.map(ServiceAccountMode::as_str))?;
        let mode = ServiceAccountMode::from_text(mode).ok_or(Expected(String::new()))?;
        draft.config.cluster_rules.service_accounts = mode;
        Ok(())
    },
};

pub(super) const ALLOWED_USERS: Key = Key {
    path: "cluster.allowedUsers",
    environment: "PORTCULLIS_CLUSTER_ALLOWED_USERS",
    flag: None,
    kind: Kind::List,
    default: DefaultValue::Unset,
    reload: Reload::Live,
    help: "Users that may use the cluster; everybody if neither users nor groups are set",
    set: |draft, given| users(given).map(|value| draft.allowed_users = Some(value)),
};

pub(super) const ALLOWED_GROUPS: Key = Key {
    path: "cluster.allowedGroups",
    environment: "PORTCULLIS_CLUSTER_ALLOWED_GROUPS",
    flag: None,
    kind: Kind::List,
    default: DefaultValue::Unset,
    reload: Reload::Live,
    help: "Groups that may use the cluster; everybody if neither users nor groups are set",
    set: |draft, given| groups(given).map(|value| draft.allowed_groups = Some(value)),
};
