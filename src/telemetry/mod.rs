//! What an operator sees: metrics, one access-log line a request, and the program's own log.
//!
//! Nothing here makes a request wait: counting is an atomic addition, and a line goes through a bounded queue to a
//! thread that formats and writes it. When the queue is full the line is dropped and counted.

mod entry;
mod histogram;
mod impersonation;
mod labels;
mod line;
mod load_metrics;
mod logs;
mod metrics;
mod record;
mod review_metrics;
mod stream_metrics;
mod token_metrics;
mod upkeep_metrics;
mod writer;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::Log;

pub use impersonation::ImpersonationResult;
pub use labels::{AuthenticationResult, CacheOutcome, UpstreamPool, VerbClass};
pub use load_metrics::{Level, LoadMetrics};
pub use logs::{LoggingError, init_logging, set_log_level, with_causes};
pub use metrics::{ConnectionGauge, EXPOSITION_TYPE, Metrics};
pub use record::RequestRecord;
pub use review_metrics::{ReviewMetrics, ReviewResult};
pub use stream_metrics::{CutReason, StreamKind, StreamMetrics};
pub use token_metrics::TokenMetrics;
pub use upkeep_metrics::{EndpointMetrics, EndpointSeries, ReloadMetrics, Reloaded};

use entry::Entry;
use writer::AccessLog;

/// The metrics and the access log of this process. The default has no access log.
#[derive(Default)]
pub struct Telemetry {
    /// Everything that is counted.
    pub metrics: Metrics,
    access_log: Option<AccessLog>,
    /// Whether requests have their lines.
    has_lines: AtomicBool,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Starts the access log as `log` says, with a queue of `queue_lines`, written to `output` by a thread of its own.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn start(log: &Log, queue_lines: usize, output: Box<dyn Write + Send>) -> io::Result<Arc<Self>> {
        let metrics = Metrics::new();
        let access_log =
            AccessLog::start(log.format, queue_lines, output, metrics.log_lines_dropped.clone())?;
        let (access_log, has_lines) = (Some(access_log), AtomicBool::new(log.access));
        Ok(Arc::new(Self { metrics, access_log, has_lines }))
    }

    /// From now on requests that end have their lines, or have none.
    pub fn set_access_log(&self, on: bool) {
        self.has_lines.store(on, Ordering::Relaxed);
    }

    /// Writes the line of a request, if requests have lines.
    fn write(&self, entry: Box<Entry>) {
        if let Some(log) = self.access_log.as_ref().filter(|_| self.has_lines.load(Ordering::Relaxed)) {
            log.write(entry);
        }
    }

    /// Metrics without an access log.
    pub fn without_access_log() -> Arc<Self> {
        Arc::default()
    }

    /// All metrics as text, in the format that [`EXPOSITION_TYPE`] names.
    pub fn exposition(&self) -> String {
        self.metrics.exposition()
    }

    /// Waits until every line that was queued before is written, but no longer than `limit`; says whether it is so.
    /// Blocks: for the end of the program.
    pub fn flush(&self, limit: Duration) -> bool {
        self.access_log.as_ref().is_none_or(|log| log.flush(limit))
    }
}
