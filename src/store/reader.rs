//! The readers' threads: few, because SQLite answers from memory, and apart from the threads that serve requests,
//! because now and then it does not.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::mpsc;

/// A read, which answers its asker by itself.
pub(super) type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Serves the queue, which all readers share, until every sender is gone.
pub(super) fn run(connection: &Connection, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // Whoever holds the lock waits for the next read; the others wait for the lock.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        job(connection);
    }
}
