//! Tokens for kubeconfigs: a new one, or the one that the client has already.

use super::audit::Act;
use super::issue::{Issued, Place, Plan, limits};
use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::identity::ClusterId;
use crate::store::StoreError;
use crate::token::{Bearer, TokenKind, TokenRecord, Ttl, ttl};

impl Authority {
    /// A token for a kubeconfig of the caller's, good for `scope` alone if that is given. One that is presented in `reuse`
    /// is given back if it is of that kind and scope, the caller's, good, and has more than half of its life before it; so
    /// downloads need not pile up tokens.
    pub async fn kubeconfig_token(
        &self,
        caller: &Caller,
        reuse: &[Bearer],
        scope: Option<&ClusterId>,
    ) -> Result<Issued, AuthorityError> {
        let act = Act::by(caller, "token.create").on_user(&caller.id);
        let issued = self.try_kubeconfig_token(caller, reuse, scope, &act).await;
        self.judged(&act, issued).await
    }

    async fn try_kubeconfig_token(
        &self,
        caller: &Caller,
        reuse: &[Bearer],
        scope: Option<&ClusterId>,
        act: &Act,
    ) -> Result<Issued, AuthorityError> {
        self.check_maker(caller).await?;
        let settings = self.settings();
        let limits = limits(&settings);
        if let Some(cluster) = scope {
            self.check_scope(cluster)?;
        }
        for bearer in reuse {
            if let Some(record) = self.reusable(caller, bearer, scope, limits.max).await? {
                return Ok(Issued { record, bearer: bearer.clone(), clamped: None, reused: true });
            }
        }
        let granted = ttl::grant(TokenKind::Kubeconfig, None, &limits)?;
        let (owner, description) = (caller.id.clone(), "Kubeconfig token".to_owned());
        let plan = Plan::new(TokenKind::Kubeconfig, owner, description, granted, &settings)?;
        self.issue(act, Plan { cluster: scope.cloned(), ..plan }, Place::New).await
    }

    async fn reusable(
        &self,
        caller: &Caller,
        bearer: &Bearer,
        scope: Option<&ClusterId>,
        max: Ttl,
    ) -> Result<Option<TokenRecord>, AuthorityError> {
        let record = match self.store.token(&bearer.name).await {
            // Nobody is helped by a refusal: a new token is as good.
            Err(StoreError::Corrupt { .. }) => None,
            found => found?,
        };
        let Some(record) = record.filter(|record| is_reusable(record, caller, scope, max)) else {
            return Ok(None);
        };
        let (hash, key) = (record.hash.clone(), bearer.key.clone());
        let verified = if hash.is_slow() {
            self.password_work.slot().await?.run(move || hash.verify(&key)).await?
        } else {
            hash.verify(&key)
        };
        Ok(verified.then_some(record))
    }
}

fn is_reusable(record: &TokenRecord, caller: &Caller, scope: Option<&ClusterId>, max: Ttl) -> bool {
    let now = clock::now();
    let fresh = record.expires_at().is_none_or(|end| end.0.saturating_sub(now.0) > record.ttl.0 / 2);
    let in_use = record.enabled && record.replaced_by.is_none() && !record.is_expired(now);
    let of_caller = record.kind == TokenKind::Kubeconfig && record.user_id == caller.id;
    let of_scope = record.cluster.as_ref() == scope;
    // One from before the maximum was lowered is not handed out again.
    fresh && in_use && of_caller && of_scope && !ttl::is_longer(record.ttl, max)
}
