//! A user as it is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Caller;
use crate::api::request::Links;
use crate::identity::Group;
use crate::user::UserRecord;

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub(in crate::api) struct UserObject {
    /// Always `user`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `user`.
    base_type: &'static str,
    id: String,
    /// The same as the id.
    uuid: String,
    /// What the user logs in with, and what clusters know the user by.
    username: String,
    /// The same as the user name.
    name: String,
    /// The user in the words of Rancher's clients.
    principal_ids: [String; 1],
    /// The groups clusters know the user to be in.
    groups: Vec<String>,
    /// Whether the user may manage users, settings and everybody's tokens.
    admin: bool,
    /// False while the user and all of the user's tokens are switched off.
    enabled: bool,
    /// Whether this is the caller.
    me: bool,
    /// When the user was made, by RFC 3339.
    created: String,
    /// The same in milliseconds since 1970.
    #[serde(rename = "createdTS")]
    created_ts: u64,
    /// Always null.
    creator_id: Option<String>,
    /// What the caller can do with it: `self`, `update`, `remove`.
    links: BTreeMap<&'static str, String>,
    /// The actions it has for the caller.
    actions: BTreeMap<&'static str, String>,
}

impl UserObject {
    /// As it is shown to a token that can only ask whose it is.
    pub(super) fn without_changes(mut self) -> Self {
        self.links.retain(|name, _| *name == "self");
        self.actions.clear();
        self
    }

    /// `user` as `caller` sees it. Only administrators see anybody but themselves.
    pub(super) fn new(links: &Links, user: &UserRecord, caller: &Caller) -> Self {
        let url = links.to_one("/v3/users", user.id.as_str());
        let own = user.id == caller.id;
        let by_administrator = !own || user.admin;
        let (mut links, mut actions) = (BTreeMap::from([("self", url.clone())]), BTreeMap::new());
        if by_administrator {
            actions.insert("setpassword", format!("{url}?action=setpassword"));
            links.insert("update", url.clone());
        }
        if !own {
            links.insert("remove", url);
        }
        Self {
            object: "user",
            base_type: "user",
            id: user.id.to_string(),
            uuid: user.id.to_string(),
            username: user.name.as_str().to_owned(),
            name: user.name.as_str().to_owned(),
            principal_ids: [format!("local://{}", user.id)],
            groups: user.groups.iter().map(|group| Group::as_str(group).to_owned()).collect(),
            admin: user.admin,
            enabled: user.enabled,
            me: own,
            created: user.created_at.to_string(),
            created_ts: user.created_at.0,
            creator_id: None,
            links,
            actions,
        }
    }
}
