//! Whether the apiservers of clusters answer and let us do our work, asked on a clock. It is for people who look at the
//! list: no request waits for it, and none is refused by it.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{Member, Members, Registry, State};
use crate::cluster::error::with_causes;
use crate::cluster::{Cluster, ClusterId};

/// How often each is asked.
const INTERVAL: Duration = Duration::from_secs(10);

/// How many are asked at once.
const AT_ONCE: usize = 8;

/// What a cluster was found to be. Of another access to the same cluster it says nothing.
#[derive(Debug)]
pub(super) struct Found {
    of: Weak<Cluster>,
    trouble: Option<Arc<str>>,
}

impl Registry {
    /// Why a cluster could not be used when it was asked last; `None` if it could, or was not asked yet.
    pub fn trouble(&self, member: &Member) -> Option<Arc<str>> {
        let State::Ready(cluster) = &member.state else { return None };
        let found = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = found.get(&member.record.id)?;
        if is_of(found, cluster) { found.trouble.clone() } else { None }
    }

    /// Asks for as long as the task lives: each on the clock, and new ones at once.
    pub async fn keep_asking(self) {
        let mut members = self.subscribe();
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let all = tokio::select! {
                _ = ticks.tick() => true,
                changed = members.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    false
                }
            };
            let now = Arc::clone(&members.borrow_and_update());
            self.ask(&now, all).await;
        }
    }

    async fn ask(&self, members: &Members, all: bool) {
        let ready = members.iter().filter_map(|(id, member)| match &member.state {
            State::Ready(cluster) => Some((id.clone(), Arc::clone(cluster))),
            State::Loading | State::Failing(_) => None,
        });
        let due: Vec<_> = {
            let mut found = self.0.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.retain(|id, _| members.contains_key(id));
            let is_known = |(id, cluster): &(ClusterId, Arc<Cluster>)| {
                found.get(id).is_some_and(|found| is_of(found, cluster))
            };
            ready.filter(|one| all || !is_known(one)).collect()
        };
        for part in due.chunks(AT_ONCE) {
            let mut asked = JoinSet::new();
            for (id, cluster) in part.iter().cloned() {
                asked.spawn(async move {
                    let trouble = cluster.check().await.err().map(|error| with_causes(&error).into());
                    (id, Found { of: Arc::downgrade(&cluster), trouble })
                });
            }
            while let Some(answer) = asked.join_next().await {
                if let Ok((id, answer)) = answer {
                    self.0.found.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answer);
                }
            }
        }
    }
}

fn is_of(found: &Found, cluster: &Arc<Cluster>) -> bool {
    std::ptr::eq(found.of.as_ptr(), Arc::as_ptr(cluster))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{id, ready, record};
    use super::*;
    use crate::cluster::source::tests::{Directory, kubeconfig};

    #[tokio::test]
    async fn an_apiserver_that_is_not_there_is_trouble_of_the_cluster_as_it_is_and_of_no_later_one() {
        let directory = Directory::new();
        // Nothing listens there any more once the listener of this line is gone.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text =
            |token: &str| kubeconfig(&format!("token: {token}"), "").replace(":6443", &format!(":{port}"));
        let registry = Registry::default();
        registry.replace_configured(vec![record("a", directory.write("first", &text("first")))]);
        let member = ready(&registry, "a").await;
        assert_eq!(registry.trouble(&member), None, "it was not asked yet");
        registry.ask(&registry.members(), false).await;
        assert!(registry.trouble(&member).unwrap().contains("does not answer"));

        registry.replace_configured(vec![record("a", directory.write("second", &text("second")))]);
        let other = ready(&registry, "a").await;
        assert_eq!(registry.trouble(&other), None);
        registry.replace_configured(Vec::new());
        registry.ask(&registry.members(), true).await;
        assert!(registry.0.found.lock().unwrap().get(&id("a")).is_none());
    }
}
