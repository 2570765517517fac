//! The feed of changes: whoever keeps copies of records hears of every change before its writer is answered.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::effect::{Committed, Effect};
use crate::identity::{ClusterId, UserId};
use crate::token::TokenName;

/// Something about a record changed (made, changed, deleted): forget what you know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The token of this name.
    Token(TokenName),
    /// The token of this name, which its holder has ended.
    LoggedOut(TokenName),
    /// The user of this id.
    User(UserId),
    /// The cluster of this id, of those that were added.
    Cluster(ClusterId),
    /// Some setting.
    Settings,
}

/// Every change after the subscription, in the order of commits.
#[derive(Debug)]
pub struct ChangeFeed(mpsc::Receiver<Delivery>);

/// One change, on its way to one subscriber. Drop it when the change has been applied: the write it comes from is
/// acknowledged when every subscriber has.
#[derive(Debug)]
pub struct Delivery {
    /// What changed.
    pub change: Change,
    _acknowledgement: Arc<Acknowledgement>,
}

/// Answers the writer when its last holder lets go.
#[derive(Debug)]
pub(super) struct Acknowledgement {
    reply: Option<Reply>,
    outcome: Committed,
}

/// Where the outcome of a write goes.
pub(super) type Reply = oneshot::Sender<Result<Committed, StoreError>>;

/// The subscribers.
#[derive(Debug, Default)]
pub(super) struct Feeds(Mutex<Vec<mpsc::Sender<Delivery>>>);

impl ChangeFeed {
    /// The next change; `None` once the store is closed.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.0.recv().await
    }
}

impl Feeds {
    pub(super) fn subscribe(&self) -> ChangeFeed {
        let (sender, receiver) = mpsc::channel(FEED_CHANGES);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        ChangeFeed(receiver)
    }

    /// Hands the changes of `effect` to every subscriber. The answer to `reply` leaves when all of them have applied all of it.
    /// Waits while a subscriber's feed is full: the writer's thread only.
    pub(super) fn publish(&self, effect: Effect, reply: Reply) {
        let Effect { changes, committed } = effect;
        let acknowledgement = Arc::new(Acknowledgement { reply: Some(reply), outcome: committed });
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for change in changes {
            let delivery =
                || Delivery { change: change.clone(), _acknowledgement: Arc::clone(&acknowledgement) };
            senders.retain(|sender| sender.blocking_send(delivery()).is_ok());
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|sender| !sender.is_closed());
    }
}

impl Drop for Acknowledgement {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            // Nobody waits any more: the write stands all the same.
            let _gone = reply.send(Ok(mem::take(&mut self.outcome)));
        }
    }
}

/// Changes under way to one subscriber before the writer waits for it.
const FEED_CHANGES: usize = 1024;
