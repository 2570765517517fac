//! Whether, and as whom, an authenticated request may go on. The cluster's own RBAC decides what it may do there.

use std::sync::Arc;

use crate::authn::{Authenticated, CachedToken, CachedUser};

/// Leave to send one request to a cluster as one user. Not `Clone`: it is used up by the request it is for.
pub struct Permit {
    user: Arc<CachedUser>,
    token: Arc<CachedToken>,
}

/// Permits a request as the user its token belongs to.
pub fn permit(authenticated: &Authenticated) -> Permit {
    Permit { user: Arc::clone(authenticated.user()), token: Arc::clone(authenticated.token()) }
}

impl Permit {
    /// The user the request runs as.
    pub fn user(&self) -> &CachedUser {
        &self.user
    }

    /// The token that vouches for it.
    pub fn token(&self) -> &CachedToken {
        &self.token
    }
}
