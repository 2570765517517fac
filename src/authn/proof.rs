//! The proof that a request was authenticated. Its fields are private to this file and it has one constructor, so
//! that a search for `vouched` shows everyone who vouches.

use std::sync::Arc;

use super::{CachedToken, CachedUser};

/// A token of ours was presented with its key, is alive, and its user is enabled.
#[derive(Clone)]
pub struct Authenticated {
    user: Arc<CachedUser>,
    token: Arc<CachedToken>,
}

impl Authenticated {
    pub(super) fn vouched(user: Arc<CachedUser>, token: Arc<CachedToken>) -> Self {
        Self { user, token }
    }

    /// The user the token belongs to.
    pub fn user(&self) -> &Arc<CachedUser> {
        &self.user
    }

    /// The token that was presented.
    pub fn token(&self) -> &Arc<CachedToken> {
        &self.token
    }
}
