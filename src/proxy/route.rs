//! Which cluster a request is for, decided on the raw path: nothing is decoded or normalised before, so that no other
//! spelling of a path leads elsewhere than it says. And the way there, for whom it is open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

use super::ProxyError;
use crate::authz::Permit;
use crate::cluster::{Cluster, ClusterId, Member, Registry, State};
use crate::config::Limits;
use crate::streams::CutReason;
use crate::telemetry::Telemetry;
use crate::upstream::Upstream;

/// Where the clusters live that are not the default one.
const PREFIX: &str = "/k8s/clusters/";

/// How long a request waits for a cluster that was added or changed a moment ago.
const LOADING_PATIENCE: Duration = Duration::from_secs(5);

/// The clusters a worker can reach. The way to the default one is there from the start and for good, so that its requests
/// ask nobody; the others are looked up in the registry, and a way to them is made when the first request wants it.
pub struct Clusters {
    default: Way,
    registry: Registry,
    others: Mutex<HashMap<ClusterId, Arc<Upstream>>>,
    limits: Limits,
    telemetry: Arc<Telemetry>,
}

/// A cluster and our connections to it.
pub struct Way {
    member: Arc<Member>,
    upstream: Arc<Upstream>,
}

/// Where a request is to go, by its path. Whether it may go there is another question.
pub struct Destination<'c> {
    cluster: Found<'c>,
    path_offset: usize,
}

/// Nothing of the default cluster is shared between workers more than it has to be; of the others each request has a part.
enum Found<'c> {
    Default(&'c Way),
    Other(Arc<Member>),
}

/// The way of a request that may go there.
pub enum Reached<'c> {
    /// To the default cluster.
    Default(&'c Way),
    /// To another.
    Other(Way),
}

/// A request's cluster, and its target there.
pub struct Route<'c> {
    /// The cluster's id.
    pub cluster: &'c Arc<str>,
    /// The way to it.
    pub upstream: &'c Arc<Upstream>,
    /// Where the cluster's own path begins within the request's.
    pub path_offset: usize,
}

/// What a stream to a cluster that can be removed is open by.
pub struct Claim {
    registry: Registry,
    member: Arc<Member>,
}

impl Clusters {
    /// The clusters of `registry`; `default` is the default one of them.
    pub fn new(
        default: Arc<Member>,
        cluster: Arc<Cluster>,
        registry: Registry,
        limits: Limits,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let upstream = Arc::new(Upstream::new(cluster, &limits, &telemetry));
        let default = Way { member: default, upstream };
        Self { default, registry, others: Mutex::default(), limits, telemetry }
    }

    /// Where a request of this path goes, or `None` for a cluster that we don't have.
    pub fn destination(&self, path: &str) -> Option<Destination<'_>> {
        let default = Found::Default(&self.default);
        let Some(rest) = path.strip_prefix(PREFIX) else {
            return Some(Destination { cluster: default, path_offset: 0 });
        };
        let id = rest.split('/').next().unwrap_or_default();
        let path_offset = PREFIX.len() + id.len();
        let cluster = if id == self.default.member.record.id.as_str() {
            default
        } else {
            Found::Other(self.registry.member(&ClusterId::try_from(id).ok()?)?)
        };
        Some(Destination { cluster, path_offset })
    }

    /// The way to a destination for a request by `permit`. As the cluster is now: it may have been removed, or closed to
    /// the user, since the path was looked at.
    pub async fn reach<'c>(
        &self,
        destination: &Destination<'c>,
        permit: &Permit,
    ) -> Result<Reached<'c>, ProxyError> {
        match &destination.cluster {
            Found::Default(way) => {
                admit(&way.member, permit)?;
                Ok(Reached::Default(way))
            }
            Found::Other(member) => Box::pin(self.reach_other(&member.record.id, permit)).await,
        }
    }

    async fn reach_other<'c>(&self, id: &ClusterId, permit: &Permit) -> Result<Reached<'c>, ProxyError> {
        let unknown = || ProxyError::UnknownCluster;
        // Whoever may not use it does not wait for it.
        admit(&*self.registry.member(id).ok_or_else(unknown)?, permit)?;
        // From the end of this on nothing is awaited until the connections are kept: whoever lets go of those of removed
        // clusters on this thread comes before or after.
        let member = self.registry.settled(id, LOADING_PATIENCE).await.ok_or_else(unknown)?;
        admit(&member, permit)?;
        let upstream = self.upstream(id, ready(&member)?);
        Ok(Reached::Other(Way { member, upstream }))
    }

    /// What a stream on this way is open by; nothing for the default cluster, which stays.
    pub fn claim(&self, reached: &Reached<'_>) -> Option<Claim> {
        match reached {
            Reached::Default(_) => None,
            Reached::Other(way) => {
                Some(Claim { registry: self.registry.clone(), member: Arc::clone(&way.member) })
            }
        }
    }

    /// Lets go of the connections to clusters that were removed or replaced, whenever that happens. On the worker's own
    /// runtime; it never ends.
    pub async fn follow(&self) {
        let mut members = self.registry.subscribe();
        // The registry lives as long as this does.
        while members.changed().await.is_ok() {
            let now = Arc::clone(&members.borrow_and_update());
            self.keep(|id, upstream| match now.get(id).map(|now| &now.state) {
                Some(State::Ready(cluster)) => Arc::ptr_eq(cluster, upstream.cluster()),
                _ => false,
            });
        }
    }

    fn keep(&self, is_current: impl Fn(&ClusterId, &Arc<Upstream>) -> bool) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = others.extract_if(|id, upstream| !is_current(id, upstream)).collect();
        // What ends with them may be much: not while somebody waits for the others.
        drop(others);
        drop(gone);
    }

    fn upstream(&self, id: &ClusterId, cluster: &Arc<Cluster>) -> Arc<Upstream> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others.get(id).filter(|known| Arc::ptr_eq(known.cluster(), cluster)) {
            return Arc::clone(known);
        }
        let upstream = Arc::new(Upstream::new(Arc::clone(cluster), &self.limits, &self.telemetry));
        others.insert(id.clone(), Arc::clone(&upstream));
        upstream
    }
}

impl Destination<'_> {
    /// The cluster as it was when the path was looked at.
    pub fn member(&self) -> &Member {
        match &self.cluster {
            Found::Default(way) => &way.member,
            Found::Other(member) => member,
        }
    }

    /// The cluster itself, to ask it something before it is known who may go there.
    pub fn cluster(&self) -> Result<Arc<Cluster>, ProxyError> {
        match &self.cluster {
            Found::Default(way) => Ok(Arc::clone(way.upstream.cluster())),
            Found::Other(member) => ready(member).map(Arc::clone),
        }
    }

    /// Where the cluster's own path begins within the request's.
    pub fn path_offset(&self) -> usize {
        self.path_offset
    }
}

impl Reached<'_> {
    /// The route to `destination` on this way.
    pub fn route(&self, destination: &Destination<'_>) -> Route<'_> {
        let way = match self {
            Self::Default(way) => way,
            Self::Other(way) => way,
        };
        let cluster = way.member.record.id.shared();
        Route { cluster, upstream: &way.upstream, path_offset: destination.path_offset }
    }
}

impl Claim {
    /// Why a stream that has just been entered among the live ones may not be there. A change from here on finds it
    /// there. Who may use the cluster is compared and not decided anew: whoever still may comes again.
    pub fn refusal(&self) -> Option<CutReason> {
        let before = &self.member.record;
        let now = self.registry.member(&before.id);
        match now.filter(|now| now.record.reach.is_same_place(&before.reach)) {
            None => Some(CutReason::ClusterRemoved),
            Some(now) => (now.record.access != before.access).then_some(CutReason::AccessLost),
        }
    }
}

/// Whether the user may use the cluster at all.
fn admit(member: &Member, permit: &Permit) -> Result<(), ProxyError> {
    // Most clusters are everybody's; then nobody's groups are looked at.
    if member.record.access.admits(permit.name().header(), permit.groups()) {
        return Ok(());
    }
    Err(ProxyError::ClusterDenied { user: permit.name().clone(), cluster: member.record.id.clone() })
}

/// The cluster, if it can be used.
fn ready(member: &Member) -> Result<&Arc<Cluster>, ProxyError> {
    match &member.state {
        State::Ready(cluster) => Ok(cluster),
        State::Loading => Err(ProxyError::ClusterFailing("it is still being set up".into())),
        State::Failing(reason) => Err(ProxyError::ClusterFailing(Arc::clone(reason))),
    }
}

impl Route<'_> {
    /// The request's target at the cluster; `None` for a target that is not a path.
    pub fn target(&self, uri: &Uri) -> Option<PathAndQuery> {
        target(uri, self.path_offset)
    }
}

/// The target at the cluster: the request's path from `offset` on and its query, byte for byte.
fn target(uri: &Uri, offset: usize) -> Option<PathAndQuery> {
    let given = uri.path_and_query()?;
    if offset == 0 {
        return Some(given.clone());
    }
    let rest = given.as_str().get(offset..)?;
    let slash = if rest.starts_with('/') { "" } else { "/" };
    PathAndQuery::from_maybe_shared(Bytes::from(format!("{slash}{rest}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_path_and_the_query_stay_as_they_are() {
        let at = |uri: &str, offset| target(&uri.parse().unwrap(), offset).unwrap().to_string();
        assert_eq!(at("/api//x/%2e%2e/..;/y?a=%2f&b", 0), "/api//x/%2e%2e/..;/y?a=%2f&b");
        assert_eq!(at("/k8s/clusters/local/api?x", 19), "/api?x");
        assert_eq!(at("/k8s/clusters/local?x", 19), "/?x");
    }
}
