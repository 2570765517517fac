//! Service accounts of the clusters behind us: their cluster says whose a token is (`TokenReview`), and for how long that
//! is believed is decided here.
//!
//! Promises: an answer holds for ten seconds from the moment it was asked for and never beyond the token's own end, a
//! refusal for one second, and that there was no answer is not remembered. A token is reviewed once however many requests
//! bring it. Junk takes neither the place nor the turn of a token that was good before. Nothing here touches tokens of ours.

mod error;
mod jwt;
mod keys;
mod open;
mod pace;
mod review;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use moka::Expiry;
use moka::future::Cache;
use tokio::runtime::Handle;

pub use error::AccountError;
pub use jwt::Jwt;
pub use review::Refusal;

use crate::clock::UnixMillis;
use crate::cluster::{AskError, Cluster};
use crate::config::{Config, LiveConfig, ServiceAccountMode};
use crate::identity::UserInfo;
use crate::streams::{Cut, CutReason, Owner, Registry, ReviewKey};
use crate::telemetry::{AuthenticationResult, CacheOutcome, ReviewResult, Telemetry};
use keys::ReviewKeys;
use open::OpenAccounts;
use pace::{Lanes, LanesByCluster};
use review::{GOOD_FOR, Reviewed};

/// Answers that are kept.
const GOOD_ENTRIES: u64 = 20_000;
/// Refusals that are kept, in a place of their own: they displace no answer.
const REFUSED_ENTRIES: u64 = 10_000;
/// For how long a refusal holds: a token that was made a moment ago may be unknown to the apiserver for as long.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// For how long a token that was good has the better turn when it is reviewed again.
const KNOWN_FOR: Duration = Duration::from_mins(10);

/// A service account whose token its cluster has vouched for a moment ago. Only this file makes one.
#[derive(Clone)]
pub struct ServiceAccount {
    cluster: Arc<Cluster>,
    token: Arc<Jwt>,
    key: ReviewKey,
    reviewed: Arc<Reviewed>,
    mode: Mode,
    shared: Arc<Shared>,
}

/// As what an accepted request goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// As the account, on our word.
    Impersonated,
    /// With the account's own token.
    PassedThrough,
}

/// Checks the tokens of service accounts. Shared by all workers; clones are the same.
#[derive(Clone)]
pub struct ServiceAccounts(Arc<Shared>);

struct Shared {
    keys: ReviewKeys,
    good: Cache<ReviewKey, Arc<Reviewed>>,
    refused: Cache<ReviewKey, Refusal>,
    /// Tokens that were good within [`KNOWN_FOR`].
    known: Cache<ReviewKey, ()>,
    lanes: LanesByCluster,
    config: LiveConfig,
    open: OpenAccounts,
    streams: Registry,
    telemetry: Arc<Telemetry>,
    /// Where reviews are asked for: one goes on although the client that waits for it has gone.
    home: Handle,
}

/// Ends an answer when it says so itself.
struct UntilItsEnd;

impl ServiceAccounts {
    /// Reviews run on `home`, as `config` says; what they refuse is cut in `streams`.
    ///
    /// # Errors
    /// When the operating system has no random bytes to give.
    pub fn new(
        config: LiveConfig,
        streams: Registry,
        telemetry: Arc<Telemetry>,
        home: Handle,
    ) -> Result<Self, getrandom::Error> {
        Ok(Self(Arc::new(Shared {
            keys: ReviewKeys::new()?,
            good: Cache::builder().max_capacity(GOOD_ENTRIES).expire_after(UntilItsEnd).build(),
            refused: Cache::builder().max_capacity(REFUSED_ENTRIES).time_to_live(REFUSED_FOR).build(),
            known: Cache::builder().max_capacity(GOOD_ENTRIES).time_to_live(KNOWN_FOR).build(),
            lanes: LanesByCluster::default(),
            config,
            open: OpenAccounts::default(),
            streams,
            telemetry,
            home,
        })))
    }

    /// Whose `token` is on `cluster`, by the cluster's own word, if the `mode` of its service accounts lets them in.
    pub async fn authenticate(
        &self,
        cluster: &Arc<Cluster>,
        mode: ServiceAccountMode,
        token: Jwt,
    ) -> Result<ServiceAccount, AccountError> {
        let checked = self.check(cluster, mode, token).await;
        let result = checked.as_ref().map_or_else(AccountError::result, |_| AuthenticationResult::Ok);
        self.0.telemetry.metrics.count_authentication(result);
        checked
    }

    async fn check(
        &self,
        cluster: &Arc<Cluster>,
        mode: ServiceAccountMode,
        token: Jwt,
    ) -> Result<ServiceAccount, AccountError> {
        let mode = match mode {
            ServiceAccountMode::Deny => return Err(AccountError::Denied),
            ServiceAccountMode::Passthrough if cluster.has_shown_certificate() => {
                return Err(AccountError::Certificate);
            }
            ServiceAccountMode::Passthrough => Mode::PassedThrough,
            ServiceAccountMode::Impersonate => Mode::Impersonated,
        };
        // One state for the key and for the question.
        let config = self.0.config.current();
        let key = self.0.key(cluster, &config, &token);
        let (cluster, token) = (Arc::clone(cluster), Arc::new(token));
        let reviewed = match self.kept(&key).await {
            Some(kept) => kept?,
            None => Box::pin(self.review_at_home(key, config, &cluster, &token)).await?,
        };
        Ok(ServiceAccount { cluster, token, key, reviewed, mode, shared: Arc::clone(&self.0) })
    }

    /// What is known without asking.
    async fn kept(&self, key: &ReviewKey) -> Option<Result<Arc<Reviewed>, AccountError>> {
        let count = |outcome| self.0.telemetry.metrics.reviews.count_cache(outcome);
        if let Some(reviewed) = self.0.good.get(key).await {
            count(CacheOutcome::Hit);
            let expired = AccountError::Refused(Refusal::Expired);
            return Some(if reviewed.is_expired() { Err(expired) } else { Ok(reviewed) });
        }
        if let Some(refusal) = self.0.refused.get(key).await {
            count(CacheOutcome::Negative);
            return Some(Err(AccountError::Refused(refusal)));
        }
        count(CacheOutcome::Miss);
        None
    }

    /// Asks, or waits for the answer that another request with this token has asked for.
    async fn review_at_home(
        &self,
        key: ReviewKey,
        config: Arc<Config>,
        cluster: &Arc<Cluster>,
        token: &Arc<Jwt>,
    ) -> Result<Arc<Reviewed>, AccountError> {
        let (shared, cluster, token) = (Arc::clone(&self.0), Arc::clone(cluster), Arc::clone(token));
        let reviewing = self.0.home.spawn(async move {
            // An error is shared by those that wait now and is kept for nobody. An answer that is under way may come in
            // after a refusal has emptied its place; it was asked for before that, and holds no longer than it would have.
            let asked = shared.good.try_get_with(key, shared.review(key, &config, &cluster, &token));
            asked.await.map_err(|error| AccountError::clone(&error))
        });
        reviewing.await.unwrap_or(Err(AccountError::Busy))
    }
}

impl Shared {
    /// The key of a review that is asked for as `config` says.
    fn key(&self, cluster: &Cluster, config: &Config, token: &Jwt) -> ReviewKey {
        self.keys.key(cluster.id(), cluster.loading(), &config.reviews.audiences, token)
    }

    async fn review(
        &self,
        key: ReviewKey,
        config: &Config,
        cluster: &Cluster,
        token: &Jwt,
    ) -> Result<Arc<Reviewed>, AccountError> {
        // Whoever waited for one that was refused.
        if let Some(refusal) = self.refused.get(&key).await {
            return Err(AccountError::Refused(refusal));
        }
        let lanes = self.lanes(cluster.id());
        let lane = if self.known.contains_key(&key) { &lanes.known } else { &lanes.unknown };
        let Some(_place) = lane.enter().await else {
            self.telemetry.metrics.reviews.count(ReviewResult::Busy);
            return Err(AccountError::Busy);
        };
        self.ask(key, config, cluster, token).await
    }

    /// Asks the cluster and draws all the consequences of its answer, but that of keeping a good one.
    async fn ask(
        &self,
        key: ReviewKey,
        config: &Config,
        cluster: &Cluster,
        token: &Jwt,
    ) -> Result<Arc<Reviewed>, AccountError> {
        let asked_at = Instant::now();
        let audiences = &config.reviews.audiences;
        let answer = cluster.token_review(token.secret(), audiences).await;
        let outcome = match answer {
            Ok(answer) => Reviewed::of(&answer, audiences, token, asked_at).map_err(AccountError::Refused),
            Err(error) => Err(AccountError::Unanswered(Arc::new(error))),
        };
        self.telemetry.metrics.reviews.observe(result_of(&outcome), asked_at.elapsed());
        match outcome {
            Ok(reviewed) => {
                self.known.insert(key, ()).await;
                Ok(Arc::new(reviewed))
            }
            Err(error) => {
                if let AccountError::Refused(refusal) = error {
                    self.refuse(key, cluster, refusal).await;
                }
                Err(error)
            }
        }
    }

    /// Remembers that the token is not accepted, and ends what it has open.
    async fn refuse(&self, key: ReviewKey, cluster: &Cluster, refusal: Refusal) {
        if !matches!(refusal, Refusal::NotAuthenticated | Refusal::Expired) {
            // The cluster accepts it and we don't: the operator has to know why.
            tracing::warn!(cluster = %cluster.id(), %refusal, "a token that its cluster accepts is refused");
        }
        self.refused.insert(key, refusal).await;
        self.known.invalidate(&key).await;
        self.end_streams(key, cluster.id(), CutReason::ServiceAccountRefused);
    }

    fn end_streams(&self, key: ReviewKey, cluster: &Arc<str>, reason: CutReason) {
        let owner = Owner::ServiceAccount { cluster: Arc::clone(cluster), reviewed: key };
        self.streams.cut_owner(&owner, |_| true, Cut::now(reason));
        self.open.forget(&key);
    }

    /// The turns at the apiserver of a cluster, as many as the configuration says now.
    fn lanes(&self, cluster: &Arc<str>) -> Arc<Lanes> {
        self.lanes.of(cluster, &self.config.current().reviews)
    }
}

impl ServiceAccount {
    /// The account, with all that its cluster says of it.
    pub fn user_info(&self) -> &Arc<UserInfo> {
        &self.reviewed.user
    }

    /// Has its token reviewed again from now on for as long as it has a stream. To be called before the stream is
    /// registered.
    pub fn follow(&self) {
        self.shared.open.hold(self);
    }

    /// Whether it is `cluster` that vouches for it.
    pub fn is_of(&self, cluster: &Arc<Cluster>) -> bool {
        Arc::ptr_eq(&self.cluster, cluster)
    }

    /// By whose leave its streams are open.
    pub fn owner(&self) -> Owner {
        Owner::ServiceAccount { cluster: Arc::clone(self.cluster.id()), reviewed: self.key }
    }

    /// When its token says that it expires.
    pub fn expires_at(&self) -> Option<UnixMillis> {
        self.reviewed.expires_at
    }

    /// The account's own credential, if its cluster is to be shown that and not ours.
    pub fn passed_through(&self) -> Option<HeaderValue> {
        if self.mode == Mode::PassedThrough { Some(self.token.authorization()) } else { None }
    }
}

impl Expiry<ReviewKey, Arc<Reviewed>> for UntilItsEnd {
    fn expire_after_create(&self, _: &ReviewKey, reviewed: &Arc<Reviewed>, now: Instant) -> Option<Duration> {
        Some(reviewed.remaining(now).min(GOOD_FOR))
    }

    fn expire_after_update(
        &self,
        key: &ReviewKey,
        reviewed: &Arc<Reviewed>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, reviewed, now)
    }
}

fn result_of(outcome: &Result<Reviewed, AccountError>) -> ReviewResult {
    match outcome {
        Ok(_) => ReviewResult::Ok,
        Err(AccountError::Unanswered(error)) => match **error {
            AskError::Connect(_) | AskError::Exchange(_) | AskError::Stopping => ReviewResult::Unreachable,
            AskError::TimedOut => ReviewResult::TimedOut,
            AskError::CredentialRefused => ReviewResult::CredentialRefused,
            AskError::Forbidden => ReviewResult::Forbidden,
            AskError::Overloaded => ReviewResult::Overloaded,
            AskError::Status(_) => ReviewResult::ErrorStatus,
            AskError::TooLong | AskError::Garbage => ReviewResult::Garbage,
        },
        Err(AccountError::Refused(Refusal::NotAuthenticated | Refusal::Expired)) => ReviewResult::Refused,
        Err(_) => ReviewResult::NotAccepted,
    }
}
