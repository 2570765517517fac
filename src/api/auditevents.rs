//! `/v3/auditevents`: who did what, for administrators.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::collection::{Collection, Listing, Part};
use super::error::ApiError;
use super::query::Query;
use super::request::{By, Links};
use super::tokens::marker;
use super::{Api, schema};
use crate::identity::UserId;
use crate::store::{AuditFilter, AuditQuery, AuditRecord};
use crate::token::TokenName;

/// Something that was done, or refused.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEvent)]
pub(super) struct AuditEventObject {
    /// Always `auditEvent`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `auditEvent`.
    base_type: &'static str,
    /// Its number, in the order of writing.
    id: String,
    /// When, by RFC 3339.
    created: String,
    /// The same in milliseconds since 1970.
    #[serde(rename = "createdTS")]
    created_ts: u64,
    /// What was done.
    action: String,
    /// The user who did it.
    actor: Option<String>,
    /// The token it was done to.
    token: Option<String>,
    /// The user it was done to.
    user: Option<String>,
    /// The address it came from.
    client: Option<String>,
    /// `success`, `refused` or `failure`.
    outcome: &'static str,
    /// What happened.
    message: String,
    links: BTreeMap<&'static str, String>,
    actions: BTreeMap<&'static str, String>,
}

/// What was done, the newest first; for administrators.
#[utoipa::path(get, path = "/v3/auditevents", responses((status = 200, body = Collection<AuditEventObject>)))]
pub(super) async fn list(
    State(api): State<Api>,
    By(caller): By,
    links: Links,
    query: Query,
) -> Result<Json<Collection<AuditEventObject>>, ApiError> {
    let asked = selection(&query)?;
    let descending = asked.descending;
    let page = api.authority.audit_events(&caller, asked).await?;
    let data = page.items.into_iter().map(AuditEventObject::from).collect();
    let next = page.next.map(|marker| marker.to_string());
    let listing = Listing { schema: &schema::AUDIT_EVENT, links: &links, query: &query, administrator: true };
    listing.collection(Part { data, next, descending }).map(Json)
}

fn selection(query: &Query) -> Result<AuditQuery, ApiError> {
    let user = |name| query.parsed(name, "a user's id", |text| UserId::try_from(text).ok());
    query.parsed("sort", "created", |text| (text == "created").then_some(()))?;
    let filter = AuditFilter {
        action: query.text("action")?.map(ToOwned::to_owned),
        actor: user("actor")?,
        user: user("user")?,
        token: query.parsed("token", "a token's name", |text| TokenName::try_from(text).ok())?,
        since: query.moment("since")?,
        cluster: None,
    };
    let descending = query.descending()?.unwrap_or(true);
    Ok(AuditQuery { filter, descending, after: marker(query)?, limit: query.limit()? })
}

impl From<AuditRecord> for AuditEventObject {
    fn from(AuditRecord { id, event }: AuditRecord) -> Self {
        Self {
            object: "auditEvent",
            base_type: "auditEvent",
            id: id.to_string(),
            created: event.at.to_string(),
            created_ts: event.at.0,
            action: event.action,
            actor: event.actor.map(|id| id.to_string()),
            token: event.token.map(|name| name.to_string()),
            user: event.user.map(|id| id.to_string()),
            client: event.client,
            outcome: event.outcome.as_str(),
            message: event.message,
            links: BTreeMap::new(),
            actions: BTreeMap::new(),
        }
    }
}
