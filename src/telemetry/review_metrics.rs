//! What is counted of the reviews of service accounts' tokens.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::DurationHistogram;
use super::labels::CacheOutcome;
use super::metrics::{register, resolve};

/// What came of a review.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReviewResult {
    /// The token is a service account's.
    Ok,
    /// The cluster does not accept the token.
    Refused,
    /// The cluster accepts it, and we don't.
    NotAccepted,
    /// No connection to the apiserver, or one that broke.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The apiserver does not take our credential.
    CredentialRefused,
    /// The apiserver does not let us ask.
    Forbidden,
    /// The apiserver asks for patience.
    Overloaded,
    /// The apiserver answered with an error.
    ErrorStatus,
    /// The answer can't be read.
    Garbage,
    /// Not asked: too many were asked already.
    Busy,
    /// Asked in vain for so long that the account's streams were ended.
    GivenUp,
}

/// Figures of the reviews.
pub struct ReviewMetrics {
    reviews: [Counter; ReviewResult::ALL.len()],
    duration: DurationHistogram,
    cache_requests: [Counter; CacheOutcome::ALL.len()],
}

impl ReviewMetrics {
    pub(super) fn register(to: &mut Registry) -> Self {
        let reviews =
            register(to, "token_reviews", "Reviews of service accounts' tokens by their clusters, by result");
        let cache = register(
            to,
            "token_review_cache_requests",
            "Look-ups of service accounts' tokens among those reviewed",
        );
        let duration = DurationHistogram::default();
        let help = "Time from the question whose a token is to the end of the answer";
        to.register_with_unit("token_review_duration", help, Unit::Seconds, duration.clone());
        Self {
            reviews: ReviewResult::ALL.map(|result| resolve(&reviews, "result", result.as_str())),
            duration,
            cache_requests: CacheOutcome::ALL.map(|outcome| resolve(&cache, "outcome", outcome.as_str())),
        }
    }

    /// Counts a review without an answer that took time.
    pub fn count(&self, result: ReviewResult) {
        if let Some(counter) = self.reviews.get(result as usize) {
            counter.inc();
        }
    }

    /// Counts a review and how long it took.
    pub fn observe(&self, result: ReviewResult, duration: Duration) {
        self.count(result);
        self.duration.observe(duration);
    }

    /// Counts a look-up of a token among those that were reviewed.
    pub fn count_cache(&self, outcome: CacheOutcome) {
        if let Some(counter) = self.cache_requests.get(outcome as usize) {
            counter.inc();
        }
    }
}

impl ReviewResult {
    pub(super) const ALL: [Self; 12] = [
        Self::Ok,
        Self::Refused,
        Self::NotAccepted,
        Self::Unreachable,
        Self::TimedOut,
        Self::CredentialRefused,
        Self::Forbidden,
        Self::Overloaded,
        Self::ErrorStatus,
        Self::Garbage,
        Self::Busy,
        Self::GivenUp,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::NotAccepted => "not_accepted",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::CredentialRefused => "credential_refused",
            Self::Forbidden => "forbidden",
            Self::Overloaded => "overloaded",
            Self::ErrorStatus => "error_status",
            Self::Garbage => "garbage",
            Self::Busy => "busy",
            Self::GivenUp => "given_up",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_stands_where_its_index_says() {
        assert!(ReviewResult::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
    }
}
