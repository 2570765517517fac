//! A token as the API shows it.

use serde::Deserialize;

use super::streams::OpenStreams;
use crate::cli::listing::Item;
use crate::cli::output::{age, remaining};
use crate::cli::table::yes;

/// The fields of the API's token that commands read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenResource {
    pub(super) id: String,
    pub(super) ttl: Option<u64>,
    kind: Option<String>,
    user_id: Option<String>,
    description: Option<String>,
    created: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    expired: bool,
    enabled: Option<bool>,
    #[serde(default)]
    current: bool,
    last_used_at: Option<String>,
    last_used_address: Option<String>,
    last_used_user_agent: Option<String>,
    lease_until: Option<String>,
    cluster_id: Option<String>,
    replaced_by: Option<String>,
    /// Only of a token that was asked for by name.
    pub(super) open_streams: Option<OpenStreams>,
}

impl TokenResource {
    /// All that is known, for a single token.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("Name", self.id.clone()),
            ("Kind", or_dash(self.kind.as_ref())),
            ("Owner", or_dash(self.user_id.as_ref())),
            ("Created", or_dash(self.created.as_ref())),
            ("Expires", self.expires()),
            ("Enabled", yes(self.enabled.unwrap_or(true))),
            ("Current", yes(self.current)),
            ("Last used", self.last_use()),
        ];
        let rare = [
            ("Cluster", &self.cluster_id),
            ("Leased until", &self.lease_until),
            ("Replaced by", &self.replaced_by),
        ];
        facts.extend(self.open_streams.as_ref().map(|open| ("Open streams", open.summary())));
        facts.extend(rare.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        facts.push(("Description", self.description.clone().unwrap_or_default()));
        facts
    }

    pub(super) fn expires(&self) -> String {
        if self.expired { "expired".to_owned() } else { remaining(self.expires_at.as_deref()) }
    }

    fn last_use(&self) -> String {
        let Some(at) = &self.last_used_at else { return "-".to_owned() };
        let details = [&self.last_used_address, &self.last_used_user_agent];
        let details: Vec<_> = details.into_iter().flatten().map(String::as_str).collect();
        format!("{at} {}", details.join(" ")).trim_end().to_owned()
    }
}

impl Item<8> for TokenResource {
    const HEADING: [&'static str; 8] =
        ["NAME", "KIND", "OWNER", "ENABLED", "AGE", "EXPIRES", "LAST USED", "DESCRIPTION"];

    fn name(&self) -> String {
        self.id.clone()
    }

    fn row(&self) -> [String; 8] {
        [
            self.id.clone(),
            or_dash(self.kind.as_ref()),
            or_dash(self.user_id.as_ref()),
            yes(self.enabled.unwrap_or(true)),
            age(self.created.as_deref()),
            self.expires(),
            age(self.last_used_at.as_deref()),
            self.description.clone().unwrap_or_default(),
        ]
    }
}

fn or_dash(field: Option<&String>) -> String {
    field.cloned().unwrap_or_else(|| "-".to_owned())
}
