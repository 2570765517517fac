//! When, from where and with what each token was used last: merged in memory, written to the store once a minute.
//!
//! No request waits for the store on account of this: a use is one entry in a map, at most once a token and second. What
//! a full map has no room for is lost and counted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::CachedToken;
use crate::clock::UnixMillis;
use crate::store::{Store, StoreError, Usage, Write};
use crate::telemetry::Telemetry;
use crate::token::{LastUse, TokenName};

/// How often what has come together is written.
const INTERVAL: Duration = Duration::from_mins(1);
/// Uses in one write: other writes wait meanwhile.
const PART: usize = 1000;
/// As much of a `User-Agent` as is kept.
const MAX_USER_AGENT_BYTES: usize = 256;

/// Where a request comes from.
#[derive(Clone, Copy)]
pub struct Origin<'r> {
    /// The other end of its connection.
    pub address: IpAddr,
    /// What the client says it is.
    pub user_agent: Option<&'r HeaderValue>,
}

/// The uses that are not written yet.
pub struct UsageBook {
    pages: Mutex<Pages>,
    capacity: usize,
    telemetry: Arc<Telemetry>,
}

/// Both are read for what is known of a token: until a use is stored, the store has an older one.
#[derive(Default)]
struct Pages {
    open: HashMap<TokenName, LastUse>,
    being_written: HashMap<TokenName, LastUse>,
}

impl UsageBook {
    /// A book with room for `capacity` tokens between two writes.
    pub(super) fn new(capacity: usize, telemetry: Arc<Telemetry>) -> Self {
        Self { pages: Mutex::default(), capacity, telemetry }
    }

    /// Notes that `token` was used.
    pub(super) fn note(&self, token: &CachedToken, origin: Origin<'_>, now: UnixMillis) {
        if !token.begins_a_second_of_use(now) {
            return;
        }
        let (name, last_use) = (&token.record.name, origin.last_use(now));
        let mut pages = self.pages();
        let is_full = pages.open.len() >= self.capacity;
        match pages.open.get_mut(name) {
            Some(known) => *known = last_use,
            None if is_full => self.telemetry.metrics.tokens.count_usage_lost(1),
            None => {
                pages.open.insert(name.clone(), last_use);
            }
        }
    }

    /// When the token of this name was used last, as far as that is not written yet.
    pub(super) fn last_use(&self, name: &TokenName) -> Option<UnixMillis> {
        let pages = self.pages();
        pages.open.get(name).or_else(|| pages.being_written.get(name)).map(|last_use| last_use.at)
    }

    /// Writes what has come together, each minute and once more when `stop` becomes true. Then it ends.
    pub async fn keep(&self, store: &Store, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            let is_last = tokio::select! {
                _ = ticks.tick() => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            if let Err(error) = self.write(store).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "uses of tokens can't be written yet"
                );
            }
            if is_last {
                return;
            }
        }
    }

    async fn write(&self, store: &Store) -> Result<(), StoreError> {
        for part in self.turn_page().chunks(PART) {
            if let Err(error) = store.commit(Write::NoteUsage(part.to_vec()), None).await {
                self.turn_back();
                return Err(error);
            }
            self.telemetry.metrics.tokens.count_usage_written(part.len() as u64);
        }
        self.pages().being_written.clear();
        Ok(())
    }

    fn turn_page(&self) -> Vec<Usage> {
        let mut pages = self.pages();
        pages.being_written = std::mem::take(&mut pages.open);
        let usages = pages.being_written.iter();
        usages.map(|(token, last_use)| Usage { token: token.clone(), last_use: last_use.clone() }).collect()
    }

    /// What could not be written is tried again, unless the token was used since.
    fn turn_back(&self) {
        let mut pages = self.pages();
        for (token, last_use) in std::mem::take(&mut pages.being_written) {
            let is_full = pages.open.len() >= self.capacity;
            match pages.open.entry(token) {
                Entry::Occupied(_newer) => {}
                Entry::Vacant(_) if is_full => self.telemetry.metrics.tokens.count_usage_lost(1),
                Entry::Vacant(place) => {
                    place.insert(last_use);
                }
            }
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin<'_> {
    fn last_use(&self, at: UnixMillis) -> LastUse {
        LastUse {
            at,
            address: self.address.to_canonical().to_string(),
            user_agent: self.printable_user_agent(),
        }
    }

    /// What the client says it is, without a character that could do anything to a terminal or a page.
    pub(super) fn printable_user_agent(&self) -> String {
        let bytes = self.user_agent.map_or(&[][..], HeaderValue::as_bytes);
        let printable = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
        bytes.iter().take(MAX_USER_AGENT_BYTES).map(printable).collect()
    }
}
