//! Which endpoint of a cluster a request goes to: the least loaded of those that are well. One that is not gets no new
//! requests; what it is serving goes on. If none is well, all are tried: they may be better than they look.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::dial::{Dialer, lock};
use super::pool::{Connection, Pool};
use super::{Class, UpstreamError};
use crate::cluster::{Cluster, Endpoint};
use crate::config::LiveConfig;
use crate::telemetry::Telemetry;

/// Where there is somewhere else to go, a connection that takes longer to be made than this is none.
const IMPATIENCE: Duration = Duration::from_secs(2);

/// One worker's ways to the endpoints of one cluster.
pub(super) struct Targets {
    cluster: Arc<Cluster>,
    config: LiveConfig,
    telemetry: Arc<Telemetry>,
    current: Mutex<Current>,
    /// Where the next look for an endpoint begins, so that equals take turns.
    turn: AtomicUsize,
}

#[derive(Clone)]
struct Current {
    generation: u64,
    list: Arc<[Arc<Target>]>,
}

/// One worker's way to one endpoint.
pub(super) struct Target {
    pub(super) endpoint: Arc<Endpoint>,
    /// Of the cluster's access that its connections are made with.
    pub(super) generation: u64,
    pool: Pool,
    /// This worker's requests there, those that wait for a connection included.
    requests: AtomicU64,
}

/// A place on a connection for one request, and its place in the count.
pub(super) struct Lease {
    pub(super) connection: Connection,
    _counted: Counted,
}

/// A request on its way to an endpoint.
pub(super) struct Counted(Arc<Target>);

impl Targets {
    pub(super) fn new(cluster: Arc<Cluster>, config: &LiveConfig, telemetry: &Arc<Telemetry>) -> Self {
        let (config, telemetry) = (config.clone(), Arc::clone(telemetry));
        let current = Mutex::new(Current { generation: 0, list: Arc::from([]) });
        Self { cluster, config, telemetry, current, turn: AtomicUsize::new(0) }
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The best target for a request that `tried` could not serve; `None` if there is nothing better than those.
    pub(super) fn pick(&self, tried: &[Arc<Target>]) -> Option<Arc<Target>> {
        let list = self.list();
        if let [only] = &*list {
            return tried.is_empty().then(|| Arc::clone(only));
        }
        let is_well = |target: &&Arc<Target>| target.endpoint.health.is_good();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % list.len().max(1);
        let in_turn = list.iter().cycle().skip(turn).take(list.len());
        let untried = in_turn.filter(|target| !tried.iter().any(|other| Arc::ptr_eq(other, target)));
        let best = untried.clone().filter(is_well).min_by_key(|target| target.load());
        let best = match best {
            None if !list.iter().any(|target| is_well(&target)) => untried.min_by_key(|target| target.load()),
            best => best,
        };
        best.map(Arc::clone)
    }

    /// The targets as the cluster is now. Connections made in another way are not used for what is new; they go when
    /// what they are serving has ended.
    fn list(&self) -> Arc<[Arc<Target>]> {
        let mut current = lock(&self.current);
        if current.list.is_empty() || current.generation != self.cluster.generation() {
            let way = self.cluster.way();
            let patience = if way.endpoints.len() > 1 { IMPATIENCE } else { Duration::MAX };
            let config = self.config.current();
            let target = |endpoint: &Arc<Endpoint>| {
                let dialer = Dialer::new(Arc::clone(endpoint), &way.tls, self.config.clone(), patience);
                Arc::new(Target {
                    pool: Pool::new(dialer, &config.limits, &self.telemetry),
                    endpoint: Arc::clone(endpoint),
                    generation: way.generation,
                    requests: AtomicU64::new(0),
                })
            };
            *current =
                Current { generation: way.generation, list: way.endpoints.iter().map(target).collect() };
        }
        Arc::clone(&current.list)
    }
}

impl Target {
    /// A place on one of its connections, or on a new one.
    pub(super) async fn acquire(self: &Arc<Self>, class: Class) -> Result<Lease, UpstreamError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(self));
        let connection = self.pool.acquire(class).await?;
        Ok(Lease { connection, _counted: counted })
    }

    /// What one more request would make of it: the more it has, and the less it should have, the more.
    fn load(&self) -> u64 {
        (self.requests.load(Ordering::Relaxed) + 1) * 100 * 100 / self.endpoint.health.share().max(1)
    }
}

impl Lease {
    /// Something was received on the connection.
    pub(super) fn note_heard(&self) {
        if let Connection::Http2(lease) = &self.connection {
            lease.note_heard();
        }
    }

    /// Ends the use of the connection after an answer that was read to its end.
    pub(super) fn give_back(self) {
        match self.connection {
            Connection::Http2(_) => {}
            Connection::Http1(lease) => lease.give_back(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
