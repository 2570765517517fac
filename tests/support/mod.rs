//! The rig of the integration tests: a stub of an apiserver that records every byte, the real binary in front of it,
//! and raw clients that can say what no well-behaved client would.

pub(crate) mod accounts;
pub(crate) mod added;
pub(crate) mod browser;
pub(crate) mod canary;
pub(crate) mod certificates;
pub(crate) mod chaos;
pub(crate) mod command_line;
pub(crate) mod database;
pub(crate) mod directory;
pub(crate) mod expect;
pub(crate) mod gate;
pub(crate) mod live;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod mounted;
pub(crate) mod report;
pub(crate) mod rig;
pub(crate) mod streams;
pub(crate) mod stub;
pub(crate) mod terminal;
pub(crate) mod tunnel;
pub(crate) mod wire;

use std::time::Duration;

/// How long anything may take that is not itself about time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The outcome of `future`, or a failed test that says what was awaited.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}
