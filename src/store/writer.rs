//! The writer's thread. What has queued up goes into one transaction, so that many writers share one flush to disk.

use std::fs::File;
use std::mem;
use std::sync::Arc;

use rusqlite::{Connection, Transaction};
use tokio::sync::mpsc;

use super::effect::Effect;
use super::feed::{Feeds, Reply};
use super::write::Request;
use super::{StoreError, hashing};

/// What the writer is asked for. Once queued it is done, whether or not somebody still waits.
#[derive(Debug)]
pub(super) enum Job {
    /// A write and who waits for it.
    Write(Request, Reply),
    /// That keys be hashed from now on.
    EnableHashing(hashing::Order),
}

/// Whoever has this is the only one that writes.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    feeds: Arc<Feeds>,
    hashing: hashing::Status,
    /// Held as long as the connection is open.
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        feeds: Arc<Feeds>,
        hashing: hashing::Status,
        lock: File,
    ) -> Self {
        Self { connection, feeds, hashing, _lock: lock }
    }

    /// Serves the queue until every sender is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while queue.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
            let (mut writes, mut replies) = (Vec::new(), Vec::new());
            for job in batch.drain(..) {
                match job {
                    Job::Write(request, reply) => {
                        writes.push(request);
                        replies.push(reply);
                    }
                    Job::EnableHashing(order) => {
                        self.write(&mem::take(&mut writes), mem::take(&mut replies));
                        self.enable_hashing(order);
                    }
                }
            }
            self.write(&writes, replies);
        }
    }

    fn write(&mut self, writes: &[Request], replies: Vec<Reply>) {
        if writes.is_empty() {
            return;
        }
        match commit(&mut self.connection, writes) {
            Ok(outcomes) => answer(&self.feeds, outcomes, replies),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    writes = writes.len(),
                    "writes failed"
                );
                for reply in replies {
                    let _gone = reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn enable_hashing(&mut self, order: hashing::Order) {
        let event = order.event.as_ref();
        let done = hashing::enable(&mut self.connection, &self.hashing, &order.backup, event);
        let _gone = order.reply.send(done);
    }
}

/// What each write of a batch came to.
type Outcomes = Vec<Result<Effect, StoreError>>;

/// All of `writes` in one transaction, each in a savepoint of its own: one that fails takes back only itself.
/// An error means that none of them was done.
fn commit(connection: &mut Connection, writes: &[Request]) -> Result<Outcomes, StoreError> {
    let mut transaction = connection.transaction()?;
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        outcomes.push(apply(&mut transaction, write)?);
    }
    transaction.commit()?;
    Ok(outcomes)
}

/// The outer error fails the whole batch: after an I/O error or on a full disk SQLite may have taken the transaction
/// back by itself, and what came next would stand alone, outside of any.
fn apply(
    transaction: &mut Transaction<'_>,
    write: &Request,
) -> Result<Result<Effect, StoreError>, StoreError> {
    let savepoint = transaction.savepoint()?;
    match write.apply(&savepoint) {
        Ok(effect) => {
            savepoint.commit()?;
            Ok(Ok(effect))
        }
        Err(outage @ StoreError::Unreachable(_)) => Err(outage),
        Err(refusal) => {
            savepoint.finish()?;
            Ok(Err(refusal))
        }
    }
}

fn answer(feeds: &Feeds, outcomes: Outcomes, replies: Vec<Reply>) {
    for (outcome, reply) in outcomes.into_iter().zip(replies) {
        match outcome {
            Ok(effect) => feeds.publish(effect, reply),
            Err(refusal) => {
                let _gone = reply.send(Err(refusal));
            }
        }
    }
}

/// Writes in one transaction.
const MAX_BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{TempDir, insertion, token, user};
    use crate::store::write::Write;
    use crate::store::{Outage, rows, schema};

    #[test]
    fn a_full_disk_loses_nothing_that_was_acknowledged_and_keeps_nothing_that_was_not() {
        let dir = TempDir::new();
        let path = schema::prepare_files(dir.path()).unwrap();
        let mut connection = schema::open_writer(&path, None).unwrap();
        let alice = user("alice", false);
        let request = |write| Request { write: Some(write), event: None };
        let add = |record: &crate::token::TokenRecord| request(Write::InsertToken(insertion(record.clone())));
        commit(&mut connection, &[request(Write::InsertUser(Box::new(alice.clone())))]).unwrap();
        connection.pragma_update(None, "max_page_count", 64).unwrap();

        let mut acknowledged = Vec::new();
        let (failed, error) = loop {
            let batch: Vec<_> = (0..16).map(|_| token(&alice.id).0).collect();
            let writes: Vec<Request> = batch.iter().map(add).collect();
            match commit(&mut connection, &writes) {
                Ok(outcomes) => {
                    let done = batch.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok());
                    acknowledged.extend(done.map(|(record, _)| record));
                }
                Err(error) => break (batch, error),
            }
        };
        assert!(matches!(error, StoreError::Unreachable(Outage::Database(_))), "{error:?}");
        assert!(!acknowledged.is_empty());
        let exists = |record: &crate::token::TokenRecord, connection: &Connection| {
            rows::token(connection, &record.name).unwrap().is_some()
        };
        assert!(acknowledged.iter().all(|record| exists(record, &connection)));
        assert!(!failed.iter().any(|record| exists(record, &connection)));

        connection.pragma_update(None, "max_page_count", 4096).unwrap();
        let again: Vec<Request> = failed.iter().map(add).collect();
        commit(&mut connection, &again).unwrap();
        assert!(failed.iter().all(|record| exists(record, &connection)), "it recovers without a restart");
    }
}
