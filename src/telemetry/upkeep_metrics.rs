//! What is counted of the ways to clusters, and of what is read again from disk.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::register;
use crate::clock;

type Labels = [(&'static str, String); 2];

/// What is read from disk again and again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reloaded {
    /// The certificate that clients see, and its key.
    ServingCertificate,
    /// A cluster's address, its certificate authority and our credential there.
    ClusterAccess,
    /// The configuration file.
    Configuration,
}

/// Figures of what is read again from disk.
pub struct ReloadMetrics {
    taken: [Counter; Reloaded::ALL.len()],
    failed: [Counter; Reloaded::ALL.len()],
    last_success: [Gauge; Reloaded::ALL.len()],
    needs_restart: Gauge,
}

/// Figures of the endpoints of clusters that have more than one.
pub struct EndpointMetrics {
    healthy: Family<Labels, Gauge>,
    ejections: Family<Labels, Counter>,
}

/// The series of one endpoint; they go with it.
#[derive(Debug)]
pub struct EndpointSeries {
    labels: Labels,
    healthy: Family<Labels, Gauge>,
    ejections: Family<Labels, Counter>,
}

impl Reloaded {
    const ALL: [Self; 3] = [Self::ServingCertificate, Self::ClusterAccess, Self::Configuration];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServingCertificate => "serving-certificate",
            Self::ClusterAccess => "cluster-access",
            Self::Configuration => "configuration",
        }
    }
}

impl ReloadMetrics {
    pub(super) fn register(to: &mut Registry) -> Self {
        let outcomes: Family<[(&'static str, &'static str); 2], Counter> =
            register(to, "reload", "Changes on disk that were taken over, and readings that failed");
        let last_success: Family<[(&'static str, &'static str); 1], Gauge> = register(
            to,
            "reload_last_success_timestamp_seconds",
            "When what is on disk was last read and found good",
        );
        let counter = |what: Reloaded, result| {
            outcomes.get_or_create_owned(&[("what", what.as_str()), ("result", result)])
        };
        Self {
            taken: Reloaded::ALL.map(|what| counter(what, "ok")),
            failed: Reloaded::ALL.map(|what| counter(what, "error")),
            last_success: Reloaded::ALL
                .map(|what| last_success.get_or_create_owned(&[("what", what.as_str())])),
            needs_restart: register(
                to,
                "configuration_needs_restart",
                "1 if the configuration file has values that hold only after a restart, else 0",
            ),
        }
    }

    /// A change was read and is in use.
    pub fn taken(&self, what: Reloaded) {
        if let Some(counter) = self.taken.get(what as usize) {
            counter.inc();
        }
        self.good(what);
    }

    /// What is on disk is good, and in use already.
    pub fn good(&self, what: Reloaded) {
        if let Some(gauge) = self.last_success.get(what as usize) {
            gauge.set(i64::try_from(clock::now().0 / 1000).unwrap_or(i64::MAX));
        }
    }

    /// What is on disk can't be used; what was in use stays.
    pub fn failed(&self, what: Reloaded) {
        if let Some(counter) = self.failed.get(what as usize) {
            counter.inc();
        }
    }

    /// Whether the configuration file has values that hold only after a restart.
    pub fn set_needs_restart(&self, needs: bool) {
        self.needs_restart.set(i64::from(needs));
    }
}

impl EndpointMetrics {
    pub(super) fn register(to: &mut Registry) -> Self {
        Self {
            healthy: register(
                to,
                "upstream_endpoint_healthy",
                "1 if requests go to this endpoint of a cluster that has several, else 0",
            ),
            ejections: register(
                to,
                "upstream_endpoint_ejections",
                "How often an endpoint was taken out because it failed",
            ),
        }
    }

    /// The series of an endpoint, which counts as healthy.
    pub fn of(&self, cluster: &str, endpoint: &str) -> EndpointSeries {
        let labels = [("cluster", cluster.to_owned()), ("endpoint", endpoint.to_owned())];
        let (healthy, ejections) = (self.healthy.clone(), self.ejections.clone());
        healthy.get_or_create(&labels).set(1);
        drop(ejections.get_or_create(&labels));
        EndpointSeries { labels, healthy, ejections }
    }
}

impl EndpointSeries {
    /// Requests go elsewhere from now on.
    pub fn taken_out(&self) {
        self.healthy.get_or_create(&self.labels).set(0);
        self.ejections.get_or_create(&self.labels).inc();
    }

    /// Requests go there again.
    pub fn brought_back(&self) {
        self.healthy.get_or_create(&self.labels).set(1);
    }
}

impl Drop for EndpointSeries {
    fn drop(&mut self) {
        self.healthy.remove(&self.labels);
        self.ejections.remove(&self.labels);
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn each_value_stands_where_its_index_says() {
        assert!(Reloaded::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
    }

    #[test]
    fn an_endpoints_series_go_with_it() {
        let mut registry = Registry::default();
        let metrics = EndpointMetrics::register(&mut registry);
        let exposition = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let series = metrics.of("local", "a:6443");
        series.taken_out();
        let labels = "{cluster=\"local\",endpoint=\"a:6443\"}";
        assert!(exposition().contains(&format!("upstream_endpoint_healthy{labels} 0\n")));
        assert!(exposition().contains(&format!("upstream_endpoint_ejections_total{labels} 1\n")));
        drop(series);
        assert!(!exposition().contains("a:6443"));
    }
}
