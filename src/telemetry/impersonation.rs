//! What is counted of clients that impersonate.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::metrics::{Label, register, resolve};

/// How an attempt to impersonate ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ImpersonationResult {
    /// The request ran as whom it asked to be.
    Allowed,
    /// The setting is off.
    Off,
    /// An identity that nobody takes.
    Reserved,
    /// The cluster's authorizer said no.
    Denied,
    /// We lack a right.
    NotGranted,
    /// The cluster did not say.
    NoAnswer,
}

/// Attempts by result.
pub(super) struct ImpersonationMetrics([Counter; ImpersonationResult::ALL.len()]);

impl ImpersonationResult {
    const ALL: [Self; 6] =
        [Self::Allowed, Self::Off, Self::Reserved, Self::Denied, Self::NotGranted, Self::NoAnswer];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Off => "off",
            Self::Reserved => "reserved",
            Self::Denied => "denied",
            Self::NotGranted => "not_granted",
            Self::NoAnswer => "no_answer",
        }
    }
}

impl ImpersonationMetrics {
    pub(super) fn register(to: &mut Registry) -> Self {
        let attempts: Family<Label, Counter> =
            register(to, "impersonations", "Requests that asked to run as another user, by what came of it");
        Self(ImpersonationResult::ALL.map(|result| resolve(&attempts, "result", result.as_str())))
    }

    pub(super) fn count(&self, result: ImpersonationResult) {
        if let Some(counter) = self.0.get(result as usize) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_stands_where_its_index_says() {
        assert!(ImpersonationResult::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
    }
}
