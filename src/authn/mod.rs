//! Who is asking: from what a request presents to the proof that a token of ours vouches for it.
//!
//! Only this room makes an [`Authenticated`]; a request that has none reaches no cluster and has no say in the API.

mod cached;
mod error;
mod guesses;
#[cfg(test)]
mod interleavings;
mod keeper;
mod keys;
mod presented;
mod proof;
mod records;
mod service_accounts;
mod standing;
#[cfg(test)]
mod streams_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod usage;

use std::sync::Arc;

pub use cached::{CachedToken, CachedUser};
pub use error::AuthnError;
pub use presented::{BEARER_PROTOCOL_PREFIX, Presented, PresentedToken};
pub use proof::{Authenticated, Confined, MetricsReader, Scope};
pub use records::Records;
pub use service_accounts::{AccountError, Jwt, Refusal, ServiceAccount, ServiceAccounts};
pub use usage::{Origin, UsageBook};

use crate::clock::{self, UnixMillis};
use crate::identity::ClusterId;
use crate::setting::LiveSettings;
use crate::streams::{Entry, Registry};
use crate::telemetry::{AuthenticationResult, Telemetry};
use crate::token::{Bearer, TokenKey, TokenKind, TokenName};
use guesses::{Answer, Guesses};
use keys::KeyCheck;

/// What a request is for, which a token can be good for or not.
#[derive(Debug, Clone, Copy)]
pub enum Place<'r> {
    /// The cluster of this id, or one that we don't have.
    Cluster(Option<&'r ClusterId>),
    /// Our own API.
    Api,
}

/// Checks what requests present. Shared by all workers.
pub struct Authenticator {
    records: Records,
    keys: KeyCheck,
    guesses: Guesses,
    settings: LiveSettings,
    telemetry: Arc<Telemetry>,
}

impl Authenticator {
    /// # Errors
    /// When the operating system has no random bytes to give.
    pub fn new(
        records: Records,
        settings: LiveSettings,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, getrandom::Error> {
        Ok(Self { records, keys: KeyCheck::new()?, guesses: Guesses::new(), settings, telemetry })
    }

    /// The live streams that are open by leave of this.
    pub fn streams(&self) -> &Registry {
        self.records.streams()
    }

    /// Checks `presented` against the records as they are now: key, expiry, and that token and user are enabled. Says
    /// what it is good for, and notes the use. The answer to a wrong key is held back if there were too many.
    pub async fn authenticate(
        &self,
        presented: PresentedToken,
        origin: Origin<'_>,
        place: Place<'_>,
    ) -> Result<Scope, AuthnError> {
        let Bearer { name, key } = presented.into_bearer();
        let mut checked = self.check(&name, key, origin, place).await;
        if matches!(checked, Err(AuthnError::Unknown | AuthnError::WrongKey)) {
            let counted = Box::pin(self.guesses.count(origin.address, &name, &self.telemetry.metrics.load));
            if counted.await == Answer::Close {
                checked = Err(AuthnError::TooManyFailures);
            }
        }
        self.telemetry.metrics.count_authentication(AuthenticationResult::from(&checked));
        checked
    }

    async fn check(
        &self,
        name: &TokenName,
        key: TokenKey,
        origin: Origin<'_>,
        place: Place<'_>,
    ) -> Result<Scope, AuthnError> {
        let Some(token) = self.records.token(name).await? else {
            self.keys.pretend(&key);
            return Err(AuthnError::Unknown);
        };
        if !self.keys.verify(&token, key).await? {
            return Err(AuthnError::WrongKey);
        }
        // The key is right from here on: the holder of the token learns nothing new from how long the rest takes.
        let now = clock::now();
        self.check_life(&token, origin, now)?;
        place.check(&token)?;
        let user = self.records.user(&token.record.user_id).await?;
        let user = user.filter(|user| user.enabled).ok_or(AuthnError::UserDisabled)?;
        self.records.usage().note(&token, origin, now);
        Ok(Scope::vouched(user, token, place))
    }

    fn check_life(&self, token: &CachedToken, origin: Origin<'_>, now: UnixMillis) -> Result<(), AuthnError> {
        let record = &token.record;
        if let Some(successor) = &record.replaced_by
            && token.may_report(now)
        {
            let (client, user_agent) = (origin.address.to_canonical(), origin.printable_user_agent());
            let is_expired = record.is_expired(now);
            tracing::info!(token = %record.name, replaced_by = %successor, %client, user_agent, is_expired, "a token that was replaced is used");
        }
        if let Some(end) = record.ended(now) {
            return Err(end.into());
        }
        if self.is_idle_session(token, now) {
            return Err(AuthnError::Idle);
        }
        Ok(())
    }

    /// Looks once more at the token of a stream that has just been entered, and at its user. The stream has been cut
    /// then, or will be by whatever change is still to come.
    pub async fn check_entered(&self, stream: &Arc<Entry>) {
        self.records.check_entered(stream).await;
    }

    /// By the setting as it is now, which may have changed since the last request. A stream that is open is no use: a
    /// terminal left alone overnight is what the setting is for.
    fn is_idle_session(&self, token: &CachedToken, now: UnixMillis) -> bool {
        if token.record.kind != TokenKind::Session {
            return false;
        }
        let limit = self.settings.current().session_idle_ttl();
        !limit.is_none() && now >= token.unused_since().plus(limit.millis())
    }
}

impl Place<'_> {
    /// Whether `token` is good for it. Asked of every request with the record that is in the cache, and never cached
    /// itself: the token that was good for one cluster a moment ago is none for another.
    fn check(self, token: &CachedToken) -> Result<(), AuthnError> {
        match (&token.record.cluster, self) {
            // At our own API for very little, if it is for a cluster: `Scope` says for what.
            (None, _) | (Some(_), Place::Api) => Ok(()),
            (Some(own), Place::Cluster(Some(id))) if own == id => Ok(()),
            (Some(_), Place::Cluster(_)) => Err(AuthnError::WrongCluster),
        }
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
