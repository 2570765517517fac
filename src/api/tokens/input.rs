//! What clients send to make and change tokens.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::body::whole;
use crate::api::error::ApiError;
use crate::authority::{AuthorityError, NewToken, Rotation, TokenChange};
use crate::identity::{ClusterId, UserId};
use crate::token::TokenKind;

/// What counts of a new token as a client sends it. Name, state and the like are ours to decide and are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct TokenRequest {
    /// What it is for; an API key unless given.
    #[schema(value_type = Option<MadeKind>)]
    kind: Option<String>,
    /// Whose it is to be; the caller's unless given.
    #[schema(pattern = "^[a-z0-9-]{0,63}$")]
    user_id: Option<String>,
    /// How long it is to live, in milliseconds; 0 is for ever. As long as its kind does unless given.
    #[schema(minimum = 0, maximum = 31_536_000_000_000_i64)]
    #[serde(default, deserialize_with = "whole")]
    ttl: Option<i64>,
    /// Free text.
    #[schema(max_length = 1024)]
    description: Option<String>,
    /// Whether it is deleted a minute after its maker stops renewing its lease.
    lease: Option<bool>,
    /// The one cluster it is to be good for, by its id; all of them, and this API, unless given.
    #[schema(pattern = "^[a-z0-9-]{0,63}$")]
    cluster_id: Option<String>,
    #[schema(ignore)]
    groups: Option<Vec<String>>,
    #[schema(ignore)]
    group_principals: Option<Vec<Value>>,
}

/// The kinds that are made on purpose.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[expect(dead_code, reason = "for the description: what is sent is read as a text and refused by name")]
enum MadeKind {
    ApiKey,
    Kubeconfig,
    KubectlShell,
    Agent,
    ComposeToken,
    HelmToken,
    Telemetry,
    DrainNode,
}

/// What is to be changed about a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct TokenUpdateRequest {
    /// Whether it is switched on.
    enabled: Option<bool>,
    /// Free text.
    #[schema(max_length = 1024)]
    description: Option<String>,
    /// A shorter life, in milliseconds from its creation.
    #[schema(minimum = 0, maximum = 31_536_000_000_000_i64)]
    #[serde(default, deserialize_with = "whole")]
    ttl: Option<i64>,
}

/// How a token is rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct RotateRequest {
    /// How long the old token stays good.
    #[schema(minimum = 0, maximum = 604_800)]
    #[serde(default, deserialize_with = "whole")]
    overlap_seconds: Option<i64>,
    /// How long the new one is to live, in milliseconds; 0 is for ever.
    #[schema(minimum = 0, maximum = 31_536_000_000_000_i64)]
    #[serde(default, deserialize_with = "whole")]
    ttl: Option<i64>,
    /// Free text; the old one's unless given.
    #[schema(max_length = 1024)]
    description: Option<String>,
}

impl TryFrom<TokenRequest> for NewToken {
    type Error = ApiError;

    fn try_from(request: TokenRequest) -> Result<Self, ApiError> {
        // What would be narrower or wider than asked for is refused, not silently made.
        if request.groups.is_some() || request.group_principals.is_some() {
            return Err(ApiError::invalid("InvalidOption", "a token has the groups of its user").on("groups"));
        }
        let cluster = given(request.cluster_id)
            .map(|id| ClusterId::try_from(id.as_str()).map_err(|_| AuthorityError::UnknownCluster));
        let kind = given(request.kind).map(|text| TokenKind::from_text(&text).ok_or_else(unknown_kind));
        let owner = given(request.user_id)
            .map(|id| UserId::try_from(id.as_str()).map_err(|_| AuthorityError::UnknownOwner));
        Ok(Self {
            kind: kind.transpose()?.unwrap_or(TokenKind::ApiKey),
            owner: owner.transpose()?,
            ttl: request.ttl,
            description: request.description.unwrap_or_default(),
            lease: request.lease.unwrap_or(false),
            cluster: cluster.transpose()?,
        })
    }
}

impl From<TokenUpdateRequest> for TokenChange {
    fn from(request: TokenUpdateRequest) -> Self {
        Self { enabled: request.enabled, description: request.description, ttl: request.ttl }
    }
}

impl TryFrom<RotateRequest> for Rotation {
    type Error = ApiError;

    fn try_from(request: RotateRequest) -> Result<Self, ApiError> {
        let seconds = u64::try_from(request.overlap_seconds.unwrap_or(0));
        let seconds = seconds.map_err(|_| {
            ApiError::invalid("InvalidOption", "overlap can't be negative").on("overlapSeconds")
        })?;
        let (ttl, description) = (request.ttl, request.description);
        Ok(Self { overlap: Duration::from_secs(seconds), ttl, description })
    }
}

/// An empty field of a form means none.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn unknown_kind() -> ApiError {
    let kinds = TokenKind::ALL.map(TokenKind::as_str).join(", ");
    ApiError::invalid("InvalidOption", format!("kind must be one of {kinds}")).on("kind")
}
