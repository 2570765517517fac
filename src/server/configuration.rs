//! Follows the configuration file. What can change while we run does; of the rest it is said that it needs a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::clusters::cut;
use super::reload::Trigger;
use crate::authn::Records;
use crate::clock;
use crate::cluster::{ClusterRecord, Registry};
use crate::config::{Config, ConfigErrors, LiveConfig, Resolution};
use crate::proxy::Admission;
use crate::telemetry::{Reloaded, Telemetry, set_log_level};

/// How often the file is read.
const INTERVAL: Duration = Duration::from_secs(5);

/// A change counts when it was read twice with this time between: half a file may be a good one, of another meaning.
const SETTLING: Duration = Duration::from_millis(50);
const SETTLING_READINGS: u32 = 20;

/// Reads the configuration once more, from the same places as at the start.
pub type Again = Box<dyn Fn() -> Result<Resolution, ConfigErrors> + Send + Sync>;

/// The configuration that the file gives, and what of it is in use.
pub(super) struct Configuration {
    again: Arc<Again>,
    started: Resolution,
    /// As it was read last.
    current: Resolution,
    live: LiveConfig,
    telemetry: Arc<Telemetry>,
    last_error: Option<String>,
}

/// What has to be told of a change, and does not look for itself.
pub(super) struct Following {
    pub(super) clusters: Registry,
    pub(super) records: Records,
    pub(super) admission: Arc<Admission>,
}

impl Configuration {
    /// `live` is what everybody else sees of it.
    pub(super) fn new(
        started: Resolution,
        again: Again,
        live: LiveConfig,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let current = started.clone();
        Self { again: Arc::new(again), started, current, live, telemetry, last_error: None }
    }

    /// What is in use.
    pub(super) fn live(&self) -> LiveConfig {
        self.live.clone()
    }

    /// For as long as the task lives.
    pub(super) async fn follow(mut self, following: Following, mut trigger: Trigger) {
        let telemetry = Arc::clone(&self.telemetry);
        let reloads = &telemetry.metrics.reloads;
        reloads.good(Reloaded::Configuration);
        loop {
            trigger.next(INTERVAL).await;
            match self.settled().await {
                Ok(now) => {
                    self.last_error = None;
                    if now.differences(&self.current).is_empty() {
                        reloads.good(Reloaded::Configuration);
                    } else {
                        self.take_over(now, &following).await;
                    }
                }
                Err(error) => self.report(error),
            }
        }
    }

    /// The configuration as it is, or, if that is another than before, as it is when it no longer changes.
    async fn settled(&self) -> Result<Resolution, String> {
        let mut last = self.read().await;
        for _ in 0..SETTLING_READINGS {
            if last.as_ref().is_ok_and(|last| last.differences(&self.current).is_empty()) {
                break;
            }
            sleep(SETTLING).await;
            let now = self.read().await;
            let is_lasting = match (&last, &now) {
                (Ok(last), Ok(now)) => now.differences(last).is_empty(),
                (Err(last), Err(now)) => last == now,
                (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
            };
            last = now;
            if is_lasting {
                break;
            }
        }
        last
    }

    async fn read(&self) -> Result<Resolution, String> {
        let again = Arc::clone(&self.again);
        match tokio::task::spawn_blocking(move || again()).await {
            Ok(read) => read.map_err(|errors| errors.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn report(&mut self, error: String) {
        self.telemetry.metrics.reloads.failed(Reloaded::Configuration);
        if self.last_error.as_ref() != Some(&error) {
            tracing::error!(error, "the configuration can't be used; the last one stays in use");
            self.last_error = Some(error);
        }
    }

    /// Puts in use what of `now` can be, and says what can't.
    async fn take_over(&mut self, now: Resolution, following: &Following) {
        let used = match self.started.reloaded(&now) {
            Ok(used) => used,
            Err(errors) => return self.report(errors.to_string()),
        };
        self.telemetry.set_access_log(used.config.log.access);
        if let Err(error) = set_log_level(&used.config.log.level) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the level of the log can't be changed");
        }
        self.live.replace(used.config.clone());
        following.take_over(&used.config).await;
        self.telemetry.metrics.reloads.taken(Reloaded::Configuration);
        let (changed, waiting) = (now.differences(&self.current).join(", "), now.differences(&used));
        self.telemetry.metrics.reloads.set_needs_restart(!waiting.is_empty());
        if waiting.is_empty() {
            tracing::info!(changed, "the configuration was changed and is in use");
        } else {
            let keys = waiting.join(", ");
            tracing::warn!(changed, keys, "the configuration was changed; these keys need a restart");
        }
        self.current = now;
    }
}

impl Following {
    async fn take_over(&self, config: &Config) {
        self.admission.set_bounds(&config.limits);
        // The registry first: a stream that is entered after a cut below is refused by what is there then.
        let configured = config.clusters.iter().map(|cluster| {
            let known = self.clusters.member(&cluster.id).map(|member| member.record.created_at);
            ClusterRecord::configured(cluster, known.unwrap_or_else(clock::now))
        });
        let changes = self.clusters.replace_configured(configured.collect());
        for change in changes.into_iter().chain(self.clusters.set_default_rules(&config.cluster_rules)) {
            cut(&self.records, change).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::config::{API_VERSION, ConfigFile, KIND, Sources};

    const BAD: &str = "log: {level: loud}";

    fn resolved(body: &str) -> Result<Resolution, ConfigErrors> {
        let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{body}\n");
        let file = Some(ConfigFile { path: "gate.yaml".into(), text });
        let mut sources = Sources { file, ..Sources::default() };
        sources.environment.insert("HOME".into(), "/home/gate".into());
        Resolution::of(&sources)
    }

    /// One that was started with `started`, and whose file is each of `readings` in turn.
    fn reading(
        started: &str,
        readings: &[&'static str],
    ) -> (Configuration, Arc<Mutex<VecDeque<&'static str>>>) {
        let left = Arc::new(Mutex::new(readings.iter().copied().collect::<VecDeque<_>>()));
        let shared = Arc::clone(&left);
        let again = Box::new(move || resolved(shared.lock().unwrap().pop_front().unwrap()));
        let (started, telemetry) = (resolved(started).unwrap(), Telemetry::without_access_log());
        let live = LiveConfig::new(started.config.clone());
        (Configuration::new(started, again, live, telemetry), left)
    }

    #[tokio::test]
    async fn a_file_counts_when_two_readings_were_alike() {
        let (closed, open, other) =
            ("cluster: {allowedGroups: [dev]}", "", "cluster: {allowedGroups: [ops]}");
        for (readings, expected) in [
            (&[closed] as &[_], Some(closed)),
            (&[other, other], Some(other)),
            // What is half written may read as if it were open to all.
            (&[open, other, other], Some(other)),
            (&[open, BAD, other, other], Some(other)),
            (&[open, closed], Some(closed)),
            (&[BAD, BAD], None),
            (&[open, BAD, BAD], None),
        ] {
            let (configuration, left) = reading(closed, readings);
            let settled = configuration.settled().await.ok();
            let is_same = match (&settled, expected) {
                (Some(settled), Some(body)) => settled.differences(&resolved(body).unwrap()).is_empty(),
                (settled, expected) => settled.is_none() && expected.is_none(),
            };
            assert!(is_same && left.lock().unwrap().is_empty(), "{readings:?}");
        }
    }
}
