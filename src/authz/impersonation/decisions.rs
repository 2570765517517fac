//! What clusters have said of late about who may impersonate whom.
//!
//! The key of what is kept is the whole question: the cluster, all of the caller's identity, and the right. Only what a
//! cluster has decided is kept; that it gave no answer is not.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ImpersonationError;
use crate::cluster::{AskError, Cluster};
use crate::kube::{Attributes, Subject};

/// How long an answer counts. kube-apiserver keeps what it found out about an impersonation as long.
const LIFE: Duration = Duration::from_secs(10);
/// The most memory that answers take.
const MAX_BYTES: u64 = 16 << 20;
/// Names of ours, one a cluster.
const MAX_CLUSTERS: u64 = 1_000;
/// Questions of one list that are under way at once.
const AT_ONCE: usize = 16;
/// Questions of everybody that are under way at once: each takes a connection. Others wait, in turn and not for longer
/// than their request has.
const AT_ONCE_IN_ALL: usize = 64;

/// Answers by question.
pub(super) struct Decisions {
    allowed: Cache<Question, bool>,
    own_names: Cache<Place, Arc<str>>,
    places: Semaphore,
}

/// A cluster as it was loaded. If it is loaded anew, perhaps with another address under the same name, it is another:
/// as long as this lives, no other cluster gets its place in memory.
#[derive(Clone)]
struct Place(Weak<Cluster>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    cluster: Place,
    /// `None`: ourselves.
    subject: Option<Arc<Subject>>,
    right: Attributes,
}

/// Questions to one cluster about one subject.
#[derive(Clone)]
pub(super) struct Inquiry {
    decisions: Arc<Decisions>,
    cluster: Arc<Cluster>,
    subject: Option<Arc<Subject>>,
}

impl Decisions {
    pub(super) fn new() -> Self {
        let weigher = |question: &Question, _: &bool| u32::try_from(question.bytes()).unwrap_or(u32::MAX);
        Self {
            allowed: Cache::builder().weigher(weigher).max_capacity(MAX_BYTES).time_to_live(LIFE).build(),
            own_names: Cache::builder().max_capacity(MAX_CLUSTERS).time_to_live(LIFE).build(),
            places: Semaphore::new(AT_ONCE_IN_ALL),
        }
    }
}

impl Inquiry {
    /// About a caller.
    pub(super) fn about(decisions: &Arc<Decisions>, cluster: &Arc<Cluster>, subject: Subject) -> Self {
        let subject = Some(Arc::new(subject));
        Self { decisions: Arc::clone(decisions), cluster: Arc::clone(cluster), subject }
    }

    /// About ourselves.
    pub(super) fn about_us(decisions: &Arc<Decisions>, cluster: &Arc<Cluster>) -> Self {
        Self { decisions: Arc::clone(decisions), cluster: Arc::clone(cluster), subject: None }
    }

    /// The first of these rights that the subject does not have.
    pub(super) async fn missing<'r>(
        &self,
        rights: &'r [Attributes],
    ) -> Result<Option<&'r Attributes>, ImpersonationError> {
        for some in rights.chunks(AT_ONCE) {
            for (right, allowed) in some.iter().zip(self.ask(some).await) {
                if !allowed? {
                    return Ok(Some(right));
                }
            }
        }
        Ok(None)
    }

    /// Whether the subject has this right.
    pub(super) async fn is_allowed(&self, right: Attributes) -> Result<bool, ImpersonationError> {
        let question = Question { cluster: self.place(), subject: self.subject.clone(), right };
        let (cluster, decisions) = (Arc::clone(&self.cluster), Arc::clone(&self.decisions));
        let (subject, right) = (question.subject.clone(), question.right.clone());
        // Whoever else asks the same waits for the same answer; the whole question is the key, so the same it is.
        let answer = self.decisions.allowed.try_get_with(question, async move {
            // Nobody closes it.
            let _place = decisions.places.acquire().await;
            match subject {
                Some(subject) => cluster.subject_access_review(&subject, &right).await,
                None => cluster.self_access_review(&right).await,
            }
        });
        answer.await.map_err(ImpersonationError::NoAnswer)
    }

    /// The name that the cluster knows us by.
    pub(super) async fn own_name(&self) -> Result<Arc<str>, ImpersonationError> {
        let cluster = Arc::clone(&self.cluster);
        let decisions = Arc::clone(&self.decisions);
        let asking = async move {
            let _place = decisions.places.acquire().await;
            Ok::<_, AskError>(cluster.own_name().await?.into())
        };
        let names = &self.decisions.own_names;
        names.try_get_with(self.place(), asking).await.map_err(ImpersonationError::NoAnswer)
    }

    fn place(&self) -> Place {
        Place(Arc::downgrade(&self.cluster))
    }

    /// The answers, in the order of the questions. All are asked at once.
    async fn ask(&self, rights: &[Attributes]) -> Vec<Result<bool, ImpersonationError>> {
        let mut tasks = JoinSet::new();
        for (place, right) in rights.iter().cloned().enumerate() {
            let inquiry = self.clone();
            tasks.spawn(async move { (place, inquiry.is_allowed(right).await) });
        }
        // A question whose task has ended without an answer, as when the server stops, has none.
        let mut answers: Vec<_> = rights.iter().map(|_| Err(ImpersonationError::TimedOut)).collect();
        while let Some(joined) = tasks.join_next().await {
            if let Ok((place, answer)) = joined
                && let Some(unanswered) = answers.get_mut(place)
            {
                *unanswered = answer;
            }
        }
        answers
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_ptr().hash(state);
    }
}

impl Question {
    /// About how much memory it takes. A subject is shared by the questions of one request and counted for each.
    fn bytes(&self) -> usize {
        let Attributes { verb, api_group, resource, subresource, namespace, name } = &self.right;
        let right = [verb, api_group, resource, subresource, namespace, name].map(String::len);
        let subject = self.subject.as_ref().map_or(0, |subject| {
            let extras = subject.extra.iter().flat_map(|(key, values)| values.iter().chain([key]));
            let texts = subject.groups.iter().chain(extras).map(|text| text.len() + size_of::<String>());
            subject.user.len() + texts.sum::<usize>()
        });
        size_of::<Self>() + right.iter().sum::<usize>() + subject
    }
}
