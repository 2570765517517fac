//! What clients send to make a token.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::authority::{AuthorityError, NewToken};
use crate::identity::UserId;

/// What counts of a token as a client sends it. Name, kind, state and the like are ours to decide and are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct TokenRequest {
    /// How long it is to live, in milliseconds; 0 is for ever.
    #[schema(minimum = 0)]
    ttl: Option<i64>,
    /// Free text.
    #[schema(max_length = 1024)]
    description: Option<String>,
    /// Whose it is to be.
    user_id: Option<String>,
    #[schema(ignore)]
    cluster_id: Option<String>,
    #[schema(ignore)]
    groups: Option<Vec<String>>,
    #[schema(ignore)]
    group_principals: Option<Vec<Value>>,
}

impl TryFrom<TokenRequest> for NewToken {
    type Error = ApiError;

    fn try_from(request: TokenRequest) -> Result<Self, ApiError> {
        // What would be narrower or wider than asked for is refused, not silently made.
        if request.cluster_id.is_some_and(|id| !id.is_empty()) {
            return Err(ApiError::invalid("InvalidOption", "tokens for one cluster alone are not supported"));
        }
        if request.groups.is_some() || request.group_principals.is_some() {
            return Err(ApiError::invalid("InvalidOption", "a token has the groups of its user"));
        }
        let owner = request.user_id.filter(|id| !id.is_empty());
        let owner = owner.map(|id| UserId::try_from(id.as_str()).map_err(|_| AuthorityError::ForAnotherUser));
        Ok(Self {
            description: request.description.unwrap_or_default(),
            ttl: request.ttl,
            owner: owner.transpose()?,
            ..Self::default()
        })
    }
}
