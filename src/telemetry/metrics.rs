//! Everything that is counted, in Prometheus' naming. Series whose labels are known ahead exist from the start, so that
//! a rate sees the first event as well.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::histogram::DurationHistogram;
use super::impersonation::{ImpersonationMetrics, ImpersonationResult};
use super::labels::{AuthenticationResult, CacheOutcome, UpstreamPool, VerbClass};
use super::load_metrics::LoadMetrics;
use super::review_metrics::ReviewMetrics;
use super::stream_metrics::StreamMetrics;
use super::token_metrics::TokenMetrics;
use super::upkeep_metrics::{EndpointMetrics, ReloadMetrics};

/// The media type of [`Telemetry::exposition`](super::Telemetry::exposition).
pub const EXPOSITION_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Status codes from here on have a counter; HTTP has none above 999.
const FIRST_CODE: u16 = 100;
const CODES: usize = 900;

const REQUESTS_HELP: &str =
    "Finished requests by status code (\"aborted\" if the client left before there was one) and kind";
const DURATION_HELP: &str =
    "Time from a request's header to the end of its response; long-running requests are not in it";
const DROPPED_HELP: &str = "Access-log lines lost because the queue was full or the output failed";

pub(super) type Label = [(&'static str, &'static str); 1];

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    requests: Family<[(&'static str, String); 2], Counter>,
    /// The counters of `requests` by code and verb, each found once.
    request_counters: Vec<OnceLock<Counter>>,
    durations: [DurationHistogram; VerbClass::ALL.len()],
    authentications: [Counter; AuthenticationResult::ALL.len()],
    token_cache_requests: [Counter; CacheOutcome::ALL.len()],
    upstream_connections: [Gauge; UpstreamPool::ALL.len()],
    client_connections: Gauge,
    rejected_requests: Family<Label, Counter>,
    /// Those of the live streams.
    pub streams: StreamMetrics,
    impersonations: ImpersonationMetrics,
    /// Those of the load.
    pub load: LoadMetrics,
    /// Those of the tokens themselves.
    pub tokens: TokenMetrics,
    /// Those of what is read again from disk.
    pub reloads: ReloadMetrics,
    /// Those of clusters' endpoints.
    pub endpoints: EndpointMetrics,
    /// Those of the reviews of service accounts' tokens.
    pub reviews: ReviewMetrics,
    pub(super) log_lines_dropped: Counter,
}

/// One open connection or stream: counted as long as this lives.
#[derive(Debug)]
pub struct ConnectionGauge(Gauge);

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("portcullis");
        let to = &mut registry;
        to.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let durations = Family::<_, DurationHistogram>::default();
        to.register_with_unit("http_request_duration", DURATION_HELP, Unit::Seconds, durations.clone());
        let authentications = register(to, "authentications", "Credentials checked, by result");
        let token_cache = register(to, "token_cache_requests", "Look-ups of tokens by name");
        let upstream = register(to, "upstream_connections", "Open connections to the apiserver");
        let requests = register(to, "http_requests", REQUESTS_HELP);
        let client_connections = register(to, "client_connections", "Open connections of clients");
        let rejected_requests = register(
            to,
            "rejected_requests",
            "Requests refused for anything but their credential, and connections for want of room",
        );
        let streams = StreamMetrics::register(to);
        let impersonations = ImpersonationMetrics::register(to);
        let load = LoadMetrics::register(to);
        let tokens = TokenMetrics::register(to);
        let (reloads, endpoints) = (ReloadMetrics::register(to), EndpointMetrics::register(to));
        let reviews = ReviewMetrics::register(to);
        let log_lines_dropped = register(to, "log_lines_dropped", DROPPED_HELP);
        Self {
            request_counters: (0..CODES * VerbClass::ALL.len()).map(|_| OnceLock::new()).collect(),
            durations: VerbClass::ALL.map(|verb| resolve(&durations, "verb", verb.as_str())),
            authentications: AuthenticationResult::ALL
                .map(|result| resolve(&authentications, "result", result.as_str())),
            token_cache_requests: CacheOutcome::ALL
                .map(|outcome| resolve(&token_cache, "outcome", outcome.as_str())),
            upstream_connections: UpstreamPool::ALL.map(|pool| resolve(&upstream, "pool", pool.as_str())),
            registry,
            requests,
            client_connections,
            rejected_requests,
            streams,
            impersonations,
            load,
            tokens,
            reloads,
            endpoints,
            reviews,
            log_lines_dropped,
        }
    }

    /// Counts a credential that was checked.
    pub fn count_authentication(&self, result: AuthenticationResult) {
        count(&self.authentications, result as usize);
    }

    /// Counts a look-up in the cache of tokens.
    pub fn count_cache(&self, outcome: CacheOutcome) {
        count(&self.token_cache_requests, outcome as usize);
    }

    /// Counts a request that was refused for anything but its credential. `reason` is a word of the program, never of the client.
    pub fn count_rejection(&self, reason: &'static str) {
        self.rejected_requests.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts a request that asked to run as another user.
    pub fn count_impersonation(&self, result: ImpersonationResult) {
        self.impersonations.count(result);
    }

    /// Counts an open connection of a client.
    pub fn open_client_connection(&self) -> ConnectionGauge {
        ConnectionGauge::open(&self.client_connections)
    }

    /// Counts an open connection to the apiserver.
    pub fn open_upstream_connection(&self, pool: UpstreamPool) -> ConnectionGauge {
        ConnectionGauge::of(&self.upstream_connections, pool as usize)
    }

    /// Counts a finished request; without a `duration` it is not timed.
    pub(super) fn count_request(
        &self,
        code: Option<StatusCode>,
        verb: VerbClass,
        duration: Option<Duration>,
    ) {
        let counter = code
            .and_then(|code| usize::from(code.as_u16()).checked_sub(FIRST_CODE.into()))
            .and_then(|code| self.request_counters.get(code * VerbClass::ALL.len() + verb as usize));
        match counter {
            Some(counter) => counter.get_or_init(|| self.request_counter(code, verb)).inc(),
            None => self.request_counter(code, verb).inc(),
        };
        if let (Some(duration), Some(histogram)) = (duration, self.durations.get(verb as usize)) {
            histogram.observe(duration);
        }
    }

    fn request_counter(&self, code: Option<StatusCode>, verb: VerbClass) -> Counter {
        let code = code.map_or("aborted".to_owned(), |code| code.as_str().to_owned());
        self.requests.get_or_create_owned(&[("code", code), ("verb", verb.as_str().to_owned())])
    }

    pub(super) fn exposition(&self) -> String {
        let mut text = String::new();
        // Writing into a `String` does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectionGauge {
    pub(super) fn open(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }

    pub(super) fn of(gauges: &[Gauge], index: usize) -> Self {
        gauges.get(index).map_or_else(|| Self(Gauge::default()), Self::open)
    }
}

impl Drop for ConnectionGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}

pub(super) fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// The one metric of a family with this value of its label, found once and for all.
pub(super) fn resolve<M: Clone + Default>(
    family: &Family<Label, M>,
    label: &'static str,
    value: &'static str,
) -> M {
    family.get_or_create_owned(&[(label, value)])
}

fn count(counters: &[Counter], index: usize) {
    if let Some(counter) = counters.get(index) {
        counter.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::StreamKind;

    #[test]
    fn series_are_named_as_promised_and_exist_before_their_first_event() {
        let text = Metrics::new().exposition();
        for line in [
            concat!("portcullis_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "portcullis_authentications_total{result=\"ok\"} 0",
            "portcullis_authentications_total{result=\"user_disabled\"} 0",
            "portcullis_token_cache_requests_total{outcome=\"negative\"} 0",
            "portcullis_open_streams{kind=\"portforward\"} 0",
            "portcullis_stream_cuts_total{reason=\"groups_lost\",kind=\"exec\"} 0",
            "portcullis_stream_cut_duration_seconds_count{kind=\"watch\"} 0",
            "portcullis_upstream_connections{pool=\"tunnel\"} 0",
            "portcullis_impersonations_total{result=\"allowed\"} 0",
            "portcullis_client_connections 0",
            "portcullis_log_lines_dropped_total 0",
            "portcullis_tokens_never_expiring{kind=\"compose-token\"} 0",
            "portcullis_requests_in_flight 0",
            "portcullis_refusals_delayed_total 0",
            "portcullis_token_usage_lost_total 0",
            "portcullis_tokens_purged_total 0",
            "portcullis_reload_total{what=\"cluster-access\",result=\"error\"} 0",
            "portcullis_configuration_needs_restart 0",
            "portcullis_audit_events_lost_total 0",
            "portcullis_token_reviews_total{result=\"timed_out\"} 0",
            "portcullis_token_review_duration_seconds_count 0",
            "portcullis_token_review_cache_requests_total{outcome=\"hit\"} 0",
            "portcullis_http_request_duration_seconds_count{verb=\"get\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_request_is_counted_by_code_and_verb_and_timed_unless_it_is_long_running() {
        let metrics = Metrics::new();
        let ok = Some(StatusCode::OK);
        metrics.count_request(ok, VerbClass::Get, Some(Duration::from_millis(3)));
        metrics.count_request(ok, VerbClass::Get, Some(Duration::from_secs(90)));
        metrics.count_request(ok, VerbClass::Watch, None);
        metrics.count_request(None, VerbClass::Get, None);
        metrics.count_rejection("two_hosts");
        let text = metrics.exposition();
        for line in [
            "portcullis_http_requests_total{code=\"200\",verb=\"get\"} 2",
            "portcullis_http_requests_total{code=\"200\",verb=\"watch\"} 1",
            "portcullis_http_requests_total{code=\"aborted\",verb=\"get\"} 1",
            "portcullis_http_request_duration_seconds_bucket{le=\"0.0025\",verb=\"get\"} 0",
            "portcullis_http_request_duration_seconds_bucket{le=\"0.005\",verb=\"get\"} 1",
            "portcullis_http_request_duration_seconds_bucket{le=\"60.0\",verb=\"get\"} 1",
            "portcullis_http_request_duration_seconds_bucket{le=\"+Inf\",verb=\"get\"} 2",
            "portcullis_http_request_duration_seconds_count{verb=\"watch\"} 0",
            "portcullis_rejected_requests_total{reason=\"two_hosts\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn what_is_open_is_counted_until_it_is_dropped() {
        let metrics = Metrics::new();
        let first = metrics.streams.open(StreamKind::Watch);
        let second = metrics.streams.open(StreamKind::Watch);
        drop(first);
        assert!(metrics.exposition().contains("portcullis_open_streams{kind=\"watch\"} 1\n"));
        drop(second);
        assert!(metrics.exposition().contains("portcullis_open_streams{kind=\"watch\"} 0\n"));
    }
}
