//! Who is asking: from what a request presents to the proof that a token of ours vouches for it.
//!
//! Only this room makes an [`Authenticated`]; a request that has none reaches no cluster.

mod presented;
mod proof;
mod records;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use http::StatusCode;
use tokio::sync::Semaphore;

pub use presented::{BEARER_PROTOCOL_PREFIX, Presented};
pub use proof::Authenticated;
pub use records::{CachedToken, CachedUser, Records};

use crate::clock;
use crate::store::StoreError;
use crate::telemetry::AuthenticationResult;
use crate::telemetry::Telemetry;
use crate::token::{Bearer, KeyHash, TokenKey};

/// Slow hashes (scrypt, taken over from elsewhere) that may be checked at the same time; each takes 32 MiB.
const SLOW_CHECKS: usize = 2;

/// Checks what requests present. Shared by all workers.
pub struct Authenticator {
    records: Records,
    /// Checked in place of the hash of a name that does not exist, so that an unknown name costs what a wrong key does.
    decoy: KeyHash,
    slow_checks: Arc<Semaphore>,
    telemetry: Arc<Telemetry>,
}

/// Why a request is not authenticated. The client sees one answer for all that are about its credential; the log and
/// the metric have the difference.
#[derive(Debug, thiserror::Error)]
pub enum AuthnError {
    /// No credential at all.
    #[error("no credential")]
    NoCredential,
    /// Something that is not a bearer of ours.
    #[error("malformed credential")]
    Malformed,
    /// More than one credential: which one counts would be a guess.
    #[error("more than one credential")]
    Ambiguous,
    /// No token of that name.
    #[error("unknown token")]
    Unknown,
    /// The token exists, the key is not its key.
    #[error("wrong key")]
    WrongKey,
    /// The token's life is over.
    #[error("token has expired")]
    Expired,
    /// The token is switched off.
    #[error("token is disabled")]
    Disabled,
    /// The token's user is switched off or gone.
    #[error("user is disabled")]
    UserDisabled,
    /// We can't tell: our store does not answer. Never a reason to call the credential bad.
    #[error("token store is unreachable")]
    StoreUnreachable(#[source] StoreError),
    /// We can't tell: what our store holds of this token or user is damaged.
    #[error("stored record is damaged")]
    Corrupt(#[source] StoreError),
}

impl Authenticator {
    /// # Errors
    /// When the operating system has no random bytes to give.
    pub fn new(records: Records, telemetry: Arc<Telemetry>) -> Result<Self, getrandom::Error> {
        let decoy = KeyHash::sha256(&TokenKey::generate()?)?;
        Ok(Self { records, decoy, slow_checks: Arc::new(Semaphore::new(SLOW_CHECKS)), telemetry })
    }

    /// Checks `presented` against the records as they are now: key, expiry, and that token and user are enabled.
    pub async fn authenticate(&self, presented: Presented) -> Result<Authenticated, AuthnError> {
        let checked = self.check(presented).await;
        self.telemetry.metrics.count_authentication(AuthenticationResult::from(&checked));
        checked
    }

    async fn check(&self, presented: Presented) -> Result<Authenticated, AuthnError> {
        let Bearer { name, key } = presented.into_bearer();
        let Some(token) = self.records.token(&name).await.map_err(store_error)? else {
            self.decoy.verify(&key);
            return Err(AuthnError::Unknown);
        };
        if !self.verify(&token, key).await {
            return Err(AuthnError::WrongKey);
        }
        // The key is right from here on: the holder of the token learns nothing new from how long the rest takes.
        if token.record.is_expired(clock::now()) {
            return Err(AuthnError::Expired);
        }
        if !token.record.enabled {
            return Err(AuthnError::Disabled);
        }
        let user = self.records.user(&token.record.user_id).await.map_err(store_error)?;
        let user = user.filter(|user| user.enabled).ok_or(AuthnError::UserDisabled)?;
        Ok(Authenticated::vouched(user, token))
    }

    async fn verify(&self, token: &Arc<CachedToken>, key: TokenKey) -> bool {
        if !token.record.hash.is_slow() {
            return token.record.hash.verify(&key);
        }
        let Ok(permit) = Arc::clone(&self.slow_checks).acquire_owned().await else { return false };
        let token = Arc::clone(token);
        let check = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            token.record.hash.verify(&key)
        });
        check.await.unwrap_or(false)
    }
}

impl From<&Result<Authenticated, AuthnError>> for AuthenticationResult {
    fn from(result: &Result<Authenticated, AuthnError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(error) => error.result(),
        }
    }
}

impl AuthnError {
    /// Whose fault it is, as HTTP says it: 401 only when the caller's credential is bad.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoCredential
            | Self::Malformed
            | Self::Unknown
            | Self::WrongKey
            | Self::Expired
            | Self::Disabled
            | Self::UserDisabled => StatusCode::UNAUTHORIZED,
            Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::StoreUnreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Corrupt(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error as the metric and the log name it.
    pub fn result(&self) -> AuthenticationResult {
        match self {
            Self::NoCredential => AuthenticationResult::NoCredential,
            Self::Malformed => AuthenticationResult::Malformed,
            Self::Ambiguous => AuthenticationResult::Ambiguous,
            Self::Unknown => AuthenticationResult::Unknown,
            Self::WrongKey => AuthenticationResult::WrongKey,
            Self::Expired => AuthenticationResult::Expired,
            Self::Disabled => AuthenticationResult::Disabled,
            Self::UserDisabled => AuthenticationResult::UserDisabled,
            Self::StoreUnreachable(_) | Self::Corrupt(_) => AuthenticationResult::StoreError,
        }
    }
}

fn store_error(error: StoreError) -> AuthnError {
    if matches!(error, StoreError::Corrupt { .. }) {
        AuthnError::Corrupt(error)
    } else {
        AuthnError::StoreUnreachable(error)
    }
}
