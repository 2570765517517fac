//! All clusters, by id: the default one, those of the configuration, and those that were added while we run. It changes
//! as a whole and at once; who reads it, reads what holds now.
//!
//! A cluster whose credential can't be had is in it all the same, with the reason, and is tried again. It stops neither
//! the server nor any other cluster.

mod checks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::error::with_causes;
use super::recorded::{Keeping, Recorded};
use super::refresh::blocking;
use super::{Access, Cluster, ClusterError, ClusterId, ClusterRecord, ServiceAccountMode};
use crate::config::ClusterRules;
use crate::telemetry::Telemetry;

/// The pause after a failed attempt to have a cluster's credential, and the longest it grows to.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// All clusters. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Inner>);

/// The clusters as they are at one time.
pub type Members = BTreeMap<ClusterId, Arc<Member>>;

/// One of them.
#[derive(Debug, Clone)]
pub struct Member {
    /// What is stored or configured.
    pub record: ClusterRecord,
    /// Where that comes from.
    pub origin: Origin,
    /// Whether it can be used.
    pub state: State,
}

/// Where a record comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The keys `cluster.…` of the configuration: the default cluster.
    Default,
    /// The list `clusters` of the configuration.
    Configured,
    /// The API, and so the store.
    Stored,
}

/// Whether a cluster can be used.
#[derive(Clone)]
pub enum State {
    /// That is being found out.
    Loading,
    /// Its credential is there. Whether its apiserver answers is another question.
    Ready(Arc<Cluster>),
    /// Its credential can't be had, for this reason. It is tried again.
    Failing(Arc<str>),
}

/// What a change of the registry means for requests that are under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The cluster is gone, or is another one under the same id now.
    Removed(ClusterId),
    /// Somebody may use it no more.
    Narrowed(ClusterId, Access),
    /// Its service accounts may use it no more.
    AccountsDenied(ClusterId),
}

#[derive(Debug)]
struct Inner {
    keeping: Keeping,
    telemetry: Arc<Telemetry>,
    members: watch::Sender<Arc<Members>>,
    loading: Mutex<HashMap<ClusterId, AbortHandle>>,
    found: Mutex<HashMap<ClusterId, checks::Found>>,
}

impl Registry {
    /// An empty one.
    pub fn new(keeping: Keeping, telemetry: Arc<Telemetry>) -> Self {
        Self(Arc::new(Inner { keeping, telemetry, ..Inner::default() }))
    }

    /// What it takes to read records.
    pub fn keeping(&self) -> &Keeping {
        &self.0.keeping
    }

    /// What holds now.
    pub fn members(&self) -> Arc<Members> {
        Arc::clone(&self.0.members.borrow())
    }

    /// One cluster as it is now.
    pub fn member(&self, id: &ClusterId) -> Option<Arc<Member>> {
        self.0.members.borrow().get(id).cloned()
    }

    /// What holds, now and whenever it changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Members>> {
        self.0.members.subscribe()
    }

    /// The cluster once it is known whether it can be used, or as it is after `patience`; `None` if there is none.
    pub async fn settled(&self, id: &ClusterId, patience: Duration) -> Option<Arc<Member>> {
        let mut members = self.subscribe();
        let is_settled = |members: &Arc<Members>| {
            members.get(id).is_none_or(|member| !matches!(member.state, State::Loading))
        };
        let _late = timeout(patience, members.wait_for(is_settled)).await;
        self.member(id)
    }

    /// Puts the default cluster in its place, where it stays.
    pub fn set_default(&self, member: Member) -> Arc<Member> {
        let member = Arc::new(member);
        self.0.members.send_modify(|members| {
            Arc::make_mut(members).insert(member.record.id.clone(), Arc::clone(&member));
        });
        member
    }

    /// Takes over what holds for the default cluster beside where it is.
    pub fn set_default_rules(&self, rules: &ClusterRules) -> Option<Change> {
        let before = self.member(&ClusterId::of_default())?;
        let (service_accounts, access) = (rules.service_accounts, rules.access.clone());
        self.put(Origin::Default, ClusterRecord { service_accounts, access, ..before.record.clone() })
    }

    /// Takes over the list of the configuration: what is new is loaded, what is gone is forgotten. On the runtime that
    /// this is called on.
    pub fn replace_configured(&self, records: Vec<ClusterRecord>) -> Vec<Change> {
        self.replace(Origin::Configured, records)
    }

    /// Takes over all that are stored, as [`replace_configured`](Self::replace_configured) does.
    pub fn replace_stored(&self, records: Vec<ClusterRecord>) -> Vec<Change> {
        self.replace(Origin::Stored, records)
    }

    /// Takes over one of those that are stored; without a record it is forgotten. On the runtime that this is called on.
    pub fn set_stored(&self, id: &ClusterId, record: Option<ClusterRecord>) -> Vec<Change> {
        let change = match record {
            Some(record) => self.put(Origin::Stored, record),
            None => self.remove(Origin::Stored, id),
        };
        change.into_iter().collect()
    }

    fn replace(&self, origin: Origin, records: Vec<ClusterRecord>) -> Vec<Change> {
        let members = self.members();
        let gone = members.iter().filter(|(id, member)| {
            member.origin == origin && !records.iter().any(|record| record.id == **id)
        });
        let mut changes: Vec<_> = gone.filter_map(|(id, _)| self.remove(origin, id)).collect();
        changes.extend(records.into_iter().filter_map(|record| self.put(origin, record)));
        changes
    }

    fn put(&self, origin: Origin, record: ClusterRecord) -> Option<Change> {
        let id = record.id.clone();
        let (mut change, mut is_taken, mut must_load) = (None, false, false);
        self.0.members.send_if_modified(|members| {
            let before = members.get(&id);
            is_taken = before.is_some_and(|before| before.origin != origin);
            if is_taken || before.is_some_and(|before| before.record == record) {
                return false;
            }
            change = before.and_then(|before| altering(before, &record));
            let kept = before.filter(|before| before.record.reach == record.reach);
            must_load = kept.is_none();
            let state = kept.map_or(State::Loading, |before| before.state.clone());
            Arc::make_mut(members).insert(id.clone(), Arc::new(Member { record, origin, state }));
            true
        });
        if is_taken {
            tracing::error!(cluster = %id, "two clusters have this id; the later one is not used");
        }
        if must_load {
            self.load(&id);
        }
        change
    }

    fn remove(&self, origin: Origin, id: &ClusterId) -> Option<Change> {
        let removed = self.0.members.send_if_modified(|members| {
            let is_there = members.get(id).is_some_and(|member| member.origin == origin);
            is_there && Arc::make_mut(members).remove(id).is_some()
        });
        if removed {
            self.0.keep_loading(id, None);
        }
        removed.then(|| Change::Removed(id.clone()))
    }

    fn load(&self, id: &ClusterId) {
        let task = tokio::spawn(load(Arc::downgrade(&self.0), id.clone())).abort_handle();
        self.0.keep_loading(id, Some(task));
    }
}

impl Inner {
    /// Notes the task that loads a cluster. The one before it ends.
    fn keep_loading(&self, id: &ClusterId, task: Option<AbortHandle>) {
        let mut loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match task {
            Some(task) => loading.insert(id.clone(), task),
            None => loading.remove(id),
        };
        if let Some(before) = before {
            before.abort();
        }
    }

    /// Notes what became of loading `loaded`, unless the record is another one by now.
    fn note(&self, loaded: &Member, state: State) {
        self.members.send_if_modified(|members| {
            let id = &loaded.record.id;
            let Some(now) = members.get(id).filter(|now| now.record.reach == loaded.record.reach) else {
                return false;
            };
            let member = Member { state, ..Member::clone(now) };
            Arc::make_mut(members).insert(id.clone(), Arc::new(member));
            true
        });
    }

    fn member(&self, id: &ClusterId) -> Option<Arc<Member>> {
        self.members.borrow().get(id).cloned()
    }
}

/// Tries until the cluster's access is there.
async fn load(registry: Weak<Inner>, id: ClusterId) {
    let mut pause = FIRST_PAUSE;
    let mut told: Option<Arc<str>> = None;
    loop {
        let Some((member, keeping, telemetry)) = registry.upgrade().and_then(|inner| {
            let member = inner.member(&id)?;
            Some((member, inner.keeping.clone(), Arc::clone(&inner.telemetry)))
        }) else {
            return;
        };
        let loaded = Cluster::load_recorded(member.recorded(&keeping), &id, &telemetry).await;
        let Some(inner) = registry.upgrade() else { return };
        match loaded {
            Ok(cluster) => {
                tracing::info!(cluster = %id, "cluster can be used");
                inner.note(&member, State::Ready(cluster));
                return;
            }
            Err(error) => {
                let reason: Arc<str> = with_causes(&error).into();
                if told.as_ref() != Some(&reason) {
                    tracing::warn!(cluster = %id, reason = &*reason, "cluster can't be used; trying again");
                }
                inner.note(&member, State::Failing(Arc::clone(&reason)));
                told = Some(reason);
            }
        }
        drop(inner);
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Member {
    pub(super) fn recorded(&self, keeping: &Keeping) -> Arc<Recorded> {
        match self.origin {
            Origin::Default | Origin::Configured => Recorded::configured(&self.record, keeping),
            Origin::Stored => Recorded::stored(&self.record, keeping),
        }
    }
}

impl ClusterRecord {
    /// Whether its files can be read and its credential be made, by the rules for records that come by the API. Plugins
    /// are not run for that.
    pub async fn try_out(&self, keeping: &Keeping) -> Result<(), ClusterError> {
        let recorded = Recorded::stored(self, keeping);
        blocking(move || recorded.try_out()).await
    }
}

impl Default for Inner {
    fn default() -> Self {
        let (members, _) = watch::channel(Arc::default());
        Self {
            keeping: Keeping::default(),
            telemetry: Arc::default(),
            members,
            loading: Mutex::default(),
            found: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loading => f.write_str("Loading"),
            Self::Ready(_) => f.write_str("Ready"),
            Self::Failing(reason) => write!(f, "Failing({reason})"),
        }
    }
}

/// What a new record means for requests under way that go by the old one.
fn altering(before: &Member, after: &ClusterRecord) -> Option<Change> {
    if before.record.reach.is_same_place(&after.reach) {
        narrowing(before, after)
    } else {
        Some(Change::Removed(after.id.clone()))
    }
}

fn narrowing(before: &Member, after: &ClusterRecord) -> Option<Change> {
    if before.record.access != after.access {
        return Some(Change::Narrowed(after.id.clone(), after.access.clone()));
    }
    let is_denied = before.record.service_accounts != after.service_accounts
        && after.service_accounts == ServiceAccountMode::Deny;
    is_denied.then(|| Change::AccountsDenied(after.id.clone()))
}
