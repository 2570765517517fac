//! A user as the API shows it.

use serde::Deserialize;
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::listing::Item;
use crate::cli::output::age;
use crate::cli::table::{joined, yes};

/// The fields of the API's user that commands read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct UserResource {
    pub(in crate::cli) id: String,
    pub(in crate::cli) username: String,
    groups: Option<Vec<String>>,
    #[serde(default)]
    admin: bool,
    enabled: bool,
    created: Option<String>,
}

impl UserResource {
    /// All that is known, for a single user.
    pub(in crate::cli) fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Name", self.username.clone()),
            ("Id", self.id.clone()),
            ("Groups", self.groups()),
            ("Admin", yes(self.admin)),
            ("Enabled", yes(self.enabled)),
            ("Created", self.created.clone().unwrap_or_else(|| "-".to_owned())),
        ]
    }

    fn groups(&self) -> String {
        joined(self.groups.as_deref().unwrap_or_default())
    }
}

impl Item<6> for UserResource {
    const HEADING: [&'static str; 6] = ["NAME", "ID", "GROUPS", "ADMIN", "ENABLED", "AGE"];

    fn name(&self) -> String {
        self.username.clone()
    }

    fn row(&self) -> [String; 6] {
        [
            self.username.clone(),
            self.id.clone(),
            self.groups(),
            yes(self.admin),
            yes(self.enabled),
            age(self.created.as_deref()),
        ]
    }
}

/// The user with this name or id.
pub(super) fn find(client: &Client, name_or_id: &str) -> Result<(UserResource, Value), CliError> {
    let mut found = None;
    for resource in client.list("/v3/users")? {
        let user: UserResource = client.parse(&resource)?;
        if user.username != name_or_id && user.id != name_or_id {
            continue;
        }
        if found.is_some() {
            // Guessing could delete the wrong one.
            return Err(CliError::AmbiguousUser(name_or_id.to_owned()));
        }
        found = Some((user, resource));
    }
    found.ok_or_else(|| CliError::NoSuchUser(name_or_id.to_owned()))
}
