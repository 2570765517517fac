//! Keeps what the data plane uses of a cluster current: rotated tokens and certificates are taken over without a restart,
//! and bad ones leave those that work in place.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rustls::ClientConfig;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::credential::Credential;
use super::error::ClusterError;
use super::source::{Snapshot, Source};

/// How often the source is read.
const INTERVAL: Duration = Duration::from_secs(30);

/// The shortest time between two readings, however often the apiserver refuses our credential.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a credential may take to be had before that is reported. It is waited for all the same: a plugin that hangs
/// holds one thread, and starting it once more would only make two.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the data plane reads.
pub(super) struct Published {
    current: watch::Sender<Current>,
    pub(super) refused: Notify,
}

/// The access to a cluster at this moment.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) snapshot: Arc<Snapshot>,
}

/// The side that reads and publishes.
pub(super) struct Refresher {
    source: Source,
    snapshot: Arc<Snapshot>,
    credential: Credential,
}

impl Published {
    pub(super) fn read<T>(&self, part: impl FnOnce(&Current) -> T) -> T {
        part(&self.current.borrow())
    }

    /// For tests that wait for a change.
    #[cfg(test)]
    pub(super) fn subscribe(&self) -> watch::Receiver<Current> {
        self.current.subscribe()
    }
}

impl Refresher {
    /// Makes the first credential, or says why there is none.
    pub(super) async fn start(
        source: Source,
        snapshot: Snapshot,
    ) -> Result<(Self, Arc<Published>), ClusterError> {
        let snapshot = Arc::new(snapshot);
        let credential = make_credential(&snapshot).await?;
        let mut refresher = Self { source, snapshot, credential };
        let current = refresher.current().await?;
        Ok((refresher, Arc::new(Published { current: watch::Sender::new(current), refused: Notify::new() })))
    }

    /// Until the task is aborted.
    pub(super) async fn run(mut self, published: Arc<Published>) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let is_refused = tokio::select! {
                () = published.refused.notified() => true,
                () = sleep(INTERVAL) => false,
            };
            let before = published.read(|current| current.authorization.clone());
            match self.refresh(is_refused).await {
                Ok(current) => drop(published.current.send_replace(current)),
                Err(error) => {
                    tracing::warn!(%error, "cluster access can't be renewed; the last one stays in use");
                }
            }
            // A credential that is refused again and again is not asked for once a second for ever.
            let is_new = before != published.read(|current| current.authorization.clone());
            pause = if is_new || !is_refused { SHORTEST_PAUSE } else { (pause * 2).min(INTERVAL) };
            sleep(pause).await;
        }
    }

    /// Reads the source; makes the credential anew if anything has changed or the apiserver has refused it.
    async fn refresh(&mut self, is_refused: bool) -> Result<Current, ClusterError> {
        let source = self.source.clone();
        let snapshot = blocking(move || source.read()).await?;
        let is_changed = !snapshot.is_same(&self.snapshot);
        if is_changed || is_refused || self.credential.is_stale() {
            let snapshot = Arc::new(snapshot);
            self.credential = make_credential(&snapshot).await?;
            self.snapshot = snapshot;
        }
        if is_changed {
            tracing::info!("cluster access was changed at its source and is in use");
        }
        self.current().await
    }

    async fn current(&mut self) -> Result<Current, ClusterError> {
        Ok(Current {
            authorization: self.credential.authorization().await?,
            tls: Arc::clone(self.credential.tls()),
            snapshot: Arc::clone(&self.snapshot),
        })
    }
}

async fn make_credential(snapshot: &Arc<Snapshot>) -> Result<Credential, ClusterError> {
    let snapshot = Arc::clone(snapshot);
    blocking(move || Credential::new(&snapshot)).await
}

/// Runs what blocks on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClusterError> + Send + 'static,
) -> Result<T, ClusterError> {
    let mut task = tokio::task::spawn_blocking(work);
    let done = if let Ok(done) = timeout(PATIENCE, &mut task).await {
        done
    } else {
        tracing::warn!(waited = ?PATIENCE, "cluster access takes long to be had; still waiting");
        task.await
    };
    done.unwrap_or_else(|_| Err(ClusterError::Credential("reading it failed".to_owned())))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cluster::source::tests::{Directory, kubeconfig};

    fn source(path: PathBuf) -> Source {
        Source::Kubeconfig { path: Some(path), context: None }
    }

    async fn start(source: Source) -> Result<(Refresher, Arc<Published>), ClusterError> {
        let reading = source.clone();
        let snapshot = blocking(move || reading.read()).await?;
        Refresher::start(source, snapshot).await
    }

    #[tokio::test]
    async fn a_rotated_token_file_is_taken_over_and_a_missing_one_changes_nothing() {
        let directory = Directory::new();
        let token = directory.write("token", "first\n");
        let path = directory.write("kubeconfig", &kubeconfig("tokenFile: token", ""));
        let (mut refresher, published) = start(source(path)).await.unwrap();
        let first = published.read(|current| current.authorization.clone()).unwrap();
        assert_eq!((first.as_bytes(), first.is_sensitive()), (b"Bearer first".as_slice(), true));

        directory.write("token", "second");
        let current = refresher.refresh(false).await.unwrap();
        assert_eq!(current.authorization.unwrap(), "Bearer second");

        std::fs::remove_file(token).unwrap();
        assert!(matches!(refresher.refresh(false).await, Err(ClusterError::File(..))));
        assert_eq!(refresher.credential.authorization().await.unwrap().unwrap(), "Bearer second");
    }

    #[tokio::test]
    async fn a_bad_authority_leaves_the_good_one_in_place() {
        let directory = Directory::new();
        directory.write("ca.crt", &certificate());
        let path = directory.write("kubeconfig", &kubeconfig("token: a", "certificate-authority: ca.crt"));
        let (mut refresher, published) = start(source(path)).await.unwrap();
        let tls = published.read(|current| Arc::clone(&current.tls));
        let same = refresher.refresh(false).await.unwrap();
        assert!(Arc::ptr_eq(&same.tls, &tls), "nothing has changed");

        directory.write("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(refresher.refresh(false).await.is_err());
        assert!(Arc::ptr_eq(refresher.credential.tls(), &tls));

        directory.write("ca.crt", &certificate());
        let current = refresher.refresh(false).await.unwrap();
        assert!(!Arc::ptr_eq(&current.tls, &tls));
    }

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap().cert.pem()
    }
}
