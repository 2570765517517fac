//! Features: `token-hashing`, which is turned on once and for all.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::audit::Act;
use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::store::{HashingState, HashingStatus};

impl Authority {
    /// Whether the keys of tokens are stored as hashes, and how far that is if it is being done.
    pub fn token_hashing(&self) -> HashingStatus {
        let mut status = self.store.token_hashing();
        // Ordered, and the writer has not come to it: whoever asked for it must not see "off" and think that it failed.
        if status.state == HashingState::Off && self.hashing_order.available_permits() == 0 {
            status.state = HashingState::Backup;
        }
        status
    }

    /// Turns hashing of tokens on, after a backup; for administrators. It goes on by itself, and can't be taken back;
    /// [`token_hashing`](Self::token_hashing) says how far it is. Does nothing where it is on or under way.
    pub async fn enable_token_hashing(
        self: &Arc<Self>,
        caller: &Caller,
    ) -> Result<HashingStatus, AuthorityError> {
        let act = Act::by(caller, "feature.enable");
        let ordered = self.try_enable_hashing(caller, &act).await;
        self.judged(&act, ordered).await?;
        Ok(self.token_hashing())
    }

    /// Never turns it off; for administrators. Where it is off already nothing is asked for.
    pub async fn disable_token_hashing(&self, caller: &Caller) -> Result<HashingStatus, AuthorityError> {
        let act = Act::by(caller, "feature.disable");
        let allowed = self.check_administrator(caller).await;
        self.judged(&act, allowed).await?;
        let status = self.token_hashing();
        let is_off = status.state == HashingState::Off;
        self.judged(&act, if is_off { Ok(status) } else { Err(AuthorityError::HashingIsForGood) }).await
    }

    async fn try_enable_hashing(self: &Arc<Self>, caller: &Caller, act: &Act) -> Result<(), AuthorityError> {
        self.check_administrator(caller).await?;
        let status = self.store.token_hashing();
        if status.state == HashingState::On && status.error.is_none() {
            return Ok(());
        }
        let Ok(order) = Arc::clone(&self.hashing_order).try_acquire_owned() else { return Ok(()) };
        let backup = self.new_backup().await?;
        let (authority, act) = (Arc::clone(self), act.clone());
        tokio::spawn(async move {
            let message = format!("token-hashing, with a backup in {}", backup.display());
            authority.hash_tokens(act, backup, message).await;
            drop(order);
        });
        Ok(())
    }

    /// A path for a backup, in a directory that is there.
    async fn new_backup(&self) -> Result<PathBuf, AuthorityError> {
        let dir = self.policy.backup_dir.clone();
        let time = clock::now().to_string().replace(':', "");
        let path = dir.join(format!("portcullis-{time}-before-token-hashing.db"));
        let made = tokio::task::spawn_blocking({
            let dir = dir.clone();
            move || DirBuilder::new().recursive(true).mode(0o700).create(dir)
        });
        let made = made.await.map_err(|_| AuthorityError::Busy)?;
        made.map_err(|source| AuthorityError::BackupDirectory { path: dir, source })?;
        Ok(path)
    }
}
