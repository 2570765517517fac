//! A cluster behind us: where its apiserver is, how we know that it is the one, and our own credential there. All of it
//! is read from a kubeconfig, from a pod's environment or from the cluster's record, and read again while we run. The
//! [`Registry`] has all of them, by id.

mod ask;
mod attempts;
mod authority;
mod check;
mod credential;
mod endpoint;
mod error;
mod given;
mod health;
mod probe;
mod published;
mod record;
mod recorded;
mod refresh;
mod registry;
mod seal;
mod source;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderValue, Uri};
use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use ask::AskError;
pub use attempts::{Attempt, Attempts};
pub use endpoint::Endpoint;
pub use error::ClusterError;
pub use given::{CheckedReach, GivenCredential, GivenError, GivenReach};
pub use health::Health;
pub use record::{CertificateAuthority, ClusterRecord, Credential, Reach, Sealed, SealedKind};
pub use recorded::Keeping;
pub use registry::{Change, Member, Members, Origin, Registry, State};
pub use seal::{KeyFile, SealError};
pub use trouble::{Problem, Trouble};

pub use crate::config::ServiceAccountMode;
pub use crate::identity::{Access, ClusterId};

use crate::config::ClusterSource;
use crate::kube::{Attributes, ReviewedToken, Subject};
use crate::secret::Secret;
use crate::telemetry::Telemetry;
use ask::Asker;
use published::Published;
use recorded::Recorded;
use refresh::{Place, Refresher, blocking};
use source::{Snapshot, Source};

/// The longest that a start waits for the credential.
const LOAD_LIMIT: Duration = Duration::from_mins(1);

/// How many were loaded.
static LOADINGS: AtomicU64 = AtomicU64::new(0);

/// One cluster. Dropping it ends its refreshing.
pub struct Cluster {
    id: Arc<str>,
    published: Arc<Published>,
    asker: Arc<Asker>,
    loading: u64,
    has_shown_certificate: AtomicBool,
    _tasks: JoinSet<()>,
}

/// What new connections to a cluster are made with.
pub struct Way {
    /// Another one, to be told by [`Cluster::generation`], once any of this has changed.
    pub generation: u64,
    /// Where its apiservers are; at least one.
    pub endpoints: Arc<[Arc<Endpoint>]>,
    /// How to speak TLS with them, without ALPN.
    pub tls: Arc<ClientConfig>,
}

impl Cluster {
    /// Reads the access to a cluster and starts to keep it current on the runtime that this is called on, where questions
    /// to the apiserver are asked as well. No word is spoken with it yet: that is [`check`](Self::check).
    pub async fn load(
        id: &str,
        source: &ClusterSource,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Arc<Self>, ClusterError> {
        let (wanted, urls) = (source.clone(), source.endpoints.clone());
        Self::load_from(id.into(), urls, telemetry, move || Source::find(&wanted)).await
    }

    /// The same for a cluster of which there is a record.
    async fn load_recorded(
        record: Arc<Recorded>,
        id: &ClusterId,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Arc<Self>, ClusterError> {
        let urls = record.endpoints().to_vec();
        let find = move || Ok((Source::Recorded(Arc::clone(&record)), record.read()?));
        Self::load_from(Arc::clone(id.shared()), urls, telemetry, find).await
    }

    async fn load_from(
        id: Arc<str>,
        urls: Vec<Uri>,
        telemetry: &Arc<Telemetry>,
        find: impl FnOnce() -> Result<(Source, Snapshot), ClusterError> + Send + 'static,
    ) -> Result<Arc<Self>, ClusterError> {
        let loaded = timeout(LOAD_LIMIT, async {
            let (source, snapshot) = blocking(find).await?;
            let place = Place { cluster: Arc::clone(&id), source, urls, telemetry: Arc::clone(telemetry) };
            let (refresher, published) = Refresher::start(place, snapshot).await?;
            let endpoints = published.read(|current| Arc::clone(&current.endpoints));
            let mut tasks = JoinSet::new();
            tasks.spawn(refresher.run(Arc::clone(&published)));
            // Of several the list is fixed, so the tasks are too; a single one has nothing to be compared with.
            for endpoint in endpoints.iter().filter(|_| endpoints.len() > 1) {
                tasks.spawn(probe::watch(Arc::clone(endpoint), Arc::clone(&published)));
            }
            let asker = Asker::new(Arc::clone(&published));
            let has_shown_certificate = AtomicBool::new(false);
            let loading = LOADINGS.fetch_add(1, Ordering::Relaxed);
            Ok(Arc::new(Self { id, published, asker, loading, has_shown_certificate, _tasks: tasks }))
        });
        loaded.await.unwrap_or(Err(ClusterError::CredentialTimeout(LOAD_LIMIT)))
    }

    /// The name by which clients and logs call it.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The number of this loading: another one of the same id may be at another place.
    pub fn loading(&self) -> u64 {
        self.loading
    }

    /// What new connections are made with. Every one that carries requests is made with what this gives, so that a client
    /// certificate that is shown is known of.
    pub fn way(&self) -> Way {
        // First, so that a change in between is seen as one by the next who asks.
        let generation = self.generation();
        let way = self.published.read(|current| Way {
            generation,
            endpoints: Arc::clone(&current.endpoints),
            tls: Arc::clone(&current.tls),
        });
        if way.tls.client_auth_cert_resolver.has_certs() {
            self.has_shown_certificate.store(true, Ordering::Relaxed);
        }
        way
    }

    /// Changes when [`way`](Self::way) does.
    pub fn generation(&self) -> u64 {
        self.published.generation()
    }

    /// Whether there is, or may still be, a connection on which the apiserver takes every request for ours: it looks at a
    /// client certificate before any token. Once there was one this stays so, as connections outlive a change of the
    /// credential.
    pub fn has_shown_certificate(&self) -> bool {
        // Notes it if the credential is one now.
        drop(self.way());
        self.has_shown_certificate.load(Ordering::Relaxed)
    }

    /// Our own credential, marked sensitive; none with a client certificate.
    pub fn authorization(&self) -> Option<HeaderValue> {
        self.published.read(|current| current.authorization.clone())
    }

    /// The apiserver has answered 401 to our credential: it is read again at once.
    pub fn credential_refused(&self) {
        self.published.refused();
    }

    /// The same, and waits for another access than the one with this credential and generation. `None` if there is
    /// none; else its header, which with a client certificate is no header.
    pub async fn fresher_than(
        &self,
        authorization: Option<&HeaderValue>,
        generation: u64,
    ) -> Option<Option<HeaderValue>> {
        self.published.fresher_than(authorization, generation).await
    }

    /// Whether the apiserver has just refused our credential and it is still being read again. Whatever were sent with it now
    /// would be refused as well, and take its connection with it.
    pub fn is_in_doubt(&self) -> bool {
        self.published.is_in_doubt()
    }

    /// Waits until that is over, a moment at most, and gives our credential as it is then.
    pub async fn after_doubt(&self) -> Option<HeaderValue> {
        self.published.after_doubt().await
    }

    /// Reads the access again now, and not only when it is time.
    pub fn read_again(&self) {
        self.published.read_again();
    }

    /// Asks the apiserver whose `token` is, for one of `audiences`, or for its own if there are none. From any thread.
    ///
    /// # Errors
    /// [`AskError`] says why there is no answer, and nothing about the token.
    pub async fn token_review(
        &self,
        token: &Secret,
        audiences: &[String],
    ) -> Result<ReviewedToken, AskError> {
        self.asker.token_review(token, audiences).await
    }

    /// Asks the apiserver whether `subject` may do this. From any thread.
    ///
    /// # Errors
    /// [`AskError`] says why there is no answer; then it is not known, and nothing is allowed.
    pub async fn subject_access_review(
        &self,
        subject: &Subject,
        attributes: &Attributes,
    ) -> Result<bool, AskError> {
        self.asker.subject_access_review(subject, attributes).await
    }

    /// Asks the apiserver whether we may do this ourselves. From any thread.
    ///
    /// # Errors
    /// As [`subject_access_review`](Self::subject_access_review).
    pub async fn self_access_review(&self, attributes: &Attributes) -> Result<bool, AskError> {
        self.asker.self_access_review(attributes).await
    }

    /// Asks the apiserver whether we may impersonate users at all. From any thread.
    ///
    /// # Errors
    /// As [`subject_access_review`](Self::subject_access_review).
    pub async fn may_impersonate(&self) -> Result<bool, AskError> {
        self.asker.may(&check::TO_IMPERSONATE).await
    }

    /// Asks the apiserver by which name it knows us. From any thread.
    ///
    /// # Errors
    /// [`AskError`] says why there is no answer.
    pub async fn own_name(&self) -> Result<String, AskError> {
        self.asker.own_name().await
    }

    /// Whether the tokens of its service accounts can be served as `mode` says.
    pub async fn check_service_accounts(&self, mode: ServiceAccountMode) -> Result<(), ClusterError> {
        if mode == ServiceAccountMode::Passthrough && self.has_shown_certificate() {
            return Err(ClusterError::Unsupported(
                "a client certificate, with which tokens of service accounts can't be passed through",
            ));
        }
        check::check_service_accounts(&self.asker, mode).await
    }

    /// Where its apiservers are.
    fn urls(&self) -> Vec<Uri> {
        self.way().endpoints.iter().map(|endpoint| endpoint.url.clone()).collect()
    }

    /// Whether the apiserver answers, knows us, and lets us impersonate.
    pub async fn check(&self) -> Result<(), ClusterError> {
        let (config, authorization) = self.access();
        let result = check::check(config, authorization.as_ref()).await;
        if matches!(result, Err(ClusterError::CredentialRefused)) {
            self.credential_refused();
        }
        result
    }

    /// How the library reaches an endpoint that is well, and our credential.
    fn access(&self) -> (kube::Config, Option<HeaderValue>) {
        self.published.read(|current| {
            let mut config = current.snapshot.config.clone();
            if let Some(endpoint) = current.endpoint() {
                config.cluster_url = endpoint.url.clone();
            }
            (config, current.authorization.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::source::tests::{Directory, kubeconfig};
    use super::*;

    async fn load(directory: &Directory, user: &str) -> Result<Arc<Cluster>, ClusterError> {
        let path = directory.write("kubeconfig", &kubeconfig(user, ""));
        let source = ClusterSource { kubeconfig: Some(path), ..ClusterSource::default() };
        Cluster::load("local", &source, &Telemetry::without_access_log()).await
    }

    /// A user entry with a plugin that runs this shell script.
    fn plugin(directory: &Directory, script: &str) -> String {
        let script = directory.write("plugin", script);
        format!(
            "exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [\"{}\"]}}",
            script.display()
        )
    }

    #[tokio::test]
    async fn a_refused_token_is_asked_for_again_at_once() {
        let directory = Directory::new();
        let count = directory.write("count", "");
        let script = format!(
            "printf x >> {0}\necho '{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \
             \"status\": {{\"token\": \"'$(cat {0})'\"}}}}'",
            count.display()
        );
        let cluster = load(&directory, &plugin(&directory, &script)).await.unwrap();
        let first = cluster.authorization().unwrap();
        assert!(first.is_sensitive() && first.as_bytes().starts_with(b"Bearer x"), "{first:?}");
        let mut changes = cluster.published.subscribe();
        cluster.credential_refused();
        changes.changed().await.unwrap();
        assert!(cluster.authorization().unwrap().len() > first.len());
    }

    #[tokio::test]
    async fn a_failed_plugin_is_reported_without_what_it_printed() {
        let directory = Directory::new();
        let user = plugin(&directory, "echo hunter2; echo hunter2 >&2; exit 3");
        let error = load(&directory, &user).await.err().unwrap();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        let user = plugin(&directory, "echo '{hunter2'");
        let error = load(&directory, &user).await.err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    #[tokio::test]
    async fn a_client_certificate_needs_no_header() {
        let directory = Directory::new();
        let made = rcgen::generate_simple_self_signed(["portcullis".to_owned()]).unwrap();
        directory.write("client.crt", &made.cert.pem());
        directory.write("client.key", &made.signing_key.serialize_pem());
        let cluster =
            load(&directory, "{client-certificate: client.crt, client-key: client.key}").await.unwrap();
        assert_eq!(cluster.authorization(), None);
        let tls = cluster.way().tls;
        assert!(tls.client_auth_cert_resolver.has_certs() && tls.alpn_protocols.is_empty());
    }

    #[tokio::test]
    async fn an_apiserver_that_is_not_there_is_unreachable() {
        let directory = Directory::new();
        // Nothing listens there any more once the listener of this line is gone.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = kubeconfig("token: a", "").replace(":6443", &format!(":{port}"));
        let path = directory.write("kubeconfig", &text);
        let source = ClusterSource { kubeconfig: Some(path), ..ClusterSource::default() };
        let cluster = Cluster::load("local", &source, &Telemetry::without_access_log()).await.unwrap();
        assert!(matches!(cluster.check().await, Err(ClusterError::Unreachable(_))));
    }
}
