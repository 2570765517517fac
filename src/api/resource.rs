//! Resources and collections as JSON, in the shape of Rancher's API.

use serde_json::{Value, json};

use super::Caller;
use super::request::Links;
use crate::clock::{self, UnixMillis};
use crate::identity::Group;
use crate::token::{TokenKind, TokenRecord};
use crate::user::UserRecord;

/// A list of `data`, all of the type `resource`.
pub(super) fn collection(
    links: &Links,
    path: &str,
    resource: &str,
    creatable: bool,
    data: Vec<Value>,
) -> Value {
    let url = links.to(path);
    let create_types = if creatable { json!({ resource: url }) } else { json!({}) };
    json!({
        "type": "collection",
        "resourceType": resource,
        "links": { "self": url },
        "createTypes": create_types,
        "actions": {},
        "pagination": { "limit": 1000 },
        "sort": { "order": "asc" },
        "filters": {},
        "data": Value::Array(data),
    })
}

/// A token without its key.
pub(super) fn token(links: &Links, token: &TokenRecord, caller: &Caller) -> Value {
    let url = links.to_one("/v3/tokens", token.name.as_str());
    json!({
        "type": "token",
        "baseType": "token",
        "id": token.name.as_str(),
        "name": token.name.as_str(),
        "kind": token.kind.as_str(),
        "created": token.created_at.to_string(),
        "createdTS": token.created_at.0,
        "creatorId": null,
        "userId": token.user_id.as_str(),
        "userPrincipal": principal(token.user_id.as_str()),
        "groupPrincipals": null,
        "authProvider": "local",
        "clusterId": null,
        "description": token.description,
        "ttl": token.ttl.0,
        "expiresAt": expires_at(token),
        "expired": token.is_expired(clock::now()),
        "enabled": token.enabled,
        "isDerived": token.kind != TokenKind::Session,
        "current": token.name == caller.token,
        "links": { "self": url, "remove": url },
    })
}

/// A user, with the links that `caller` may follow.
pub(super) fn user(links: &Links, user: &UserRecord, caller: &Caller) -> Value {
    let url = links.to_one("/v3/users", user.id.as_str());
    let own = user.id == caller.id;
    // Only administrators see anybody but themselves.
    let (links, actions) = match (own, user.admin) {
        (true, false) => (json!({ "self": url }), json!({})),
        (true, true) => (
            json!({ "self": url, "update": url }),
            json!({ "setpassword": format!("{url}?action=setpassword") }),
        ),
        (false, _) => (
            json!({ "self": url, "update": url, "remove": url }),
            json!({ "setpassword": format!("{url}?action=setpassword") }),
        ),
    };
    json!({
        "type": "user",
        "baseType": "user",
        "id": user.id.as_str(),
        "uuid": user.id.as_str(),
        "username": user.name.as_str(),
        "name": user.name.as_str(),
        "principalIds": [principal(user.id.as_str())],
        "groups": user.groups.iter().map(Group::as_str).collect::<Vec<_>>(),
        "admin": user.admin,
        "enabled": user.enabled,
        "me": own,
        "created": user.created_at.to_string(),
        "createdTS": user.created_at.0,
        "creatorId": null,
        "links": links,
        "actions": actions,
    })
}

/// RFC 3339, or empty for a token that never expires.
pub(super) fn expires_at(token: &TokenRecord) -> String {
    token.expires_at().as_ref().map(UnixMillis::to_string).unwrap_or_default()
}

fn principal(user_id: &str) -> String {
    format!("local://{user_id}")
}
