//! Tokens one by one: listing, showing, changing and deleting them.

use super::audit::Act;
use super::issue::{LEASE_MILLIS, check_description, life};
use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::store::{Page, StoreError, TokenQuery, TokenUpdate, Write};
use crate::token::{TokenKind, TokenName, TokenRecord, ttl};

/// What to change about a token; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct TokenChange {
    /// Whether it is switched on.
    pub enabled: Option<bool>,
    /// Free text.
    pub description: Option<String>,
    /// A shorter life, in milliseconds from its creation.
    pub ttl: Option<i64>,
}

impl Authority {
    /// A page of tokens, the expired among them: an administrator's question goes to all, anybody else's to their own.
    pub async fn tokens(
        &self,
        caller: &Caller,
        query: TokenQuery,
    ) -> Result<Page<TokenRecord>, AuthorityError> {
        let Some(filter) = self.within_reach(caller, query.filter).await? else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        Ok(self.store.tokens(TokenQuery { filter, ..query }).await?)
    }

    /// One token: the caller's own, or anybody's for an administrator. Another's is not found, as if there were none.
    pub async fn token(&self, caller: &Caller, name: &TokenName) -> Result<TokenRecord, AuthorityError> {
        let act = Act::by(caller, "token.show").on_token(name);
        self.token_within_reach(caller, name, &act).await
    }

    /// Changes a token: its owner may, and so may an administrator, each what the other has switched off. When this
    /// returns, no cache here knows the old state any more.
    pub async fn update_token(
        &self,
        caller: &Caller,
        name: &TokenName,
        change: TokenChange,
    ) -> Result<TokenRecord, AuthorityError> {
        let action = match change.enabled {
            Some(true) => "token.enable",
            Some(false) => "token.disable",
            None => "token.update",
        };
        let act = Act::by(caller, action).on_token(name);
        let updated = self.try_update(caller, name, change, &act).await;
        self.judged(&act, updated).await
    }

    async fn try_update(
        &self,
        caller: &Caller,
        name: &TokenName,
        change: TokenChange,
        act: &Act,
    ) -> Result<TokenRecord, AuthorityError> {
        let token = self.token_within_reach(caller, name, act).await?;
        let TokenChange { enabled, description, ttl } = change;
        if enabled == Some(false) && is_current_session(caller, &token) {
            return Err(AuthorityError::CurrentSession);
        }
        check_description(description.as_deref().unwrap_or_default())?;
        let ttl = ttl.map(|asked| ttl::shortened(token.ttl, asked)).transpose()?;
        let said = [
            enabled.map(|enabled| if enabled { "enabled".to_owned() } else { "disabled".to_owned() }),
            description.as_ref().map(|_| "description changed".to_owned()),
            ttl.map(|ttl| format!("{} instead of {}", life(ttl), life(token.ttl))),
        ];
        let message = said.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let update = TokenUpdate { enabled, description, ttl, lease_until: None };
        let act = act.clone().on_user(&token.user_id);
        self.commit(Write::UpdateToken(name.clone(), update), act, message).await?;
        self.store.token(name).await?.ok_or(AuthorityError::NotFound)
    }

    /// Renews the lease of a token of the caller's. It is no event: a command does it every few seconds.
    pub async fn renew_lease(
        &self,
        caller: &Caller,
        name: &TokenName,
    ) -> Result<TokenRecord, AuthorityError> {
        self.standing(caller).await?;
        let token = self.store.token(name).await?.filter(|token| token.user_id == caller.id);
        let token = token.ok_or(AuthorityError::NotFound)?;
        let now = clock::now();
        // What has ended stays so, also before it is deleted: the gate has refused it already.
        if token.lease_until.is_none() || token.is_expired(now) {
            return Err(AuthorityError::NotLeased);
        }
        let update = TokenUpdate { lease_until: Some(now.plus(LEASE_MILLIS)), ..TokenUpdate::default() };
        self.store.commit(Write::UpdateToken(name.clone(), update), None).await?;
        self.store.token(name).await?.ok_or(AuthorityError::NotFound)
    }

    /// Deletes a token, with the same rights as for changing it. When this returns, no cache here knows it any more.
    pub async fn delete_token(&self, caller: &Caller, name: &TokenName) -> Result<(), AuthorityError> {
        let act = Act::by(caller, "token.delete").on_token(name);
        let deleted = self.try_delete(caller, name, &act).await;
        self.judged(&act, deleted).await
    }

    async fn try_delete(&self, caller: &Caller, name: &TokenName, act: &Act) -> Result<(), AuthorityError> {
        // An administrator can delete a row that is too corrupt to be read.
        let readable = match self.token_within_reach(caller, name, act).await {
            Ok(token) => Some(token),
            Err(AuthorityError::StoreFailed(StoreError::Corrupt { .. }))
                if self.is_administrator(caller).await? =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        if readable.as_ref().is_some_and(|token| is_current_session(caller, token)) {
            return Err(AuthorityError::CurrentSession);
        }
        let (act, message) = match &readable {
            Some(token) => (act.clone().on_user(&token.user_id), token.kind.as_str()),
            None => (act.clone(), "its record was corrupt"),
        };
        let committed = self.commit(Write::DeleteToken(name.clone()), act, message.to_owned()).await?;
        if committed.changed() { Ok(()) } else { Err(AuthorityError::NotFound) }
    }
}

/// A session ends by logging out: a page that deletes or disables its own would be left with a cookie for nothing.
fn is_current_session(caller: &Caller, token: &TokenRecord) -> bool {
    token.name == caller.token && token.kind == TokenKind::Session
}
