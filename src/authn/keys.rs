//! Whether a presented key is a token's: always by a hash, in constant time, and never for long on a thread that serves
//! requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{AuthnError, CachedToken};
use crate::token::{KeyHash, TokenKey};

/// Slow hashes (scrypt, taken over from elsewhere) that may be checked at the same time; each takes 32 MiB and a core
/// for a tenth of a second.
const SLOW_CHECKS: usize = 2;
/// How long a request waits for one of them to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Checks keys.
pub(super) struct KeyCheck {
    /// Checked in place of the hash of a name that does not exist, so that an unknown name costs what a wrong key does.
    decoy: KeyHash,
    slow_checks: Arc<Semaphore>,
}

impl KeyCheck {
    /// # Errors
    /// When the operating system has no random bytes to give.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let decoy = KeyHash::sha256(&TokenKey::generate()?)?;
        Ok(Self { decoy, slow_checks: Arc::new(Semaphore::new(SLOW_CHECKS)) })
    }

    /// Takes the time of a check, for a token that does not exist.
    pub(super) fn pretend(&self, key: &TokenKey) {
        self.decoy.verify(key);
    }

    /// Whether `key` is the key of `token`; [`AuthnError::Busy`] if that could not be found out in time.
    pub(super) async fn verify(&self, token: &Arc<CachedToken>, key: TokenKey) -> Result<bool, AuthnError> {
        match token.fast_hash() {
            Some(hash) => Ok(hash.verify(&key)),
            None => Box::pin(self.verify_slowly(token, key)).await,
        }
    }

    async fn verify_slowly(&self, token: &Arc<CachedToken>, key: TokenKey) -> Result<bool, AuthnError> {
        let slot = timeout(PATIENCE, Arc::clone(&self.slow_checks).acquire_owned()).await;
        let slot = slot.map_err(|_| AuthnError::Busy)?.map_err(|_| AuthnError::Busy)?;
        // Another request may have found the key out meanwhile.
        if let Some(hash) = token.fast_hash() {
            return Ok(hash.verify(&key));
        }
        let token = Arc::clone(token);
        let check = spawn_blocking(move || {
            // The place is taken until the work ends, also if nobody waits for it any more.
            let _slot = slot;
            let verified = token.record.hash.verify(&key);
            if verified {
                token.remember(&key);
            }
            verified
        });
        check.await.map_err(|_| AuthnError::Busy)
    }
}
