//! Who may do what: read from the store at each act.

use super::audit::Act;
use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::store::TokenFilter;
use crate::token::{Maker, TokenKind, TokenName, TokenRecord};

/// What the store says of a caller, as of now.
pub(super) struct Standing {
    pub(super) administrator: bool,
    on_lease: bool,
}

impl Authority {
    /// How the caller stands now, which may be worse than when the request was authenticated: user and token are there
    /// and switched on, or the caller is gone. A token on a lease is for its command, and one for a cluster alone for that
    /// cluster: neither has an administrator's rights.
    pub(super) async fn standing(&self, caller: &Caller) -> Result<Standing, AuthorityError> {
        let user = self.store.user(&caller.id).await?.filter(|user| user.enabled);
        let user = user.ok_or(AuthorityError::CallerGone)?;
        let token = self.store.token(&caller.token).await?;
        let good = |token: &TokenRecord| {
            token.enabled && token.user_id == caller.id && !token.is_expired(clock::now())
        };
        let token = token.filter(good).ok_or(AuthorityError::CallerGone)?;
        let on_lease = token.lease_until.is_some();
        let administrator = user.admin && !on_lease && token.cluster.is_none();
        Ok(Standing { administrator, on_lease })
    }

    pub(super) async fn is_administrator(&self, caller: &Caller) -> Result<bool, AuthorityError> {
        Ok(self.standing(caller).await?.administrator)
    }

    pub(super) async fn check_administrator(&self, caller: &Caller) -> Result<(), AuthorityError> {
        if self.is_administrator(caller).await? { Ok(()) } else { Err(AuthorityError::NotAdministrator) }
    }

    /// How the caller stands, if its token may make others: one on a lease may not, as what it made would outlive it.
    pub(super) async fn check_maker(&self, caller: &Caller) -> Result<Standing, AuthorityError> {
        let standing = self.standing(caller).await?;
        if standing.on_lease { Err(AuthorityError::CallerOnLease) } else { Ok(standing) }
    }

    /// Which of the tokens that `filter` lets through are within the caller's reach: all for an administrator, one's own for
    /// others; `None` if it asks for another's alone, which are not there, as when one of them is asked for by name.
    pub(super) async fn within_reach(
        &self,
        caller: &Caller,
        filter: TokenFilter,
    ) -> Result<Option<TokenFilter>, AuthorityError> {
        if self.is_administrator(caller).await? {
            return Ok(Some(filter));
        }
        let is_anothers = filter.owner.as_ref().is_some_and(|owner| *owner != caller.id);
        Ok((!is_anothers).then(|| TokenFilter { owner: Some(caller.id.clone()), ..filter }))
    }

    /// A token that the caller may do `act` to: the caller's own, or anybody's for an administrator. Another's is not
    /// found, as if there were none, and the attempt is written down.
    pub(super) async fn token_within_reach(
        &self,
        caller: &Caller,
        name: &TokenName,
        act: &Act,
    ) -> Result<TokenRecord, AuthorityError> {
        let administrator = self.is_administrator(caller).await?;
        let token = self.store.token(name).await?.ok_or(AuthorityError::NotFound)?;
        if token.user_id != caller.id && !administrator {
            let act = act.clone().on_user(&token.user_id);
            self.refused(act, "the token is another user's".to_owned()).await;
            return Err(AuthorityError::NotFound);
        }
        Ok(token)
    }
}

/// Whether somebody may make a token of `kind`: an administrator or not, for themselves or not, on a lease or not.
pub(super) fn check_kind(
    kind: TokenKind,
    administrator: bool,
    for_self: bool,
    lease: bool,
) -> Result<(), AuthorityError> {
    let maker = kind.rules().maker;
    if lease && matches!(maker, Maker::Login | Maker::Owner) {
        return Err(AuthorityError::NoLease(kind));
    }
    match maker {
        Maker::Login => Err(AuthorityError::MadeByLogin(kind)),
        Maker::Owner if for_self => Ok(()),
        Maker::OwnerWithLease | Maker::Administrator if administrator => Ok(()),
        Maker::OwnerWithLease if for_self && lease => Ok(()),
        Maker::OwnerWithLease if for_self => Err(AuthorityError::LeaseRequired(kind)),
        Maker::Owner | Maker::OwnerWithLease => Err(AuthorityError::ForAnotherUser),
        Maker::Administrator => Err(AuthorityError::NotAdministrator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user for himself, for himself on a lease, for another, for another on a lease; then an administrator.
    type Row = [&'static str; 8];

    const LOGIN: Row = ["login", "no lease", "login", "no lease", "login", "no lease", "login", "no lease"];
    const OWN: Row = ["yes", "no lease", "self only", "no lease", "yes", "no lease", "self only", "no lease"];
    const LEASED: Row = ["lease", "yes", "self only", "self only", "yes", "yes", "yes", "yes"];
    const ADMIN: Row = ["admin", "admin", "admin", "admin", "yes", "yes", "yes", "yes"];

    #[test]
    fn who_may_make_which_kind_for_whom() {
        use AuthorityError as E;
        let name = |answer: Result<(), E>| match answer {
            Ok(()) => "yes",
            Err(E::MadeByLogin(_)) => "login",
            Err(E::ForAnotherUser) => "self only",
            Err(E::LeaseRequired(_)) => "lease",
            Err(E::NoLease(_)) => "no lease",
            Err(E::NotAdministrator) => "admin",
            Err(other) => panic!("{other}"),
        };
        for (kind, row) in [
            (TokenKind::Session, LOGIN),
            (TokenKind::ApiKey, OWN),
            (TokenKind::Kubeconfig, OWN),
            (TokenKind::KubectlShell, LEASED),
            (TokenKind::Compose, LEASED),
            (TokenKind::Helm, LEASED),
            (TokenKind::DrainNode, LEASED),
            (TokenKind::Agent, ADMIN),
            (TokenKind::Telemetry, ADMIN),
        ] {
            let mut answers = Vec::new();
            for administrator in [false, true] {
                for for_self in [true, false] {
                    for lease in [false, true] {
                        answers.push(name(check_kind(kind, administrator, for_self, lease)));
                    }
                }
            }
            assert_eq!(answers, row, "{kind:?}");
        }
    }
}
