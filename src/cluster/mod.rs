//! A cluster behind us: where its apiserver is, how we know that it is the one, and our own credential there. All of it
//! is read from a kubeconfig, from a pod's environment or from the cluster's record, and read again while we run. The
//! [`Registry`] has all of them, by id.

mod ask;
mod check;
mod credential;
mod endpoint;
mod error;
mod given;
mod record;
mod recorded;
mod refresh;
mod registry;
mod seal;
mod source;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rustls::ClientConfig;
use tokio::task::AbortHandle;
use tokio::time::timeout;

pub use ask::AskError;
pub use endpoint::Endpoint;
pub use error::ClusterError;
pub use given::{CheckedReach, GivenCredential, GivenError, GivenReach};
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
use ask::Asker;
use recorded::Recorded;
use refresh::{Published, Refresher, blocking};
use source::{Snapshot, Source};

/// The longest that a start waits for the credential.
const LOAD_LIMIT: Duration = Duration::from_mins(1);

/// One cluster. Dropping it ends its refreshing.
pub struct Cluster {
    id: Arc<str>,
    endpoint: Endpoint,
    published: Arc<Published>,
    asker: Arc<Asker>,
    refreshing: AbortHandle,
}

impl Cluster {
    /// Reads the access to a cluster and starts to keep it current on the runtime that this is called on, where questions
    /// to the apiserver are asked as well. No word is spoken with it yet: that is [`check`](Self::check).
    pub async fn load(id: &str, source: &ClusterSource) -> Result<Arc<Self>, ClusterError> {
        let wanted = source.clone();
        Self::load_from(id.into(), move || Source::find(&wanted)).await
    }

    /// The same for a cluster of which there is a record.
    async fn load_recorded(record: Arc<Recorded>, id: &ClusterId) -> Result<Arc<Self>, ClusterError> {
        let find = move || Ok((Source::Recorded(Arc::clone(&record)), record.read()?));
        Self::load_from(Arc::clone(id.shared()), find).await
    }

    async fn load_from(
        id: Arc<str>,
        find: impl FnOnce() -> Result<(Source, Snapshot), ClusterError> + Send + 'static,
    ) -> Result<Arc<Self>, ClusterError> {
        let loaded = timeout(LOAD_LIMIT, async {
            let (source, snapshot) = blocking(find).await?;
            let config = &snapshot.config;
            let endpoint = Endpoint::new(&config.cluster_url, config.tls_server_name.as_deref())?;
            let (refresher, published) = Refresher::start(source, snapshot).await?;
            let refreshing = tokio::spawn(refresher.run(Arc::clone(&published))).abort_handle();
            let asker = Asker::new(endpoint.clone(), Arc::clone(&published));
            Ok(Arc::new(Self { id, endpoint, published, asker, refreshing }))
        });
        loaded.await.unwrap_or(Err(ClusterError::CredentialTimeout(LOAD_LIMIT)))
    }

    /// The name by which clients and logs call it.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Where its apiserver is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How to speak TLS with the apiserver, without ALPN. Another value, to be told by its pointer, once certificates
    /// have changed.
    pub fn tls(&self) -> Arc<ClientConfig> {
        self.published.read(|current| Arc::clone(&current.tls))
    }

    /// Our own credential, marked sensitive; none with a client certificate.
    pub fn authorization(&self) -> Option<HeaderValue> {
        self.published.read(|current| current.authorization.clone())
    }

    /// The apiserver has answered 401 to our credential: it is read again at once, though not more than once a second.
    pub fn credential_refused(&self) {
        self.published.refused.notify_one();
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

    /// Asks the apiserver by which name it knows us. From any thread.
    ///
    /// # Errors
    /// [`AskError`] says why there is no answer.
    pub async fn own_name(&self) -> Result<String, AskError> {
        self.asker.own_name().await
    }

    /// Whether the apiserver answers, knows us, and lets us impersonate.
    pub async fn check(&self) -> Result<(), ClusterError> {
        let (config, authorization) =
            self.published.read(|current| (current.snapshot.config.clone(), current.authorization.clone()));
        let result = check::check(config, authorization.as_ref()).await;
        if matches!(result, Err(ClusterError::CredentialRefused)) {
            self.credential_refused();
        }
        result
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.refreshing.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::source::tests::{Directory, kubeconfig};
    use super::*;

    async fn load(directory: &Directory, user: &str) -> Result<Arc<Cluster>, ClusterError> {
        let path = directory.write("kubeconfig", &kubeconfig(user, ""));
        Cluster::load("local", &ClusterSource { kubeconfig: Some(path), context: None }).await
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
        assert!(cluster.tls().client_auth_cert_resolver.has_certs());
        assert!(cluster.tls().alpn_protocols.is_empty());
    }

    #[tokio::test]
    async fn an_apiserver_that_is_not_there_is_unreachable() {
        let directory = Directory::new();
        // Nothing listens there any more once the listener of this line is gone.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = kubeconfig("token: a", "").replace(":6443", &format!(":{port}"));
        let path = directory.write("kubeconfig", &text);
        let source = ClusterSource { kubeconfig: Some(path), context: None };
        let cluster = Cluster::load("local", &source).await.unwrap();
        assert!(matches!(cluster.check().await, Err(ClusterError::Unreachable(_))));
    }
}
