//! What is counted of the load: what is under way, what waits, and what is slowed down.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::{ConnectionGauge, register};

/// A figure that goes up and down. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Level(Gauge);

/// Figures of the load.
#[derive(Debug, Default)]
pub struct LoadMetrics {
    /// Requests that do not last and are under way.
    pub requests_in_flight: Level,
    /// Those that wait to be.
    pub requests_waiting: Level,
    /// Long-running requests that are still open while the server goes down.
    pub streams_draining: Level,
    /// Answers to wrong keys that are being held back.
    pub refusals_held: Level,
    held: Counter,
    goaways: Counter,
}

impl LoadMetrics {
    pub(super) fn register(to: &mut Registry) -> Self {
        let level = |to: &mut Registry, name, help| Level(register(to, name, help));
        Self {
            requests_in_flight: level(to, "requests_in_flight", "Requests under way that do not last"),
            requests_waiting: level(
                to,
                "requests_waiting",
                "Requests that wait because too many are under way",
            ),
            streams_draining: level(
                to,
                "streams_draining",
                "Long-running requests that are still open while the server goes down",
            ),
            refusals_held: level(
                to,
                "refusals_held",
                "Answers to wrong keys that are held back at the moment",
            ),
            held: register(to, "refusals_delayed", "Answers to wrong keys that were held back"),
            goaways: register(to, "goaways", "Clients that were asked to connect anew to spread them"),
        }
    }

    /// Counts an answer that is held back.
    pub fn count_held(&self) {
        self.held.inc();
    }

    /// Counts a client that was asked to connect anew.
    pub fn count_goaway(&self) {
        self.goaways.inc();
    }
}

impl Level {
    /// The figure itself.
    pub fn value(&self) -> &AtomicI64 {
        self.0.inner()
    }

    /// One more, for as long as what is returned lives.
    pub fn raise(&self) -> ConnectionGauge {
        ConnectionGauge::open(&self.0)
    }

    /// Sets it.
    pub fn set(&self, figure: usize) {
        self.0.set(i64::try_from(figure).unwrap_or(i64::MAX));
    }
}
