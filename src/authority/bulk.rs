//! Many tokens at once, chosen by a filter: deleting them, and making those shorter that exceed the maximum.

use super::audit::Act;
use super::issue::limits;
use super::{Authority, AuthorityError, Caller};
use crate::store::{self, Committed, MAX_BULK, MAX_PAGE, TokenFilter, TokenQuery, Write};
use crate::token::{TokenName, Ttl};

/// What a bulk change did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bulk {
    /// How many tokens.
    pub count: u64,
    /// The first of them by name, up to a hundred.
    pub names: Vec<TokenName>,
}

impl Authority {
    /// Deletes the tokens that `filter` lets through, but not the one the request came with: the caller's own, or
    /// anybody's for an administrator. With `dry_run` only says which.
    pub async fn delete_tokens(
        &self,
        caller: &Caller,
        filter: TokenFilter,
        dry_run: bool,
    ) -> Result<Bulk, AuthorityError> {
        if filter == TokenFilter::default() {
            self.standing(caller).await?;
            return Err(AuthorityError::FilterMissing);
        }
        let Some(filter) = self.within_reach(caller, filter).await? else { return Ok(Bulk::default()) };
        let filter = TokenFilter { except: Some(caller.token.clone()), ..filter };
        if dry_run {
            return self.preview(filter).await;
        }
        let act = Act::by(caller, "token.delete");
        self.in_parts(filter, Write::DeleteTokens, &act, "by a filter").await
    }

    /// Which of `names` [`delete_tokens`](Self::delete_tokens) would delete by `filter`.
    pub async fn deletable_among(
        &self,
        caller: &Caller,
        filter: TokenFilter,
        names: &[TokenName],
    ) -> Result<Vec<TokenName>, AuthorityError> {
        let Some(filter) = self.within_reach(caller, filter).await? else { return Ok(Vec::new()) };
        let filter = TokenFilter { except: Some(caller.token.clone()), ..filter };
        let mut found = Vec::new();
        for part in names.chunks(NAMES_AT_ONCE) {
            let filter = TokenFilter { names: part.to_vec(), ..filter.clone() };
            let query = TokenQuery { filter, limit: MAX_PAGE, ..TokenQuery::default() };
            found.extend(self.store.tokens(query).await?.items.into_iter().map(|token| token.name));
        }
        Ok(found)
    }

    /// Makes the tokens that `filter` lets through and that live longer than the maximum live as long as that; for
    /// administrators. Kinds that the maximum does not bound are left out. With `dry_run` only says which.
    pub async fn shorten_tokens(
        &self,
        caller: &Caller,
        filter: TokenFilter,
        dry_run: bool,
    ) -> Result<Bulk, AuthorityError> {
        let act = Act::by(caller, "token.shorten");
        let allowed = self.check_administrator(caller).await;
        self.judged(&act, allowed).await?;
        let max = limits(&self.settings()).max;
        if max == Ttl(0) {
            return Err(AuthorityError::NoMaximum);
        }
        let Some(filter) = filter.exceeding(max) else { return Ok(Bulk::default()) };
        if dry_run {
            return self.preview(filter).await;
        }
        let message = format!("ttl {} ms, the maximum", max.0);
        self.in_parts(filter, |part| Write::ShortenTokens(part, max), &act, &message).await
    }

    async fn preview(&self, filter: TokenFilter) -> Result<Bulk, AuthorityError> {
        let count = self.store.count_tokens(filter.clone()).await?;
        let query = TokenQuery { filter, limit: NAMES_SHOWN, ..TokenQuery::default() };
        let names = self.store.tokens(query).await?.items.into_iter().map(|token| token.name).collect();
        Ok(Bulk { count, names })
    }

    /// Part by part, so that other writes get their turn.
    async fn in_parts(
        &self,
        filter: TokenFilter,
        write: impl Fn(store::Bulk) -> Write,
        act: &Act,
        message: &str,
    ) -> Result<Bulk, AuthorityError> {
        let mut done = Bulk::default();
        let mut after = None;
        loop {
            let part = store::Bulk { filter: filter.clone(), after, limit: MAX_BULK };
            let committed = self.commit(write(part), act.clone(), message.to_owned()).await?;
            done.add(&committed);
            match committed.tokens.last() {
                Some(last) => after = Some(last.clone()),
                None => return Ok(done),
            }
        }
    }
}

impl Bulk {
    fn add(&mut self, committed: &Committed) {
        self.count += u64::try_from(committed.count).unwrap_or(u64::MAX);
        let room = usize::try_from(NAMES_SHOWN).unwrap_or(usize::MAX).saturating_sub(self.names.len());
        self.names.extend(committed.tokens.iter().take(room).cloned());
    }
}

/// Names in one question to the store, fewer than a page has.
const NAMES_AT_ONCE: usize = 1000;
/// Names in an answer.
const NAMES_SHOWN: u32 = 100;
