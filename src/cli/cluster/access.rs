//! Who may use a cluster, by flags.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

/// Flags that say who may use a cluster, and what becomes of its own service accounts.
#[derive(Debug, Args)]
pub(super) struct AccessOptions {
    /// A user who may use it, by name; may be repeated. Without --user and --group everybody may
    #[arg(long = "user", value_name = "USER")]
    users: Vec<String>,
    /// A group that may use it; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Everybody may use it
    #[arg(long, conflicts_with_all = ["users", "groups"])]
    everybody: bool,
    /// Nobody may use it for now
    #[arg(long, conflicts_with_all = ["users", "groups", "everybody"])]
    nobody: bool,
    /// What becomes of requests with the cluster's own service account tokens
    #[arg(long, value_enum, value_name = "MODE")]
    service_accounts: Option<ServiceAccounts>,
}

/// What becomes of requests with a service account's token.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ServiceAccounts {
    /// They are checked with the cluster and passed on by impersonation
    Impersonate,
    /// They are checked with the cluster and passed on with their own token
    Passthrough,
    /// They are refused
    Deny,
}

impl AccessOptions {
    /// The fields of the API that were asked for.
    pub(super) fn add_to(&self, fields: &mut Map<String, Value>) {
        let named = !self.users.is_empty() || !self.groups.is_empty();
        if named || self.everybody || self.nobody {
            let access = json!({ "everybody": self.everybody, "users": self.users, "groups": self.groups });
            fields.insert("access".to_owned(), access);
        }
        let mode = self.service_accounts.map(|mode| match mode {
            ServiceAccounts::Impersonate => "impersonate",
            ServiceAccounts::Passthrough => "passthrough",
            ServiceAccounts::Deny => "deny",
        });
        fields.extend(mode.map(|mode| ("serviceAccounts".to_owned(), mode.into())));
    }
}
