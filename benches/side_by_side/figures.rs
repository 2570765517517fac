//! What was measured of one proxy in one scenario, round by round.

use std::time::Duration;

use crate::load::Served;

/// Of each round one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Microseconds of user and system time that the proxy spent on a request.
    pub(crate) cpu: Vec<f64>,
    pub(crate) per_second: Vec<f64>,
    /// Microseconds.
    pub(crate) p50: Vec<f64>,
    /// Microseconds.
    pub(crate) p99: Vec<f64>,
}

impl Figures {
    pub(crate) fn add(&mut self, served: &Served, cpu: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let requests = served.requests as f64;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        self.cpu.push(micros(cpu) / requests);
        self.per_second.push(requests / served.elapsed.as_secs_f64());
        self.p50.push(micros(served.p50));
        self.p99.push(micros(served.p99));
    }
}

/// The middle, the least and the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self { median: values[values.len() / 2], least: values[0], most: values[values.len() - 1] }
    }

    /// Of `values` to those of `peer` in the same round.
    pub(crate) fn of_ratios(values: &[f64], peer: &[f64]) -> Self {
        Self::of(values.iter().zip(peer).map(|(value, peer)| value / peer))
    }
}
