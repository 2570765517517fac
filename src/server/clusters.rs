//! The registry of clusters, kept current: what the configuration says at the start, what is stored, and every change of
//! that.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ServeError;
use crate::clock;
use crate::cluster::{Cluster, ClusterId, ClusterRecord, Keeping, KeyFile, Registry};
use crate::config::Config;
use crate::store::{Change, ChangeFeed, Store, StoreError};
use crate::telemetry::Telemetry;

/// The pause after the store could not say what became of a cluster.
const PAUSE: Duration = Duration::from_millis(200);

/// A registry with all clusters there are, and the task that keeps it current.
pub(super) fn start(
    control: &Runtime,
    config: &Config,
    store: &Store,
    default: &Arc<Cluster>,
    telemetry: &Arc<Telemetry>,
) -> Result<(Registry, JoinHandle<()>), ServeError> {
    // Subscribed before the clusters are read, so that no change falls in between.
    let feed = store.subscribe();
    let key_file = KeyFile::new(&config.cluster_key_file);
    let keeping = Keeping { key_file, files_dir: config.cluster_files_dir.clone() };
    let registry = Registry::new(keeping, Arc::clone(telemetry));
    let started_at = clock::now();
    let record = ClusterRecord::of_default(default, &config.cluster_rules, started_at);
    registry.set_default(record, Arc::clone(default));
    let configured = config.clusters.iter().map(|cluster| ClusterRecord::configured(cluster, started_at));
    let stored = control.block_on(store.clusters())?;
    // Clusters are loaded on the runtime of whoever puts them there.
    let _control = control.enter();
    registry.replace_configured(configured.collect());
    registry.replace_stored(stored);
    let following = control.spawn(follow(registry.clone(), store.clone(), feed));
    Ok((registry, following))
}

/// Applies changes until the feed ends, each acknowledged once it is applied.
async fn follow(registry: Registry, store: Store, mut feed: ChangeFeed) {
    while let Some(delivery) = feed.next().await {
        if let Change::Cluster(id) = &delivery.change {
            registry.set_stored(id, stored(&store, id).await);
        }
    }
}

/// The cluster as it is stored. While the store can't say, whoever made the change waits: to answer would be to claim
/// that it holds. One whose row is corrupt can't be used.
async fn stored(store: &Store, id: &ClusterId) -> Option<ClusterRecord> {
    loop {
        match store.cluster(id).await {
            Ok(record) => return record,
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, "a cluster can't be used");
                return None;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a changed cluster can't be read yet"
                );
                sleep(PAUSE).await;
            }
        }
    }
}
