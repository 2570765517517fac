//! What is open by a token's leave, as it is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::streams::Open;

/// As many are shown one by one.
const MAX_SHOWN: usize = 100;

/// The requests that are open by a token's leave and would be cut with it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OpenStreams)]
pub(in crate::api) struct OpenStreamsObject {
    /// How many there are.
    count: usize,
    /// How many of each kind: `watch`, `log`, `exec`, `attach`, `portforward`, `proxy`, `other`.
    by_kind: BTreeMap<&'static str, usize>,
    /// Which; the hundred that are open longest.
    streams: Vec<OpenStreamObject>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OpenStream)]
struct OpenStreamObject {
    /// What it carries.
    kind: &'static str,
    /// The cluster it goes to.
    cluster_id: String,
    /// The address it comes from.
    client: String,
    /// Since when it is open, by RFC 3339.
    opened_at: String,
}

impl OpenStreamsObject {
    pub(super) fn of(open: &[Open]) -> Self {
        let mut by_kind = BTreeMap::new();
        for stream in open {
            *by_kind.entry(stream.kind.as_str()).or_insert(0) += 1;
        }
        let streams = open.iter().take(MAX_SHOWN).map(OpenStreamObject::of).collect();
        Self { count: open.len(), by_kind, streams }
    }
}

impl OpenStreamObject {
    fn of(open: &Open) -> Self {
        Self {
            kind: open.kind.as_str(),
            cluster_id: open.cluster.to_string(),
            client: open.client.to_string(),
            opened_at: open.opened_at.to_string(),
        }
    }
}
