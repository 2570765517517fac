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
use crate::cluster::{Cluster, ClusterId, Member, Members, Origin, Registry, ServiceAccountMode, State};
use crate::config::LiveConfig;
use crate::live::Own;
use crate::streams::{CutReason, Owner};
use crate::telemetry::Telemetry;
use crate::upstream::Upstream;

/// Where the clusters live that are not the default one.
const PREFIX: &str = "/k8s/clusters/";

/// How long a request waits for a cluster that was added or changed a moment ago.
const LOADING_PATIENCE: Duration = Duration::from_secs(5);

/// The clusters a worker can reach. The way to the default one is there from the start and for good, and what holds for it
/// the worker has a copy of, so that its requests count no references that other workers count; the others are looked up
/// in the registry, and a way to them is made when the first request wants it.
pub struct Clusters {
    default: Own<Arc<Members>, Member>,
    default_upstream: Arc<Upstream>,
    /// In an `Arc` of this worker's, for the same reason.
    registry: Arc<Registry>,
    others: Mutex<HashMap<ClusterId, Arc<Upstream>>>,
    config: LiveConfig,
    telemetry: Arc<Telemetry>,
}

/// Where a request is to go, by its path. Whether it may go there is another question.
pub struct Destination {
    member: Arc<Member>,
    path_offset: usize,
}

/// The way of a request that may go there: the cluster and our connections to it.
pub struct Way {
    member: Arc<Member>,
    upstream: Arc<Upstream>,
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

/// What a stream to a cluster is open by.
pub struct Claim {
    registry: Arc<Registry>,
    member: Arc<Member>,
}

impl Clusters {
    /// The clusters of `registry`; `default` is the default one of them.
    pub fn new(
        default: Arc<Member>,
        cluster: Arc<Cluster>,
        registry: Registry,
        config: LiveConfig,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let default_upstream = Arc::new(Upstream::new(cluster, &config, &telemetry));
        let default = Own::of(registry.subscribe(), move |members: &Arc<Members>| {
            Member::clone(members.get(&default.record.id).unwrap_or(&default))
        });
        let registry = Arc::new(registry);
        Self { default, default_upstream, registry, others: Mutex::default(), config, telemetry }
    }

    /// Where a request of this path goes, or `None` for a cluster that we don't have.
    pub fn destination(&self, path: &str) -> Option<Destination> {
        let Some(rest) = path.strip_prefix(PREFIX) else {
            return Some(Destination { member: self.default.current(), path_offset: 0 });
        };
        let id = rest.split('/').next().unwrap_or_default();
        let path_offset = PREFIX.len() + id.len();
        let default = self.default.current();
        let member = if id == default.record.id.as_str() {
            default
        } else {
            self.registry.member(&ClusterId::try_from(id).ok()?)?
        };
        Some(Destination { member, path_offset })
    }

    /// The way to a destination for a request by `permit`. As the cluster is now: it may have been removed, or closed to
    /// the user, since the path was looked at.
    pub async fn reach(&self, destination: &Destination, permit: &Permit) -> Result<Way, ProxyError> {
        if destination.member.origin == Origin::Default {
            let member = self.default.current();
            admit(&member, permit)?;
            return Ok(Way { member, upstream: Arc::clone(&self.default_upstream) });
        }
        Box::pin(self.reach_other(&destination.member.record.id, permit)).await
    }

    async fn reach_other(&self, id: &ClusterId, permit: &Permit) -> Result<Way, ProxyError> {
        let unknown = || ProxyError::UnknownCluster;
        // Whoever may not use it does not wait for it.
        admit(&*self.registry.member(id).ok_or_else(unknown)?, permit)?;
        // From the end of this on nothing is awaited until the connections are kept: whoever lets go of those of removed
        // clusters on this thread comes before or after.
        let member = self.registry.settled(id, LOADING_PATIENCE).await.ok_or_else(unknown)?;
        admit(&member, permit)?;
        let upstream = self.upstream(id, ready(&member)?);
        Ok(Way { member, upstream })
    }

    /// What a stream on this way is open by.
    pub fn claim(&self, way: &Way) -> Claim {
        Claim { registry: Arc::clone(&self.registry), member: Arc::clone(&way.member) }
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
        let upstream = Arc::new(Upstream::new(Arc::clone(cluster), &self.config, &self.telemetry));
        others.insert(id.clone(), Arc::clone(&upstream));
        upstream
    }
}

impl Destination {
    /// The cluster as it was when the path was looked at.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The cluster itself, to ask it something before it is known who may go there.
    pub fn cluster(&self) -> Result<Arc<Cluster>, ProxyError> {
        ready(&self.member).map(Arc::clone)
    }

    /// Where the cluster's own path begins within the request's.
    pub fn path_offset(&self) -> usize {
        self.path_offset
    }
}

impl Way {
    /// The route to `destination` on this way.
    pub fn route(&self, destination: &Destination) -> Route<'_> {
        let cluster = self.member.record.id.shared();
        Route { cluster, upstream: &self.upstream, path_offset: destination.path_offset }
    }
}

impl Claim {
    /// Why a stream of `owner` that has just been entered among the live ones may not be there. A change from here on
    /// finds it there. Who may use the cluster is compared and not decided anew: whoever still may comes again.
    pub fn refusal(&self, owner: &Owner) -> Option<CutReason> {
        let before = &self.member.record;
        let now = self.registry.member(&before.id);
        let Some(now) = now.filter(|now| now.record.reach.is_same_place(&before.reach)) else {
            return Some(CutReason::ClusterRemoved);
        };
        let is_denied = now.record.service_accounts == ServiceAccountMode::Deny
            && matches!(owner, Owner::ServiceAccount { .. });
        (now.record.access != before.access || is_denied).then_some(CutReason::AccessLost)
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
    use crate::clock::UnixMillis;
    use crate::cluster::{Access, ClusterRecord, Credential, Reach};
    use crate::config::ClusterRules;

    fn default_member() -> Member {
        let reach = Reach {
            endpoints: Vec::new(),
            ca: None,
            tls_server_name: None,
            credential: Credential::Configuration,
        };
        let record = ClusterRecord {
            id: ClusterId::of_default(),
            name: "local".to_owned(),
            reach,
            service_accounts: ServiceAccountMode::Impersonate,
            access: Access::Everyone,
            created_at: UnixMillis(1),
        };
        Member { record, origin: Origin::Default, state: State::Loading }
    }

    #[test]
    fn a_stream_that_is_entered_after_the_cut_is_refused_by_what_is_there_then() {
        let registry = Registry::default();
        let member = registry.set_default(default_member());
        let claim = Claim { registry: Arc::new(registry.clone()), member };
        let account = Owner::ServiceAccount { cluster: "local".into(), reviewed: [0; 32] };
        let token =
            Owner::Token { token: "token-bcdfg".try_into().unwrap(), user: "u-bcdfg".try_into().unwrap() };
        assert_eq!((claim.refusal(&account), claim.refusal(&token)), (None, None));

        let denied = ClusterRules { service_accounts: ServiceAccountMode::Deny, ..ClusterRules::default() };
        registry.set_default_rules(&denied);
        assert_eq!((claim.refusal(&account), claim.refusal(&token)), (Some(CutReason::AccessLost), None));

        let nobody = Access::Only { users: Vec::new(), groups: Vec::new() };
        registry.set_default_rules(&ClusterRules { access: nobody, ..ClusterRules::default() });
        assert_eq!(claim.refusal(&token), Some(CutReason::AccessLost));
    }

    #[test]
    fn the_rest_of_the_path_and_the_query_stay_as_they_are() {
        let at = |uri: &str, offset| target(&uri.parse().unwrap(), offset).unwrap().to_string();
        assert_eq!(at("/api//x/%2e%2e/..;/y?a=%2f&b", 0), "/api//x/%2e%2e/..;/y?a=%2f&b");
        assert_eq!(at("/k8s/clusters/local/api?x", 19), "/api?x");
        assert_eq!(at("/k8s/clusters/local?x", 19), "/?x");
    }
}
