//! Who is asking: from what a request presents to the proof that a token of ours vouches for it.
//!
//! Only this room makes an [`Authenticated`]; a request that has none reaches no cluster and has no say in the API.

mod cached;
mod error;
mod keys;
mod presented;
mod proof;
mod records;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

pub use cached::{CachedToken, CachedUser};
pub use error::AuthnError;
pub use presented::{BEARER_PROTOCOL_PREFIX, Presented};
pub use proof::{Authenticated, MetricsReader, Scope};
pub use records::Records;

use crate::clock;
use crate::telemetry::{AuthenticationResult, Telemetry};
use crate::token::Bearer;
use keys::KeyCheck;

/// Checks what requests present. Shared by all workers.
pub struct Authenticator {
    records: Records,
    keys: KeyCheck,
    telemetry: Arc<Telemetry>,
}

impl Authenticator {
    /// # Errors
    /// When the operating system has no random bytes to give.
    pub fn new(records: Records, telemetry: Arc<Telemetry>) -> Result<Self, getrandom::Error> {
        Ok(Self { records, keys: KeyCheck::new()?, telemetry })
    }

    /// Checks `presented` against the records as they are now: key, expiry, and that token and user are enabled. Says
    /// what it is good for.
    pub async fn authenticate(&self, presented: Presented) -> Result<Scope, AuthnError> {
        let checked = self.check(presented).await;
        self.telemetry.metrics.count_authentication(AuthenticationResult::from(&checked));
        checked
    }

    async fn check(&self, presented: Presented) -> Result<Scope, AuthnError> {
        let Bearer { name, key } = presented.into_bearer();
        let Some(token) = self.records.token(&name).await? else {
            self.keys.pretend(&key);
            return Err(AuthnError::Unknown);
        };
        if !self.keys.verify(&token, key).await? {
            return Err(AuthnError::WrongKey);
        }
        // The key is right from here on: the holder of the token learns nothing new from how long the rest takes.
        if token.record.is_expired(clock::now()) {
            return Err(AuthnError::Expired);
        }
        if !token.record.enabled {
            return Err(AuthnError::Disabled);
        }
        let user = self.records.user(&token.record.user_id).await?;
        let user = user.filter(|user| user.enabled).ok_or(AuthnError::UserDisabled)?;
        Ok(Scope::vouched(user, token))
    }
}

impl From<&Result<Scope, AuthnError>> for AuthenticationResult {
    fn from(result: &Result<Scope, AuthnError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(error) => error.result(),
        }
    }
}
