//! Whether, and as whom, an authenticated request may go on. The cluster's own RBAC decides what it may do there.

mod impersonation;

use std::sync::Arc;

use http::HeaderValue;

pub use impersonation::{ClientImpersonation, Impersonation, ImpersonationError};

use crate::authn::{Authenticated, CachedToken, CachedUser, ServiceAccount};
use crate::identity::{ExtraKey, Group, UserInfo, Username};

/// Leave to send one request to a cluster as one user. Not `Clone`: it is used up by the request it is for.
pub struct Permit(By);

/// By what a request has its identity.
enum By {
    /// A token of ours, which has all of it ready to be sent.
    Token { user: Arc<CachedUser>, token: Arc<CachedToken> },
    /// What somebody else vouches for.
    UserInfo(Arc<UserInfo>),
    /// A credential that the cluster is shown in place of ours, and whose it is.
    Bearer(HeaderValue, Arc<UserInfo>),
}

/// Permits a request as the user its token belongs to.
pub fn permit(authenticated: &Authenticated) -> Permit {
    Permit(By::Token { user: Arc::clone(authenticated.user()), token: Arc::clone(authenticated.token()) })
}

/// Permits a request as the service account that its cluster vouches for: on our word, or with the account's own token
/// where that is to be passed through.
pub fn permit_service_account(account: &ServiceAccount) -> Permit {
    let user = Arc::clone(account.user_info());
    Permit(match account.passed_through() {
        Some(bearer) => By::Bearer(bearer, user),
        None => By::UserInfo(user),
    })
}

/// Permits a request as this user.
pub fn permit_user_info(user: Arc<UserInfo>) -> Permit {
    Permit(By::UserInfo(user))
}

impl Permit {
    /// The name of the user that the request runs as.
    pub fn name(&self) -> &Username {
        match &self.0 {
            By::Token { user, .. } => &user.name,
            By::UserInfo(user) | By::Bearer(_, user) => &user.name,
        }
    }

    /// The user's groups, one value each.
    pub fn groups(&self) -> impl Iterator<Item = &HeaderValue> {
        let (ready, named): (&[HeaderValue], &[Group]) = match &self.0 {
            By::Token { user, .. } => (&user.groups, &[]),
            By::UserInfo(user) | By::Bearer(_, user) => (&[], &user.groups),
        };
        ready.iter().chain(named.iter().map(Group::header))
    }

    /// What tells two users of one name apart.
    pub fn uid(&self) -> Option<&HeaderValue> {
        match &self.0 {
            By::Token { user, .. } => Some(&user.uid),
            By::UserInfo(user) | By::Bearer(_, user) => user.uid.as_ref(),
        }
    }

    /// Further facts about the user, one entry a value.
    pub fn extras(&self) -> &[(ExtraKey, HeaderValue)] {
        match &self.0 {
            By::Token { .. } => &[],
            By::UserInfo(user) | By::Bearer(_, user) => &user.extras,
        }
    }

    /// The name of our token that vouches for the request, if one does.
    pub fn token_name(&self) -> Option<&HeaderValue> {
        match &self.0 {
            By::Token { token, .. } => Some(&token.name_header),
            By::UserInfo(_) | By::Bearer(..) => None,
        }
    }

    /// The credential that the cluster is to be shown in place of ours, without a word about an identity.
    pub fn bearer(&self) -> Option<&HeaderValue> {
        match &self.0 {
            By::Token { .. } | By::UserInfo(_) => None,
            By::Bearer(bearer, _) => Some(bearer),
        }
    }
}
