//! Tokens for kubeconfigs: a new one, or the one that the client has already.

use super::audit::Act;
use super::issue::{Issued, Place, Plan, limits};
use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::store::StoreError;
use crate::token::{Bearer, TokenKind, TokenRecord, Ttl, ttl};

impl Authority {
    /// A token for a kubeconfig of the caller's. One that is presented in `reuse` is given back if it is of that kind, the
    /// caller's, good, and has more than half of its life before it; so downloads need not pile up tokens.
    pub async fn kubeconfig_token(
        &self,
        caller: &Caller,
        reuse: Option<Bearer>,
    ) -> Result<Issued, AuthorityError> {
        let act = Act::by(caller, "token.create").on_user(&caller.id);
        let issued = self.try_kubeconfig_token(caller, reuse, &act).await;
        self.judged(&act, issued).await
    }

    async fn try_kubeconfig_token(
        &self,
        caller: &Caller,
        reuse: Option<Bearer>,
        act: &Act,
    ) -> Result<Issued, AuthorityError> {
        self.check_maker(caller).await?;
        let settings = self.settings();
        let limits = limits(&settings);
        if let Some(bearer) = reuse
            && let Some(record) = self.reusable(caller, &bearer, limits.max).await?
        {
            return Ok(Issued { record, bearer, clamped: None, reused: true });
        }
        let granted = ttl::grant(TokenKind::Kubeconfig, None, &limits)?;
        let (owner, description) = (caller.id.clone(), "Kubeconfig token".to_owned());
        let plan = Plan::new(TokenKind::Kubeconfig, owner, description, granted, &settings)?;
        self.issue(act, plan, Place::New).await
    }

    async fn reusable(
        &self,
        caller: &Caller,
        bearer: &Bearer,
        max: Ttl,
    ) -> Result<Option<TokenRecord>, AuthorityError> {
        let record = match self.store.token(&bearer.name).await {
            // Nobody is helped by a refusal: a new token is as good.
            Err(StoreError::Corrupt { .. }) => None,
            found => found?,
        };
        let Some(record) = record.filter(|record| is_reusable(record, caller, max)) else { return Ok(None) };
        let (hash, key) = (record.hash.clone(), bearer.key.clone());
        let verified = if hash.is_slow() {
            self.password_work.slot().await?.run(move || hash.verify(&key)).await?
        } else {
            hash.verify(&key)
        };
        Ok(verified.then_some(record))
    }
}

fn is_reusable(record: &TokenRecord, caller: &Caller, max: Ttl) -> bool {
    let now = clock::now();
    let fresh = record.expires_at().is_none_or(|end| end.0.saturating_sub(now.0) > record.ttl.0 / 2);
    let in_use =
        record.enabled && record.replaced_by.is_none() && record.cluster.is_none() && !record.is_expired(now);
    let of_caller = record.kind == TokenKind::Kubeconfig && record.user_id == caller.id;
    // One from before the maximum was lowered is not handed out again.
    fresh && in_use && of_caller && !ttl::is_longer(record.ttl, max)
}
