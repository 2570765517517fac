//! Rotation: a successor with a new key takes a token's place, at once or after an overlap.

use std::time::Duration;

use super::audit::Act;
use super::error::MAX_OVERLAP;
use super::issue::{Issued, Place, Plan, limits};
use super::rights::check_kind;
use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::token::{TokenName, ttl};

/// How a token is to be rotated.
#[derive(Debug, Clone, Default)]
pub struct Rotation {
    /// How long the old token stays good beside the new one, if it lives that long: up to a week.
    pub overlap: Duration,
    /// How long the new token is to live, as for one that is made anew.
    pub ttl: Option<i64>,
    /// Free text for the new one; `None` is the old one's.
    pub description: Option<String>,
}

impl Authority {
    /// Makes a successor of the same kind and owner. Whoever may make such a token for that owner may rotate it; a token
    /// may rotate itself.
    pub async fn rotate_token(
        &self,
        caller: &Caller,
        name: &TokenName,
        rotation: Rotation,
    ) -> Result<Issued, AuthorityError> {
        let act = Act::by(caller, "token.rotate").on_token(name);
        let issued = self.try_rotate(caller, name, rotation, &act).await;
        self.judged(&act, issued).await
    }

    async fn try_rotate(
        &self,
        caller: &Caller,
        name: &TokenName,
        rotation: Rotation,
        act: &Act,
    ) -> Result<Issued, AuthorityError> {
        let administrator = self.check_maker(caller).await?.administrator;
        let old = self.token_within_reach(caller, name, act).await?;
        let (lease, for_self) = (old.lease_until.is_some(), old.user_id == caller.id);
        check_kind(old.kind, administrator, for_self, lease)?;
        if rotation.overlap > MAX_OVERLAP {
            return Err(AuthorityError::OverlapTooLong);
        }
        let now = clock::now();
        // Its successor would be good again.
        if !old.enabled || old.is_expired(now) {
            return Err(AuthorityError::NotRotatable);
        }
        let settings = self.settings();
        let granted = ttl::grant(old.kind, rotation.ttl, &limits(&settings))?;
        let description = rotation.description.unwrap_or(old.description);
        let act = act.clone().on_user(&old.user_id);
        // What comes after it is good for no more than it is.
        let cluster = old.cluster;
        let plan =
            Plan { lease, cluster, ..Plan::new(old.kind, old.user_id, description, granted, &settings)? };
        let overlap = u64::try_from(rotation.overlap.as_millis()).unwrap_or(u64::MAX);
        // Without an overlap the old one has ended when its successor is counted, so a quota never stands in the way.
        self.issue(&act, plan, Place::SuccessorOf(old.name, now.plus(overlap))).await
    }
}
