//! How one endpoint of a cluster that has several is doing. It is asked whether it is ready every second, and what
//! requests meet there counts at once. An endpoint that fails is taken out, and brought back gently.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::EndpointSeries;

/// Whether requests should go to an endpoint, and how many of them.
#[derive(Debug, Default)]
pub struct Health {
    /// `None` for the only endpoint of its cluster: whatever it does, there is nowhere else to go.
    watched: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    series: EndpointSeries,
    endpoint: String,
    is_out: AtomicBool,
    /// Came back moments ago: it does not get its whole share yet.
    is_returning: AtomicBool,
    /// Exchanges that failed since the last that did not.
    failures: AtomicU32,
    course: Mutex<Course>,
}

/// What led to where it is.
#[derive(Debug, Default)]
struct Course {
    good_probes: u32,
    bad_probes: u32,
    /// Not to be brought back before.
    out_until: Option<Instant>,
    returned: Option<Instant>,
    /// How often it was taken out without a minute of health between.
    in_a_row: u32,
}

impl Health {
    /// Of one among several.
    pub(super) fn watched(series: EndpointSeries, endpoint: &str) -> Self {
        Self {
            watched: Some(Watched {
                series,
                endpoint: endpoint.to_owned(),
                is_out: AtomicBool::new(false),
                is_returning: AtomicBool::new(false),
                failures: AtomicU32::new(0),
                course: Mutex::default(),
            }),
        }
    }

    /// Whether requests should go there.
    pub fn is_good(&self) -> bool {
        self.watched.as_ref().is_none_or(|watched| !watched.is_out.load(Ordering::Relaxed))
    }

    /// How much of its share it should get, in percent.
    pub fn share(&self) -> u64 {
        match &self.watched {
            Some(watched) if watched.is_returning.load(Ordering::Relaxed) => watched.returning_share(),
            _ => WHOLE_SHARE,
        }
    }

    /// No connection could be made.
    pub fn connecting_failed(&self) {
        if let Some(watched) = &self.watched {
            watched.take_out("no connection could be made", Duration::ZERO);
        }
    }

    /// A request was sent and not answered, or not with HTTP.
    pub fn exchange_failed(&self) {
        let Some(watched) = &self.watched else { return };
        let failures = watched.failures.fetch_add(1, Ordering::Relaxed) + 1;
        // Probes may think well of an endpoint that serves nothing else: the longer it goes on, the longer it is out.
        if failures >= FAILURES || watched.is_returning.load(Ordering::Relaxed) {
            watched.take_out("requests failed", FIRST_ABSENCE);
        }
    }

    /// A request was answered.
    pub fn answered(&self) {
        if let Some(watched) = &self.watched
            && watched.failures.load(Ordering::Relaxed) != 0
        {
            watched.failures.store(0, Ordering::Relaxed);
        }
    }

    /// It was asked whether it is ready.
    pub(super) fn probed(&self, is_ready: bool) {
        let Some(watched) = &self.watched else { return };
        if is_ready {
            watched.probed_good();
        } else {
            watched.probed_bad();
        }
    }
}

impl Watched {
    fn returning_share(&self) -> u64 {
        let since = self.course().returned.map_or(RAMP, |returned| returned.elapsed());
        if since >= RAMP {
            self.is_returning.store(false, Ordering::Relaxed);
            return WHOLE_SHARE;
        }
        let gained = u64::try_from(since.as_millis() * u128::from(WHOLE_SHARE) / RAMP.as_millis());
        gained.unwrap_or(WHOLE_SHARE).clamp(FIRST_SHARE, WHOLE_SHARE)
    }

    fn take_out(&self, reason: &str, absence: Duration) {
        let mut course = self.course();
        course.good_probes = 0;
        if self.is_out.swap(true, Ordering::Relaxed) {
            return;
        }
        let is_again = course.returned.is_some_and(|returned| returned.elapsed() < PROBATION);
        course.in_a_row = if is_again { course.in_a_row + 1 } else { 1 };
        let absence = (absence * (1 << (course.in_a_row - 1).min(10))).min(LONGEST_ABSENCE);
        course.out_until = Some(Instant::now() + absence);
        self.is_returning.store(false, Ordering::Relaxed);
        self.series.taken_out();
        tracing::warn!(endpoint = %self.endpoint, reason, "endpoint is taken out");
    }

    fn probed_good(&self) {
        let mut course = self.course();
        course.bad_probes = 0;
        course.good_probes = course.good_probes.saturating_add(1);
        let is_over = course.out_until.is_none_or(|until| Instant::now() >= until);
        if !self.is_out.load(Ordering::Relaxed) || course.good_probes < PROBES || !is_over {
            return;
        }
        course.returned = Some(Instant::now());
        self.failures.store(0, Ordering::Relaxed);
        self.is_returning.store(true, Ordering::Relaxed);
        self.is_out.store(false, Ordering::Relaxed);
        self.series.brought_back();
        tracing::info!(endpoint = %self.endpoint, "endpoint is back");
    }

    fn probed_bad(&self) {
        let mut course = self.course();
        course.good_probes = 0;
        course.bad_probes = course.bad_probes.saturating_add(1);
        let is_enough = course.bad_probes >= PROBES;
        drop(course);
        if is_enough {
            self.take_out("it is not ready", Duration::ZERO);
        }
    }

    /// Nothing panics while it holds this lock, and what it guards is whole at every moment.
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many probes in a row decide.
const PROBES: u32 = 2;
/// So many exchanges in a row decide.
const FAILURES: u32 = 3;
/// How long an endpoint that failed requests while its probes were good is out; doubled each time it is so again.
const FIRST_ABSENCE: Duration = Duration::from_secs(5);
const LONGEST_ABSENCE: Duration = Duration::from_mins(1);
/// Who is taken out again within this time after coming back is taken out for longer.
const PROBATION: Duration = Duration::from_mins(1);
/// From coming back to the whole share: caches are cold there, and what was wrong may not be over.
const RAMP: Duration = Duration::from_secs(10);
const FIRST_SHARE: u64 = 10;
const WHOLE_SHARE: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    fn health() -> Health {
        Health::watched(Telemetry::without_access_log().metrics.endpoints.of("local", "a:6443"), "a:6443")
    }

    #[test]
    fn two_bad_probes_take_an_endpoint_out_and_two_good_ones_bring_it_back_gently() {
        let health = health();
        health.probed(false);
        health.probed(true);
        health.probed(false);
        assert!(health.is_good(), "one probe may fail");
        health.probed(false);
        assert!(!health.is_good());
        health.probed(true);
        assert!(!health.is_good(), "one good probe is not enough");
        health.probed(true);
        assert!(health.is_good());
        assert_eq!(health.share(), FIRST_SHARE);
    }

    #[test]
    fn a_failed_connection_counts_at_once_and_failed_exchanges_in_a_row() {
        let refused = health();
        refused.connecting_failed();
        assert!(!refused.is_good());

        let resetting = health();
        resetting.exchange_failed();
        resetting.exchange_failed();
        resetting.answered();
        resetting.exchange_failed();
        assert!(resetting.is_good(), "an answer between them");
        resetting.exchange_failed();
        resetting.exchange_failed();
        assert!(!resetting.is_good());
        resetting.probed(true);
        resetting.probed(true);
        assert!(!resetting.is_good(), "what its probes say is not enough when requests failed");
    }

    #[test]
    fn the_only_endpoint_is_never_taken_out() {
        let health = Health::default();
        health.connecting_failed();
        (0..9).for_each(|_| health.exchange_failed());
        (0..9).for_each(|_| health.probed(false));
        assert!(health.is_good());
        assert_eq!(health.share(), WHOLE_SHARE);
    }
}
