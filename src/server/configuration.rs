//! Follows the configuration file. What can change while we run does; of the rest it is said that it needs a restart.

use std::sync::Arc;
use std::time::Duration;

use super::clusters::cut;
use super::reload::Trigger;
use crate::authn::Records;
use crate::clock;
use crate::cluster::{ClusterRecord, Registry};
use crate::config::{ConfigErrors, Resolution};
use crate::telemetry::{Reloaded, Telemetry, set_log_level};

/// How often the file is read.
const INTERVAL: Duration = Duration::from_secs(5);

/// Reads the configuration once more, from the same places as at the start.
pub type Again = Box<dyn Fn() -> Result<Resolution, ConfigErrors> + Send + Sync>;

/// The configuration that the file gives, and what of it is in use.
pub(super) struct Configuration {
    again: Arc<Again>,
    started: Resolution,
    telemetry: Arc<Telemetry>,
    last_error: Option<String>,
}

impl Configuration {
    pub(super) fn new(started: Resolution, again: Again, telemetry: Arc<Telemetry>) -> Self {
        Self { again: Arc::new(again), started, telemetry, last_error: None }
    }

    /// For as long as the task lives.
    pub(super) async fn follow(mut self, clusters: Registry, records: Records, mut trigger: Trigger) {
        let telemetry = Arc::clone(&self.telemetry);
        let reloads = &telemetry.metrics.reloads;
        reloads.good(Reloaded::Configuration);
        let mut current = self.started.clone();
        loop {
            trigger.next(INTERVAL).await;
            let Some(now) = self.read().await else { continue };
            if now.differences(&current).is_empty() {
                reloads.good(Reloaded::Configuration);
            } else {
                self.apply(&now);
                Self::take_over_clusters(&now, &clusters, &records).await;
                reloads.taken(Reloaded::Configuration);
            }
            current = now;
        }
    }

    async fn read(&mut self) -> Option<Resolution> {
        let again = Arc::clone(&self.again);
        let error = match tokio::task::spawn_blocking(move || again()).await {
            Ok(Ok(resolution)) => {
                self.last_error = None;
                return Some(resolution);
            }
            Ok(Err(errors)) => errors.to_string(),
            Err(error) => error.to_string(),
        };
        self.telemetry.metrics.reloads.failed(Reloaded::Configuration);
        if self.last_error.as_ref() != Some(&error) {
            tracing::error!(error, "the configuration can't be used; the last one stays in use");
            self.last_error = Some(error);
        }
        None
    }

    async fn take_over_clusters(now: &Resolution, clusters: &Registry, records: &Records) {
        let configured = now.config.clusters.iter().map(|cluster| {
            let known = clusters.member(&cluster.id).map(|member| member.record.created_at);
            ClusterRecord::configured(cluster, known.unwrap_or_else(clock::now))
        });
        // The registry first: a stream that is entered after a cut below is refused by what is there then.
        for change in clusters.replace_configured(configured.collect()) {
            cut(records, change).await;
        }
    }

    fn apply(&self, now: &Resolution) {
        let is_live = |key: &&str| LIVE.contains(key);
        let changed = now.differences(&self.started);
        if let Err(error) = set_log_level(&now.config.log.level) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the level of the log can't be changed"
            );
        }
        let waiting: Vec<&str> = changed.into_iter().filter(|key| !is_live(key)).collect();
        self.telemetry.metrics.reloads.set_needs_restart(!waiting.is_empty());
        if waiting.is_empty() {
            tracing::info!("the configuration was changed and is in use");
        } else {
            tracing::warn!(keys = waiting.join(", "), "the configuration was changed; these need a restart");
        }
    }
}

/// The keys that hold at once.
const LIVE: [&str; 2] = ["log.level", "clusters"];
