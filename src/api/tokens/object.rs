//! A token as it is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::streams::OpenStreamsObject;
use crate::api::Caller;
use crate::api::request::Links;
use crate::authority::Issued;
use crate::clock::{self, UnixMillis};
use crate::identity::ClusterId;
use crate::streams::Open;
use crate::token::{LastUse, TokenKind, TokenName, TokenRecord};

/// A token; its key is in it when it was just made, and never again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
#[expect(clippy::struct_excessive_bools, reason = "they are what clients of Rancher's API read")]
pub(in crate::api) struct TokenObject {
    /// Always `token`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `token`.
    base_type: &'static str,
    /// The name.
    id: String,
    /// The public part of what is presented.
    name: String,
    /// What it is for.
    kind: &'static str,
    /// Name and key, as they are presented; only in the answer to the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// When it was made, by RFC 3339.
    created: String,
    /// The same in milliseconds since 1970.
    #[serde(rename = "createdTS")]
    created_ts: u64,
    /// Always null.
    creator_id: Option<String>,
    /// Whose it is.
    user_id: String,
    /// The same in the words of Rancher's clients.
    user_principal: String,
    /// Always null: a token has the groups of its user.
    group_principals: Option<Vec<String>>,
    /// Always `local`.
    auth_provider: &'static str,
    /// The one cluster it is good for; null for all of them.
    cluster_id: Option<String>,
    /// Free text.
    description: String,
    /// How long it lives, in milliseconds from its creation; 0 is for ever.
    ttl: u64,
    /// When it ends, by RFC 3339; empty if it never does.
    expires_at: String,
    /// Whether it has ended.
    expired: bool,
    /// False while it is switched off.
    enabled: bool,
    /// False for the session of a login.
    is_derived: bool,
    /// Whether this request came with it.
    current: bool,
    /// When it was last used, by RFC 3339.
    last_used_at: Option<String>,
    /// From where it was last used.
    last_used_address: Option<String>,
    /// By which program it was last used.
    last_used_user_agent: Option<String>,
    /// When it is deleted unless its lease is renewed.
    lease_until: Option<String>,
    /// The token that was made to take its place.
    replaced_by: Option<String>,
    /// What is open by its leave; only where one token is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_streams: Option<OpenStreamsObject>,
    /// What the caller can do with it: `self`, `update`, `remove`.
    links: BTreeMap<&'static str, String>,
    /// The actions it has now.
    actions: BTreeMap<&'static str, String>,
}

impl TokenObject {
    /// `token` as `caller` sees it, who sees only what is his own or, to administrators, everything.
    pub(super) fn new(links: &Links, token: &TokenRecord, caller: &Caller) -> Self {
        let current = token.name == caller.token;
        let used = token.last_used.as_ref();
        let (links, actions) = possible(links, token, current);
        Self {
            object: "token",
            base_type: "token",
            id: token.name.to_string(),
            name: token.name.to_string(),
            kind: token.kind.as_str(),
            token: None,
            created: token.created_at.to_string(),
            created_ts: token.created_at.0,
            creator_id: None,
            user_id: token.user_id.to_string(),
            user_principal: format!("local://{}", token.user_id),
            group_principals: None,
            auth_provider: "local",
            cluster_id: token.cluster.as_ref().map(ClusterId::to_string),
            description: token.description.clone(),
            ttl: token.ttl.0,
            expires_at: expires_at(token),
            expired: token.is_expired(clock::now()),
            enabled: token.enabled,
            is_derived: token.kind.rules().derived,
            current,
            last_used_at: used.map(|used| used.at.to_string()),
            last_used_address: used.map(|used| used.address.clone()),
            last_used_user_agent: used.map(|LastUse { user_agent, .. }| user_agent.clone()),
            lease_until: token.lease_until.as_ref().map(UnixMillis::to_string),
            replaced_by: token.replaced_by.as_ref().map(TokenName::to_string),
            open_streams: None,
            links,
            actions,
        }
    }

    /// With what is open by its leave.
    pub(super) fn with_streams(self, open: &[Open]) -> Self {
        Self { open_streams: Some(OpenStreamsObject::of(open)), ..self }
    }

    /// As it is shown to itself, where it can be deleted and nothing else be done with it.
    pub(super) fn without_changes(mut self) -> Self {
        self.links.remove("update");
        self.actions.clear();
        self
    }

    /// A token that was just made, with its key.
    pub(super) fn issued(links: &Links, issued: &Issued, caller: &Caller) -> Self {
        let token = Some(issued.bearer.expose().expose().to_owned());
        Self { token, ..Self::new(links, &issued.record, caller) }
    }
}

type Urls = BTreeMap<&'static str, String>;

/// What can be done with a token by whoever sees it.
fn possible(links: &Links, token: &TokenRecord, current: bool) -> (Urls, Urls) {
    let url = links.to_one("/v3/tokens", token.name.as_str());
    let action = |name: &str| format!("{url}?action={name}");
    let mut links = BTreeMap::from([("self", url.clone()), ("update", url.clone())]);
    let mut actions = BTreeMap::new();
    // A session ends by logging out: nobody deletes or disables the one he comes with.
    if !(current && token.kind == TokenKind::Session) {
        links.insert("remove", url.clone());
        let (name, url) =
            if token.enabled { ("disable", action("disable")) } else { ("enable", action("enable")) };
        actions.insert(name, url);
    }
    let lives = token.enabled && !token.is_expired(clock::now()) && token.replaced_by.is_none();
    if lives && token.kind != TokenKind::Session {
        actions.insert("rotate", action("rotate"));
    }
    if lives && token.lease_until.is_some() {
        actions.insert("renewLease", action("renewLease"));
    }
    (links, actions)
}

/// RFC 3339, or empty for a token that never expires.
pub(in crate::api) fn expires_at(token: &TokenRecord) -> String {
    token.expires_at().as_ref().map(UnixMillis::to_string).unwrap_or_default()
}
