//! Clusters: making, listing, showing, changing and deleting them. Those of the configuration are the operator's, and can
//! be seen here.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::task::spawn_blocking;

use super::audit::Act;
use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::cluster::{
    Access, CheckedReach, ClusterRecord, GivenError, GivenReach, Keeping, Member, Origin, Reach,
    ServiceAccountMode, State,
};
use crate::identity::{AUTHENTICATED_GROUP, ClusterId, Group, Username};
use crate::store::{ClusterUpdate, StoreError, Write};
use crate::user::UserRecord;

/// A cluster, as an administrator asks for it.
#[derive(Debug, Clone)]
pub struct NewCluster {
    /// What people call it.
    pub name: String,
    /// Where it is and how we prove ourselves there.
    pub reach: GivenReach,
    /// What is done with the tokens of its service accounts.
    pub service_accounts: ServiceAccountMode,
    /// Who may use it at all.
    pub access: Access,
}

/// What to change about a cluster; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct ClusterChange {
    /// What people call it.
    pub name: Option<String>,
    /// Where it is and how we prove ourselves there: all of it, as a credential belongs to the place it is sent to.
    /// Whoever could change the address alone could have the credential sent to himself.
    pub reach: Option<GivenReach>,
    /// What is done with the tokens of its service accounts.
    pub service_accounts: Option<ServiceAccountMode>,
    /// Who may use it at all.
    pub access: Option<Access>,
}

impl Authority {
    /// Adds a cluster; for administrators. It can be used at once, or says within [`SETTLING`] why not.
    pub async fn create_cluster(
        &self,
        caller: &Caller,
        new: NewCluster,
    ) -> Result<Arc<Member>, AuthorityError> {
        let act = Act::by(caller, "cluster.create");
        let created = self.try_create_cluster(caller, new, &act).await;
        self.judged(&act, created).await
    }

    /// The clusters that the caller may use, the default one first; all of them for an administrator.
    pub async fn clusters(&self, caller: &Caller) -> Result<Vec<Arc<Member>>, AuthorityError> {
        let administrator = self.is_administrator(caller).await?;
        let user = self.store.user(&caller.id).await?.ok_or(AuthorityError::CallerGone)?;
        let members = self.policy.clusters.members();
        let visible = members.values().filter(|member| administrator || may_use(&user, member));
        let mut clusters: Vec<_> = visible.cloned().collect();
        clusters.sort_by_key(|member| member.origin != Origin::Default);
        Ok(clusters)
    }

    /// The clusters that the caller may use, the default one first. Administrators are no exception here: to see a cluster
    /// is not to use it.
    pub async fn usable_clusters(&self, caller: &Caller) -> Result<Vec<Arc<Member>>, AuthorityError> {
        let user = self.store.user(&caller.id).await?.ok_or(AuthorityError::CallerGone)?;
        let mut clusters = self.clusters(caller).await?;
        clusters.retain(|member| may_use(&user, member));
        Ok(clusters)
    }

    /// One cluster that the caller may use; any for an administrator. Another is not found, as if there were none.
    pub async fn cluster(&self, caller: &Caller, id: &ClusterId) -> Result<Arc<Member>, AuthorityError> {
        let administrator = self.is_administrator(caller).await?;
        let member = self.policy.clusters.member(id).ok_or(AuthorityError::NotFound)?;
        let user = self.store.user(&caller.id).await?.ok_or(AuthorityError::CallerGone)?;
        if administrator || may_use(&user, &member) {
            return Ok(member);
        }
        let act = Act::by(caller, "cluster.show").on_cluster(id);
        self.refused(act, "the caller may not use the cluster".to_owned()).await;
        Err(AuthorityError::NotFound)
    }

    /// Why a cluster that is ready could not be used when it was asked last.
    pub fn cluster_trouble(&self, member: &Member) -> Option<Arc<str>> {
        self.policy.clusters.trouble(member)
    }

    /// Changes a cluster; for administrators. When this returns, who may use it no more has no stream there.
    pub async fn update_cluster(
        &self,
        caller: &Caller,
        id: &ClusterId,
        change: ClusterChange,
    ) -> Result<Arc<Member>, AuthorityError> {
        let act = Act::by(caller, "cluster.update").on_cluster(id);
        let updated = self.try_update_cluster(caller, id, change, &act).await;
        self.judged(&act, updated).await
    }

    /// Deletes a cluster and the tokens that are good for it alone; for administrators. Its id is never given out again.
    pub async fn delete_cluster(&self, caller: &Caller, id: &ClusterId) -> Result<(), AuthorityError> {
        let act = Act::by(caller, "cluster.delete").on_cluster(id);
        let deleted = self.try_delete_cluster(caller, id, &act).await;
        self.judged(&act, deleted).await
    }

    /// Whether a token can be made for this cluster alone. One that was added is looked up once more when it is stored.
    pub(super) fn check_scope(&self, id: &ClusterId) -> Result<(), AuthorityError> {
        self.policy.clusters.member(id).map(|_| ()).ok_or(AuthorityError::UnknownCluster)
    }

    async fn try_create_cluster(
        &self,
        caller: &Caller,
        new: NewCluster,
        act: &Act,
    ) -> Result<Arc<Member>, AuthorityError> {
        self.check_administrator(caller).await?;
        self.check_name(&new.name, None)?;
        let checked = new.reach.check()?;
        for _ in 0..ID_ATTEMPTS {
            let id = ClusterId::generate()?;
            let record = ClusterRecord {
                reach: self.sealed(&id, checked.clone()).await?,
                id,
                name: new.name.clone(),
                service_accounts: new.service_accounts,
                access: new.access.clone(),
                created_at: clock::now(),
            };
            self.try_out(&record).await?;
            let act = act.clone().on_cluster(&record.id);
            let write = Write::InsertCluster(Box::new(record.clone()));
            match self.commit(write, act, describe(&record)).await {
                Ok(_) => return Ok(self.settled(record).await),
                Err(StoreError::Exists) if self.is_stored_name(&record.name).await? => {
                    return Err(AuthorityError::ClusterNameTaken);
                }
                Err(StoreError::Exists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AuthorityError::NoRandomness)
    }

    async fn try_update_cluster(
        &self,
        caller: &Caller,
        id: &ClusterId,
        change: ClusterChange,
        act: &Act,
    ) -> Result<Arc<Member>, AuthorityError> {
        self.check_administrator(caller).await?;
        self.check_is_added(id)?;
        let before = self.store.cluster(id).await?.ok_or(AuthorityError::NotFound)?;
        if let Some(name) = &change.name {
            self.check_name(name, Some(id))?;
        }
        let reach = match change.reach {
            Some(given) => Some(self.sealed(id, given.check()?).await?),
            None => None,
        };
        if let Some(reach) = &reach {
            self.try_out(&ClusterRecord { reach: reach.clone(), ..before }).await?;
        }
        let ClusterChange { name, service_accounts, access, .. } = change;
        let said = [
            name.as_ref().map(|name| format!("name {name:?}")),
            reach.as_ref().map(describe_reach),
            service_accounts.map(|mode| format!("service accounts {}", mode.as_str())),
            access.as_ref().map(describe_access),
        ];
        let message = said.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let update = ClusterUpdate { name, reach, service_accounts, access };
        let write = Write::UpdateCluster(id.clone(), Box::new(update));
        match self.commit(write, act.clone(), message).await {
            Ok(committed) if !committed.changed() => return Err(AuthorityError::NotFound),
            Ok(_) => {}
            Err(StoreError::Exists) => return Err(AuthorityError::ClusterNameTaken),
            Err(error) => return Err(error.into()),
        }
        let record = self.store.cluster(id).await?.ok_or(AuthorityError::NotFound)?;
        Ok(self.settled(record).await)
    }

    async fn try_delete_cluster(
        &self,
        caller: &Caller,
        id: &ClusterId,
        act: &Act,
    ) -> Result<(), AuthorityError> {
        self.check_administrator(caller).await?;
        self.check_is_added(id)?;
        let message = "with the tokens for it alone".to_owned();
        let committed = self.commit(Write::DeleteCluster(id.clone()), act.clone(), message).await?;
        if committed.changed() { Ok(()) } else { Err(AuthorityError::NotFound) }
    }

    /// Whether the caller may delete the cluster.
    pub(super) async fn check_deletable(
        &self,
        caller: &Caller,
        id: &ClusterId,
    ) -> Result<(), AuthorityError> {
        self.check_administrator(caller).await?;
        self.check_is_added(id)?;
        if self.store.cluster(id).await?.is_some() { Ok(()) } else { Err(AuthorityError::NotFound) }
    }

    /// What was given by value, sealed. Without the key of those that are stored no new key is made: it would take the
    /// place of the one that has to be put back.
    async fn sealed(&self, id: &ClusterId, checked: CheckedReach) -> Result<Reach, AuthorityError> {
        let CheckedReach { mut reach, secret } = checked;
        let Some((content, secret)) = secret else { return Ok(reach) };
        let key_file = self.keeping().key_file.clone();
        let is_anything_sealed = self.store.clusters().await?.iter().any(|cluster| cluster.reach.is_sealed());
        if is_anything_sealed && !key_file.exists() {
            return Err(AuthorityError::ClusterKeyMissing(key_file.path().to_owned()));
        }
        let (id, place) = (id.clone(), reach.clone());
        let sealed = spawn_blocking(move || key_file.seal(&id, &place, content, &secret)).await;
        reach.credential = sealed.map_err(|_| AuthorityError::Busy)??;
        Ok(reach)
    }

    async fn try_out(&self, record: &ClusterRecord) -> Result<(), AuthorityError> {
        let tried = record.try_out(self.keeping()).await;
        tried.map_err(|error| AuthorityError::ClusterUnusable(Box::new(error)))
    }

    /// The cluster as the registry has it once it is known whether it can be used. A registry that nobody keeps current
    /// does not have it: then as it was stored.
    async fn settled(&self, record: ClusterRecord) -> Arc<Member> {
        let member = self.policy.clusters.settled(&record.id, SETTLING).await;
        let stored = || Arc::new(Member { record, origin: Origin::Stored, state: State::Loading });
        member.unwrap_or_else(stored)
    }

    fn check_is_added(&self, id: &ClusterId) -> Result<(), AuthorityError> {
        match self.policy.clusters.member(id) {
            Some(member) if member.origin != Origin::Stored => Err(AuthorityError::ClusterConfigured),
            _ => Ok(()),
        }
    }

    fn check_name(&self, name: &str, own: Option<&ClusterId>) -> Result<(), AuthorityError> {
        let is_good = name.trim() == name
            && (1..=MAX_NAME_BYTES).contains(&name.len())
            && !name.chars().any(char::is_control);
        if !is_good {
            let reason =
                format!("1 to {MAX_NAME_BYTES} bytes without control characters or outer white space");
            return Err(GivenError { field: "name", reason }.into());
        }
        let members = self.policy.clusters.members();
        let is_others = |member: &Arc<Member>| Some(&member.record.id) != own && member.record.name == name;
        if members.values().any(is_others) { Err(AuthorityError::ClusterNameTaken) } else { Ok(()) }
    }

    async fn is_stored_name(&self, name: &str) -> Result<bool, AuthorityError> {
        Ok(self.store.clusters().await?.iter().any(|cluster| cluster.name == name))
    }

    fn keeping(&self) -> &Keeping {
        self.policy.clusters.keeping()
    }
}

fn may_use(user: &UserRecord, member: &Member) -> bool {
    let everybodys = HeaderValue::from_static(AUTHENTICATED_GROUP);
    let groups = user.groups.iter().map(Group::header).chain([&everybodys]);
    member.record.access.admits(user.name.header(), groups)
}

/// A new cluster, for the audit log.
fn describe(record: &ClusterRecord) -> String {
    format!(
        "{:?}, {}, service accounts {}, {}",
        record.name,
        describe_reach(&record.reach),
        record.service_accounts.as_str(),
        describe_access(&record.access)
    )
}

fn describe_reach(reach: &Reach) -> String {
    let endpoints: Vec<_> = reach.endpoints.iter().map(ToString::to_string).collect();
    format!("at {endpoints:?} with {}", reach.credential.kind())
}

fn describe_access(access: &Access) -> String {
    match access {
        Access::Everyone => "for everyone".to_owned(),
        Access::Only { users, groups } => {
            let users: Vec<_> = users.iter().map(Username::as_str).collect();
            let groups: Vec<_> = groups.iter().map(Group::as_str).collect();
            format!("for users {users:?} and groups {groups:?}")
        }
    }
}

/// How long the answer to a change waits until the cluster's credential is there.
pub const SETTLING: Duration = Duration::from_secs(5);

/// Ids tried before giving up.
const ID_ATTEMPTS: usize = 8;

/// Bytes in a name: it becomes the name of a context in kubeconfigs.
const MAX_NAME_BYTES: usize = 63;
