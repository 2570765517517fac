//! The registry of clusters, kept current: what the configuration says at the start, what is stored, and every change of
//! that. Streams that a change ends are told before the change is acknowledged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ServeError;
use crate::authn::Records;
use crate::clock;
use crate::cluster::{
    self, Access, Cluster, ClusterId, ClusterRecord, Keeping, KeyFile, Member, Origin, Registry, State,
};
use crate::config::Config;
use crate::identity::{UserId, Username};
use crate::store::{Change, ChangeFeed, Store, StoreError};
use crate::streams::{CutReason, Entry, Owner};
use crate::telemetry::Telemetry;

/// The pause after the store could not say what became of a cluster.
const PAUSE: Duration = Duration::from_millis(200);

/// A registry with all clusters there are, the default one of them, and the task that keeps it current.
pub(super) fn start(
    control: &Runtime,
    config: &Config,
    store: &Store,
    records: &Records,
    default: &Arc<Cluster>,
    telemetry: &Arc<Telemetry>,
) -> Result<(Registry, Arc<Member>, JoinHandle<()>), ServeError> {
    // Subscribed before the clusters are read, so that no change falls in between.
    let feed = store.subscribe();
    let key_file = KeyFile::new(&config.cluster_key_file);
    let keeping = Keeping { key_file, files_dir: config.cluster_files_dir.clone() };
    let registry = Registry::new(keeping, Arc::clone(telemetry));
    let started_at = clock::now();
    let record = ClusterRecord::of_default(default, &config.cluster_rules, started_at);
    let member = Member { record, origin: Origin::Default, state: State::Ready(Arc::clone(default)) };
    let member = registry.set_default(member);
    let configured = config.clusters.iter().map(|cluster| ClusterRecord::configured(cluster, started_at));
    let stored = control.block_on(store.clusters())?;
    // Clusters are loaded on the runtime of whoever puts them there.
    let _control = control.enter();
    registry.replace_configured(configured.collect());
    registry.replace_stored(stored);
    control.spawn(registry.clone().keep_asking());
    let follower = Follower { registry: registry.clone(), store: store.clone(), records: records.clone() };
    Ok((registry, member, control.spawn(follower.follow(feed))))
}

struct Follower {
    registry: Registry,
    store: Store,
    records: Records,
}

impl Follower {
    /// Applies changes until the feed ends, each acknowledged once it is applied.
    async fn follow(self, mut feed: ChangeFeed) {
        while let Some(delivery) = feed.next().await {
            if let Change::Cluster(id) = &delivery.change {
                let record = self.stored(id).await;
                // The registry first: a stream that is entered after the cut below is refused by what is there then.
                for change in self.registry.set_stored(id, record) {
                    cut(&self.records, change).await;
                }
            }
        }
    }

    /// The cluster as it is stored. While the store can't say, whoever made the change waits: to answer would be to claim
    /// that it holds. One whose row is corrupt can't be used.
    async fn stored(&self, id: &ClusterId) -> Option<ClusterRecord> {
        loop {
            match self.store.cluster(id).await {
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
}

/// Cuts the streams that a change of the registry ends.
pub(super) async fn cut(records: &Records, change: cluster::Change) {
    let streams = records.streams();
    match change {
        cluster::Change::Removed(id) => {
            streams.cut(|entry| is_to(entry, &id), CutReason::ClusterRemoved);
        }
        cluster::Change::Narrowed(id, access) => {
            let names = names(records).await;
            streams.cut(|entry| is_to(entry, &id) && !admits(&access, entry, &names), CutReason::AccessLost);
        }
        cluster::Change::AccountsDenied(id) => {
            let is_account = |entry: &Entry| matches!(entry.owner(), Owner::ServiceAccount { .. });
            streams.cut(|entry| is_to(entry, &id) && is_account(entry), CutReason::AccessLost);
        }
    }
}

fn is_to(entry: &Entry, id: &ClusterId) -> bool {
    **entry.cluster() == *id.as_str()
}

/// Of service accounts no name is kept with their streams: they come again, if they still may.
fn admits(access: &Access, entry: &Entry, names: &HashMap<UserId, Username>) -> bool {
    let name = entry.owner().user().and_then(|user| names.get(user));
    name.is_some_and(|name| access.admits(name.header(), entry.groups()))
}

/// The names of all users who have a stream open. Who can't be looked up has none, and is cut off.
async fn names(records: &Records) -> HashMap<UserId, Username> {
    let mut names = HashMap::new();
    for owner in records.streams().owners(|_| true) {
        if let Owner::Token { user, .. } = owner
            && !names.contains_key(&user)
            && let Ok(Some(found)) = records.user(&user).await
        {
            names.insert(user, found.name.clone());
        }
    }
    names
}
