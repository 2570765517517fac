//! Whether streams that are open may go on: their token and its user are looked at again when they are entered, after
//! every change of either, and when it is time.
//!
//! An entry of a cache is forgotten before the streams are looked for, and a stream is entered before its token is looked
//! up again. So a stream that the one does not find sees in the other that its token is gone (`interleavings.rs`
//! of this room has that as a model).

use std::sync::Arc;
use std::time::Instant;

use super::{CachedToken, CachedUser, Records};
use crate::clock::{self, SECOND, UnixMillis};
use crate::identity::UserId;
use crate::store::StoreError;
use crate::streams::{Cut, CutReason, End, Entry, Life, Owner};
use crate::token::{TokenEnd, TokenKind, TokenName};

/// Milliseconds after which a session is looked at again: no change on the feed says that it was unused for too long.
const SESSION_INTERVAL: u64 = SECOND;

/// What the records say of an owner.
pub(super) enum Standing {
    Good(Arc<CachedToken>, Arc<CachedUser>),
    Ended(CutReason),
}

impl Records {
    /// Looks once more at the owner of a stream that has just been entered. Afterwards the stream has been cut, or will be
    /// by whatever change comes.
    pub(super) async fn check_entered(&self, entry: &Arc<Entry>) {
        let owner = entry.owner();
        let Owner::Token { token, user } = owner else { return };
        match self.standing(token, user).await {
            Ok(Standing::Good(_, user)) => {
                if has_lost_groups(entry, &user) {
                    self.streams().cut_one(entry, Cut::now(CutReason::GroupsLost));
                }
            }
            Ok(Standing::Ended(reason)) => {
                self.streams().cut_owner(owner, |_| true, Cut::now(reason));
            }
            Err(error) => self.postpone(owner, &error),
        }
    }

    /// The streams of a token that has changed, or is gone for this reason, as was known `at`.
    pub(super) async fn judge_token(&self, name: &TokenName, gone: CutReason, at: Instant) {
        let Some(owner) = self.streams().owner_of_token(name) else { return };
        match self.life(name).await {
            Ok(Ok(_)) => {}
            Ok(Err(CutReason::Deleted)) => {
                self.streams().cut_owner(&owner, |_| true, Cut { reason: gone, at });
            }
            Ok(Err(reason)) => {
                self.streams().cut_owner(&owner, |_| true, Cut { reason, at });
            }
            Err(error) => self.postpone(&owner, &error),
        }
    }

    /// The streams of a user who has changed or is gone, as was known `at`.
    pub(super) async fn judge_user(&self, id: &UserId, at: Instant) {
        let owners = self.streams().owners(|owner| owner.user() == Some(id));
        if owners.is_empty() {
            return;
        }
        let cut = |which: &dyn Fn(&Entry) -> bool, reason| {
            self.streams()
                .cut_at(|entry| entry.owner().user() == Some(id) && which(entry), Cut { reason, at })
        };
        match self.user(id).await {
            Ok(None) => cut(&|_| true, CutReason::UserDeleted),
            Ok(Some(user)) if !user.enabled => cut(&|_| true, CutReason::UserDisabled),
            Ok(Some(user)) => cut(&|entry| has_lost_groups(entry, &user), CutReason::GroupsLost),
            Err(error) => {
                for owner in &owners {
                    self.postpone(owner, &error);
                }
                0
            }
        };
    }

    /// The streams of an owner for whom it is time.
    pub(super) async fn judge(
        &self,
        token: &TokenName,
        user: &UserId,
        is_idle: impl Fn(&CachedToken) -> bool,
    ) {
        let owner = Owner::Token { token: token.clone(), user: user.clone() };
        let cut = |which: &dyn Fn(&Entry) -> bool, reason| {
            self.streams().cut_owner(&owner, which, Cut::now(reason));
        };
        match self.standing(token, user).await {
            Ok(Standing::Good(token, _)) if is_idle(&token) => cut(&|_| true, CutReason::Idle),
            Ok(Standing::Good(_, user)) => cut(&|entry| has_lost_groups(entry, &user), CutReason::GroupsLost),
            Ok(Standing::Ended(reason)) => cut(&|_| true, reason),
            Err(error) => self.postpone(&owner, &error),
        }
    }

    async fn standing(&self, token: &TokenName, user: &UserId) -> Result<Standing, StoreError> {
        let token = match self.life(token).await? {
            Ok(token) => token,
            Err(reason) => return Ok(Standing::Ended(reason)),
        };
        Ok(match self.user(user).await? {
            None => Standing::Ended(CutReason::UserDeleted),
            Some(user) if !user.enabled => Standing::Ended(CutReason::UserDisabled),
            Some(user) => Standing::Good(token, user),
        })
    }

    /// Tells the registry how long the streams of a token may live by its record, or why they may not.
    async fn life(&self, name: &TokenName) -> Result<Result<Arc<CachedToken>, CutReason>, StoreError> {
        loop {
            let Some(token) = self.token(name).await? else { return Ok(Err(CutReason::Deleted)) };
            let life = match life_of(&token, clock::now()) {
                Ok(life) => life,
                Err(reason) => return Ok(Err(reason)),
            };
            let owner = Owner::Token { token: name.clone(), user: token.record.user_id.clone() };
            self.streams().set_life(&owner, life);
            // Several may be doing this at once. Who read the record before it changed must not have the last word: the
            // cache is forgotten before the feed's own judgement, so what is read now is what that one reads, or newer.
            let newest = self.token(name).await?;
            if newest.is_some_and(|newest| newest.record.ends_at() == token.record.ends_at()) {
                return Ok(Ok(token));
            }
        }
    }

    fn postpone(&self, owner: &Owner, error: &StoreError) {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, ?owner, "can't tell yet whether open streams may go on");
        self.streams().postpone(owner, clock::now());
    }
}

/// How long the streams of a token may live, as far as its record says.
fn life_of(token: &CachedToken, now: UnixMillis) -> Result<Life, CutReason> {
    let record = &token.record;
    if let Some(end) = record.ended(now) {
        return Err(reason_of(end));
    }
    let ends = record.ends_at().map(|at| End { at, reason: reason_of(record.expiry()) });
    let look_again = (record.kind == TokenKind::Session).then(|| now.plus(SESSION_INTERVAL));
    Ok(Life { ends, look_again })
}

/// As what the end of a token counts for its streams.
fn reason_of(end: TokenEnd) -> CutReason {
    match end {
        TokenEnd::Expired => CutReason::Expired,
        TokenEnd::Rotated => CutReason::Rotated,
        TokenEnd::Disabled => CutReason::Disabled,
    }
}

/// Whether the stream runs with a group that its user has no longer. Who has gained one keeps the stream: it can do no
/// more than its request could.
fn has_lost_groups(entry: &Entry, user: &CachedUser) -> bool {
    entry.groups().iter().any(|group| !user.groups.contains(group))
}
