//! A token as it is stored.

use super::{KeyHash, TokenKind, TokenName};
use crate::clock::UnixMillis;
use crate::identity::{ClusterId, UserId};

/// How long a token lives, in milliseconds from its creation; 0 means that it never expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ttl(pub u64);

/// A use of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub at: UnixMillis,
    /// From which address.
    pub address: String,
    /// What the client says it is; may be empty.
    pub user_agent: String,
}

/// Why a token is good for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenEnd {
    /// Its life, or its lease, is over.
    Expired,
    /// The same, and another has taken its place.
    Rotated,
    /// It is switched off.
    Disabled,
}

/// A token without its key, of which only a salted hash is kept.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// The public name, unique.
    pub name: TokenName,
    /// Whose token it is.
    pub user_id: UserId,
    /// What it is for.
    pub kind: TokenKind,
    /// Free text of its owner.
    pub description: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// How long it lives, fixed at creation.
    pub ttl: Ttl,
    /// False while it is switched off.
    pub enabled: bool,
    /// What its key is checked against.
    pub hash: KeyHash,
    /// When it was last used, as far as was written down.
    pub last_used: Option<LastUse>,
    /// When it ends unless its lease is renewed before; `None` for a token without a lease.
    pub lease_until: Option<UnixMillis>,
    /// The token that has taken its place.
    pub replaced_by: Option<TokenName>,
    /// The one cluster it is good for; `None` is every one, and our own API.
    pub cluster: Option<ClusterId>,
}

impl TokenRecord {
    /// The first moment it is no longer good at; `None` if it never expires.
    pub fn expires_at(&self) -> Option<UnixMillis> {
        (self.ttl != Ttl(0)).then(|| self.created_at.plus(self.ttl.0))
    }

    /// The first moment at which it, or its lease, has expired; `None` if neither ever does.
    pub fn ends_at(&self) -> Option<UnixMillis> {
        [self.expires_at(), self.lease_until].into_iter().flatten().min()
    }

    /// Whether it, or its lease, has expired at `now`.
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.ends_at().is_some_and(|end| now >= end)
    }

    /// What the end of its life counts as.
    pub fn expiry(&self) -> TokenEnd {
        if self.replaced_by.is_some() { TokenEnd::Rotated } else { TokenEnd::Expired }
    }

    /// Why it is good for nothing at `now`, as far as the record alone can say; `None` while it is good.
    pub fn ended(&self, now: UnixMillis) -> Option<TokenEnd> {
        if self.is_expired(now) {
            return Some(self.expiry());
        }
        (!self.enabled).then_some(TokenEnd::Disabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenKey;

    #[test]
    fn a_token_is_good_until_the_last_millisecond_of_its_life() {
        let mut token = TokenRecord {
            name: TokenName::try_from("token-bcdfg").unwrap(),
            user_id: UserId::try_from("user-bcdfg").unwrap(),
            kind: TokenKind::ApiKey,
            description: String::new(),
            created_at: UnixMillis(1_000),
            ttl: Ttl(500),
            enabled: true,
            hash: KeyHash::sha256(&TokenKey::generate().unwrap()).unwrap(),
            last_used: None,
            lease_until: None,
            replaced_by: None,
            cluster: None,
        };
        assert!(!token.is_expired(UnixMillis(1_499)));
        assert!(token.is_expired(UnixMillis(1_500)));
        token.ttl = Ttl(0);
        assert!(!token.is_expired(UnixMillis(u64::MAX)));
        token.ttl = Ttl(u64::MAX);
        assert!(!token.is_expired(UnixMillis(u64::MAX - 1)), "a sum past the end of time must not wrap");
        assert_eq!(token.ended(UnixMillis(1_999)), None);
        token.lease_until = Some(UnixMillis(2_000));
        assert!(!token.is_expired(UnixMillis(1_999)));
        assert!(token.is_expired(UnixMillis(2_000)), "a lease that nobody renews ends the token");
        token.enabled = false;
        assert_eq!(token.ended(UnixMillis(1_999)), Some(TokenEnd::Disabled));
        assert_eq!(token.ended(UnixMillis(2_000)), Some(TokenEnd::Expired));
        token.replaced_by = Some(TokenName::try_from("token-ghjkl").unwrap());
        assert_eq!(
            token.ended(UnixMillis(1_999)),
            Some(TokenEnd::Disabled),
            "a replaced token lives on for its overlap"
        );
        assert_eq!(token.ended(UnixMillis(2_000)), Some(TokenEnd::Rotated));
    }
}
