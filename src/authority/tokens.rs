//! Tokens: making, listing, showing and deleting them.

use super::error::MAX_DESCRIPTION_BYTES;
use super::{Authority, AuthorityError, Caller};
use crate::clock::{self, UnixMillis};
use crate::identity::UserId;
use crate::store::{Insertion, MAX_PAGE, StoreError, TokenFilter, TokenQuery, TokenSort, Write};
use crate::token::{Bearer, KeyHash, TokenKey, TokenKind, TokenName, TokenRecord, Ttl};

/// A token that was just made, with the one copy of its key there will ever be.
#[derive(Debug)]
pub struct Issued {
    /// What is stored.
    pub record: TokenRecord,
    /// What the client presents.
    pub bearer: Bearer,
}

/// An API key, as its owner asks for it.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// Free text.
    pub description: String,
    /// How long it lives.
    pub ttl: Ttl,
    /// For whom; `None` is the caller, and so must anything else be.
    pub owner: Option<UserId>,
}

/// Which tokens to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenScope {
    /// The caller's.
    Own,
    /// Everybody's; for administrators.
    All,
}

impl Authority {
    /// Makes an API key of the caller's.
    pub async fn create_token(&self, caller: &Caller, new: NewToken) -> Result<Issued, AuthorityError> {
        if new.owner.is_some_and(|owner| owner != caller.id) {
            return Err(AuthorityError::ForAnotherUser);
        }
        let purpose = Purpose::new(TokenKind::ApiKey, new.description, new.ttl)?;
        self.create(caller, purpose).await
    }

    /// Makes a token that goes into a kubeconfig of the caller's.
    pub async fn create_kubeconfig_token(
        &self,
        caller: &Caller,
        description: String,
    ) -> Result<Issued, AuthorityError> {
        self.create(caller, Purpose::kubeconfig(description)?).await
    }

    /// Tokens, oldest first, the expired among them.
    pub async fn tokens(
        &self,
        caller: &Caller,
        scope: TokenScope,
    ) -> Result<Vec<TokenRecord>, AuthorityError> {
        let owner = match scope {
            TokenScope::Own => Some(caller.id.clone()),
            TokenScope::All => {
                self.check_administrator(caller).await?;
                None
            }
        };
        let filter = TokenFilter { owner, ..TokenFilter::default() };
        let query =
            TokenQuery { filter, sort: TokenSort::CreatedAt, limit: MAX_PAGE, ..TokenQuery::default() };
        Ok(self.store.tokens(query).await?.items)
    }

    /// One token: the caller's own, or anybody's for an administrator. Another's is not found, as if there were none.
    pub async fn token(&self, caller: &Caller, name: &TokenName) -> Result<TokenRecord, AuthorityError> {
        let token = self.store.token(name).await?.ok_or(AuthorityError::NotFound)?;
        if token.user_id != caller.id && !self.is_administrator(caller).await? {
            return Err(AuthorityError::NotFound);
        }
        Ok(token)
    }

    /// Deletes a token, with the same rights as for seeing it. When this returns, no cache here knows it any more.
    pub async fn delete_token(&self, caller: &Caller, name: &TokenName) -> Result<(), AuthorityError> {
        // An administrator can delete a row that is too corrupt to be read.
        let readable = match self.token(caller, name).await {
            Ok(token) => Some(token),
            Err(AuthorityError::StoreFailed(StoreError::Corrupt { .. }))
                if self.is_administrator(caller).await? =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        if *name == caller.token && readable.is_some_and(|token| token.kind == TokenKind::Session) {
            return Err(AuthorityError::CurrentSession);
        }
        if !self.store.commit(Write::DeleteToken(name.clone()), None).await?.changed() {
            return Err(AuthorityError::NotFound);
        }
        tracing::info!(target: "audit", action = "token.delete", actor = %caller.id, token = %name, "token deleted");
        Ok(())
    }

    /// Makes a token for `owner`, of whom the caller has made sure that it is entitled to it.
    pub(super) async fn issue(&self, owner: &UserId, purpose: Purpose) -> Result<Issued, AuthorityError> {
        let kind = purpose.kind;
        self.issue_named(owner, purpose, || Ok(TokenName::generate(kind, owner)?)).await
    }

    async fn create(&self, caller: &Caller, purpose: Purpose) -> Result<Issued, AuthorityError> {
        self.check_enabled(caller).await?;
        let issued = self.issue(&caller.id, purpose).await?;
        let record = &issued.record;
        tracing::info!(target: "audit", action = "token.create", actor = %caller.id, token = %record.name, kind = record.kind.as_str(), ttl = record.ttl.0, "token created");
        Ok(issued)
    }

    /// Five random letters collide now and then: a taken name is replaced by a new one, with a new key.
    async fn issue_named(
        &self,
        owner: &UserId,
        purpose: Purpose,
        mut name: impl FnMut() -> Result<TokenName, AuthorityError>,
    ) -> Result<Issued, AuthorityError> {
        for _ in 0..NAME_ATTEMPTS {
            let key = TokenKey::generate()?;
            let record = TokenRecord {
                name: name()?,
                user_id: owner.clone(),
                kind: purpose.kind,
                description: purpose.description.clone(),
                created_at: purpose.created_at,
                ttl: purpose.ttl,
                enabled: true,
                hash: KeyHash::sha256(&key)?,
                last_used: None,
                lease_until: None,
                replaced_by: None,
            };
            let insertion = Insertion { record: record.clone(), key: Some(key.clone()), quota: None };
            match self.store.commit(Write::InsertToken(Box::new(insertion)), None).await {
                Ok(_) => return Ok(Issued { bearer: Bearer { name: record.name.clone(), key }, record }),
                Err(StoreError::Exists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AuthorityError::NoRandomness)
    }
}

/// What a new token is for, checked.
#[derive(Debug)]
pub(super) struct Purpose {
    kind: TokenKind,
    description: String,
    ttl: Ttl,
    created_at: UnixMillis,
}

impl Purpose {
    pub(super) fn session(description: String) -> Result<Self, AuthorityError> {
        Self::new(TokenKind::Session, description, SESSION_TTL)
    }

    pub(super) fn kubeconfig(description: String) -> Result<Self, AuthorityError> {
        Self::new(TokenKind::Kubeconfig, description, KUBECONFIG_TTL)
    }

    fn new(kind: TokenKind, description: String, ttl: Ttl) -> Result<Self, AuthorityError> {
        if description.len() > MAX_DESCRIPTION_BYTES {
            return Err(AuthorityError::DescriptionTooLong);
        }
        let created_at = clock::now();
        if created_at.plus(ttl.0) > END_OF_TIME {
            return Err(AuthorityError::TtlOutOfRange);
        }
        Ok(Self { kind, description, ttl, created_at })
    }
}

/// Sixteen hours.
const SESSION_TTL: Ttl = Ttl(16 * 60 * 60 * 1000);

/// Thirty days.
const KUBECONFIG_TTL: Ttl = Ttl(30 * 24 * 60 * 60 * 1000);

/// The last moment that RFC 3339 can write.
const END_OF_TIME: UnixMillis = UnixMillis(253_402_300_799_999);

/// Names tried before giving up. With a million tokens of one kind the eighth fails once in 10⁹ times.
const NAME_ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::testing::House;

    #[tokio::test]
    async fn a_taken_name_is_replaced_and_its_owner_keeps_the_token() {
        let house = House::new().await;
        let taken = house.token_of(&house.root.id).await;
        let mut names =
            vec![TokenName::try_from("token-bbbbb").unwrap(), taken.name.clone(), taken.name.clone()];
        let purpose = || Purpose::session(String::new()).unwrap();
        let next = || names.pop().ok_or(AuthorityError::NoRandomness);
        let issued = house.authority.issue_named(&house.alice.id, purpose(), next).await.unwrap();
        assert_eq!(issued.record.name.as_str(), "token-bbbbb");
        assert_eq!(house.store.token(&taken.name).await.unwrap().unwrap().user_id, house.root.id);
        let exhausted =
            house.authority.issue_named(&house.alice.id, purpose(), || Ok(taken.name.clone())).await;
        assert!(matches!(exhausted, Err(AuthorityError::NoRandomness)));
    }
}
