//! The proofs that a request was authenticated. Their fields are private to this file and they have one constructor, so
//! that a search for `vouched` shows everyone who vouches.

use std::sync::Arc;

use super::{CachedToken, CachedUser, Place};
use crate::streams::Owner;
use crate::token::TokenKind;

/// What a token that was presented with its key, is alive, and whose user is enabled, is good for.
pub enum Scope {
    /// Whatever its user may do.
    User(Authenticated),
    /// Reading our own metrics and nothing else.
    Metrics(MetricsReader),
    /// At our own API: asking about itself and deleting itself, and nothing else.
    Itself(Confined),
}

/// A token of ours was presented with its key, is alive, its user is enabled, and it is good for whatever the user may
/// do. There is none for a token that is good for less.
#[derive(Clone)]
pub struct Authenticated {
    user: Arc<CachedUser>,
    token: Arc<CachedToken>,
}

/// Leave to read our own metrics.
pub struct MetricsReader {
    user: Arc<CachedUser>,
}

/// A token that is good for a cluster alone was presented at our own API. Whoever finds such a token can ask whose it is,
/// and end it; what its user may do here is not its own.
pub struct Confined {
    user: Arc<CachedUser>,
    token: Arc<CachedToken>,
}

impl Scope {
    /// For the `place` that the token was checked for.
    pub(super) fn vouched(user: Arc<CachedUser>, token: Arc<CachedToken>, place: Place<'_>) -> Self {
        if token.record.cluster.is_some() && matches!(place, Place::Api) {
            return Self::Itself(Confined { user, token });
        }
        match token.record.kind {
            TokenKind::Telemetry => Self::Metrics(MetricsReader { user }),
            TokenKind::Session
            | TokenKind::ApiKey
            | TokenKind::Kubeconfig
            | TokenKind::KubectlShell
            | TokenKind::Agent
            | TokenKind::Compose
            | TokenKind::Helm
            | TokenKind::DrainNode => Self::User(Authenticated { user, token }),
        }
    }

    /// The user the token belongs to: for the log, which says so also of what is refused.
    pub fn user(&self) -> &CachedUser {
        match self {
            Self::User(authenticated) => &authenticated.user,
            Self::Metrics(reader) => &reader.user,
            Self::Itself(confined) => &confined.user,
        }
    }
}

impl MetricsReader {
    /// The user the token belongs to.
    pub fn user(&self) -> &CachedUser {
        &self.user
    }
}

impl Confined {
    /// The user the token belongs to.
    pub fn user(&self) -> &CachedUser {
        &self.user
    }

    /// The token that was presented.
    pub fn token(&self) -> &CachedToken {
        &self.token
    }
}

impl Authenticated {
    /// The user the token belongs to.
    pub fn user(&self) -> &Arc<CachedUser> {
        &self.user
    }

    /// By whose leave streams of this are open.
    pub fn owner(&self) -> Owner {
        Owner::Token { token: self.token.record.name.clone(), user: self.user.id.clone() }
    }

    /// The token that was presented.
    pub fn token(&self) -> &Arc<CachedToken> {
        &self.token
    }
}
