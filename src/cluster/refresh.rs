//! Keeps what the data plane uses of a cluster current: rotated tokens and certificates, and another address, are taken
//! over without a restart; bad ones leave those that work in place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Uri;
use rustls::ClientConfig;
use tokio::time::{sleep, timeout};

use super::credential::Credential;
use super::endpoint::Endpoint;
use super::error::ClusterError;
use super::health::Health;
use super::published::{Current, Published};
use super::source::{Snapshot, Source};
use crate::telemetry::{Reloaded, Telemetry};

/// How often the source is read. Files are compared by what is in them: mounted secrets change by a swap of links.
const INTERVAL: Duration = Duration::from_secs(2);

/// The shortest time between two readings, however often the apiserver refuses our credential.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);

/// A change counts when it was read twice with this time between: it may just be being written.
const SETTLING: Duration = Duration::from_millis(50);
const SETTLING_READINGS: u32 = 20;

/// How long a plugin whose credential is refused again and again is not asked anew: this, and twice as long each time.
const FIRST_PLUGIN_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PLUGIN_PAUSE: Duration = Duration::from_secs(30);

/// How long a credential may take to be had before that is reported. It is waited for all the same: a plugin that hangs
/// holds one thread, and starting it once more would only make two.
const PATIENCE: Duration = Duration::from_secs(30);

/// The side that reads and publishes.
pub(super) struct Refresher {
    place: Place,
    snapshot: Arc<Snapshot>,
    credential: Credential,
    endpoints: Arc<[Arc<Endpoint>]>,
    plugin: PluginPause,
    /// What was wrong with the source at the last reading, so that it is not said at every one.
    last_error: Option<String>,
}

/// Where the access is read, and where what happens there is counted.
pub(super) struct Place {
    pub(super) cluster: Arc<str>,
    pub(super) source: Source,
    /// Instead of the one address of the source.
    pub(super) urls: Vec<Uri>,
    pub(super) telemetry: Arc<Telemetry>,
}

/// Keeps a plugin from being run for every refusal.
struct PluginPause {
    ran: Instant,
    pause: Duration,
}

impl Refresher {
    /// Makes the first credential, or says why there is none.
    pub(super) async fn start(
        place: Place,
        snapshot: Snapshot,
    ) -> Result<(Self, Arc<Published>), ClusterError> {
        let snapshot = Arc::new(snapshot);
        let endpoints = place.endpoints(&snapshot, &Arc::from([]))?;
        let credential = make_credential(&snapshot, None).await?;
        let plugin = PluginPause { ran: Instant::now(), pause: Duration::ZERO };
        let mut refresher = Self { place, snapshot, credential, endpoints, plugin, last_error: None };
        let current = refresher.current().await?;
        refresher.place.telemetry.metrics.reloads.good(Reloaded::ClusterAccess);
        Ok((refresher, Arc::new(Published::new(current))))
    }

    /// Until the task is aborted.
    pub(super) async fn run(mut self, published: Arc<Published>) {
        loop {
            let is_refused = published.wanted_within(INTERVAL).await;
            let reading = published.begin();
            let before = published.read(|current| current.authorization.clone());
            let generation = published.generation();
            match self.refresh(is_refused).await {
                Ok(current) => published.publish(current),
                Err(error) => self.report(&error),
            }
            let is_new = before != published.read(|current| current.authorization.clone())
                || generation != published.generation();
            if is_new {
                self.plugin.pause = Duration::ZERO;
            }
            published.end(reading);
            sleep(SHORTEST_PAUSE).await;
        }
    }

    /// Reads the source; makes the credential anew if anything has changed or the apiserver has refused it.
    async fn refresh(&mut self, is_refused: bool) -> Result<Current, ClusterError> {
        let snapshot = self.settled().await?;
        let is_changed = !snapshot.is_same(&self.snapshot);
        let has_plugin = snapshot.config.auth_info.exec.is_some();
        let is_due = has_plugin && is_refused && self.plugin.may_run();
        if is_changed || is_due || self.credential.is_stale() {
            let endpoints = self.place.endpoints(&snapshot, &self.endpoints)?;
            let tls = snapshot.is_same_tls(&self.snapshot).then(|| Arc::clone(self.credential.tls()));
            let snapshot = Arc::new(snapshot);
            self.credential = make_credential(&snapshot, tls).await?;
            (self.snapshot, self.endpoints) = (snapshot, endpoints);
        }
        let current = self.current().await?;
        let reloads = &self.place.telemetry.metrics.reloads;
        if is_changed {
            tracing::info!(cluster = %self.place.cluster, "cluster access was changed at its source and is in use");
            reloads.taken(Reloaded::ClusterAccess);
        } else {
            reloads.good(Reloaded::ClusterAccess);
        }
        self.last_error = None;
        Ok(current)
    }

    /// The source as it is, or, if that is something else than before, as it is when it no longer changes.
    async fn settled(&self) -> Result<Snapshot, ClusterError> {
        let mut last = self.read().await;
        if last.as_ref().is_ok_and(|snapshot| snapshot.is_same(&self.snapshot)) {
            return last;
        }
        for _ in 0..SETTLING_READINGS {
            sleep(SETTLING).await;
            let now = self.read().await;
            if let (Ok(last), Ok(now)) = (&last, &now)
                && last.is_same(now)
            {
                break;
            }
            let is_lasting = last.is_err() && now.is_err();
            last = now;
            if is_lasting {
                break;
            }
        }
        last
    }

    async fn read(&self) -> Result<Snapshot, ClusterError> {
        let source = self.place.source.clone();
        blocking(move || source.read()).await
    }

    async fn current(&mut self) -> Result<Current, ClusterError> {
        Ok(Current {
            authorization: self.credential.authorization().await?,
            tls: Arc::clone(self.credential.tls()),
            endpoints: Arc::clone(&self.endpoints),
            snapshot: Arc::clone(&self.snapshot),
            reading: 0,
        })
    }

    fn report(&mut self, error: &ClusterError) {
        self.place.telemetry.metrics.reloads.failed(Reloaded::ClusterAccess);
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            let cluster = &self.place.cluster;
            tracing::warn!(%cluster, %error, "cluster access can't be renewed; the last one stays in use");
            self.last_error = Some(text);
        }
    }
}

impl Place {
    /// Where the apiservers are: those of `before` that stay keep their health.
    fn endpoints(
        &self,
        snapshot: &Snapshot,
        before: &Arc<[Arc<Endpoint>]>,
    ) -> Result<Arc<[Arc<Endpoint>]>, ClusterError> {
        let name = snapshot.config.tls_server_name.as_deref();
        let urls = if self.urls.is_empty() {
            std::slice::from_ref(&snapshot.config.cluster_url)
        } else {
            &self.urls
        };
        let is_same = before.len() == urls.len()
            && before.iter().zip(urls).all(|(endpoint, url)| endpoint.is_at(url, name));
        if is_same {
            return Ok(Arc::clone(before));
        }
        let mut endpoints = Vec::with_capacity(urls.len());
        for url in urls {
            let mut endpoint = Endpoint::new(url, name)?;
            if urls.len() > 1 {
                let shown = endpoint.authority.as_str();
                let series = self.telemetry.metrics.endpoints.of(&self.cluster, shown);
                endpoint.health = Health::watched(series, shown);
            }
            endpoints.push(Arc::new(endpoint));
        }
        Ok(endpoints.into())
    }
}

impl PluginPause {
    /// Whether it may run for a refusal now; counts as a run if so.
    fn may_run(&mut self) -> bool {
        if self.ran.elapsed() < self.pause {
            return false;
        }
        self.ran = Instant::now();
        self.pause = (self.pause * 2).clamp(FIRST_PLUGIN_PAUSE, LONGEST_PLUGIN_PAUSE);
        true
    }
}

async fn make_credential(
    snapshot: &Arc<Snapshot>,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Credential, ClusterError> {
    let snapshot = Arc::clone(snapshot);
    blocking(move || Credential::new(&snapshot, tls)).await
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

    async fn start(path: PathBuf) -> Result<(Refresher, Arc<Published>), ClusterError> {
        let source = Source::Kubeconfig { path: Some(path), context: None };
        let reading = source.clone();
        let snapshot = blocking(move || reading.read()).await?;
        let telemetry = Telemetry::without_access_log();
        let place = Place { cluster: "local".into(), source, urls: Vec::new(), telemetry };
        Refresher::start(place, snapshot).await
    }

    #[tokio::test]
    async fn a_rotated_token_file_is_taken_over_and_a_missing_one_changes_nothing() {
        let directory = Directory::new();
        let token = directory.write("token", "first\n");
        let path = directory.write("kubeconfig", &kubeconfig("tokenFile: token", ""));
        let (mut refresher, published) = start(path).await.unwrap();
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
        let (mut refresher, published) = start(path).await.unwrap();
        let tls = published.read(|current| Arc::clone(&current.tls));
        let same = refresher.refresh(false).await.unwrap();
        assert!(Arc::ptr_eq(&same.tls, &tls), "nothing has changed");

        directory.write("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(refresher.refresh(false).await.is_err());
        assert!(Arc::ptr_eq(refresher.credential.tls(), &tls));
        let bundle = certificate() + &certificate();
        for half in ["", &bundle[..300], &bundle[..bundle.len() - 300]] {
            directory.write("ca.crt", half);
            assert!(refresher.refresh(false).await.is_err(), "{half}");
            assert!(Arc::ptr_eq(refresher.credential.tls(), &tls));
        }

        directory.write("ca.crt", &certificate());
        let current = refresher.refresh(false).await.unwrap();
        assert!(!Arc::ptr_eq(&current.tls, &tls));
    }

    #[tokio::test]
    async fn a_changed_address_is_followed_and_a_bad_one_is_not() {
        let directory = Directory::new();
        let text = kubeconfig("token: a", "");
        let path = directory.write("kubeconfig", &text);
        let (mut refresher, published) = start(path).await.unwrap();
        let before = published.generation();
        published.publish(refresher.refresh(false).await.unwrap());
        assert_eq!(published.generation(), before, "nothing has changed");

        directory.write("kubeconfig", &text.replace(":6443", ":6444"));
        published.publish(refresher.refresh(false).await.unwrap());
        assert_ne!(published.generation(), before);
        assert_eq!(published.read(|current| current.endpoints[0].port), 6444);

        directory.write("kubeconfig", &text.replace("https://", "http://"));
        assert!(matches!(refresher.refresh(false).await, Err(ClusterError::NotHttps(_))));
        assert_eq!(refresher.endpoints[0].port, 6444);
    }

    #[tokio::test]
    async fn a_refused_credential_without_another_is_known_to_be_lost() {
        let directory = Directory::new();
        let path = directory.write("kubeconfig", &kubeconfig("token: a", ""));
        let (refresher, published) = start(path).await.unwrap();
        let task = tokio::spawn(refresher.run(Arc::clone(&published)));
        let used = published.read(|current| current.authorization.clone());
        assert_eq!(published.fresher_than(used.as_ref(), published.generation()).await, None);

        directory.write("kubeconfig", &kubeconfig("token: b", ""));
        let mut changes = published.subscribe();
        changes.wait_for(|current| current.authorization != used).await.unwrap();
        let fresh = published.fresher_than(used.as_ref(), published.generation()).await.unwrap();
        assert_eq!(fresh.unwrap(), "Bearer b");
        task.abort();
    }

    #[tokio::test]
    async fn a_refused_credential_is_in_doubt_until_the_source_was_read_and_not_again_at_once() {
        let directory = Directory::new();
        let path = directory.write("kubeconfig", &kubeconfig("token: a", ""));
        let (refresher, published) = start(path).await.unwrap();
        assert!(!published.is_in_doubt());
        published.refused();
        assert!(published.is_in_doubt());
        directory.write("kubeconfig", &kubeconfig("token: b", ""));
        let task = tokio::spawn(refresher.run(Arc::clone(&published)));
        assert_eq!(published.after_doubt().await.unwrap(), "Bearer b");
        assert!(!published.is_in_doubt());

        published.refused();
        assert_eq!(published.after_doubt().await.unwrap(), "Bearer b", "there is no other");
        published.refused();
        assert!(!published.is_in_doubt(), "what is refused for ever holds up nothing");
        task.abort();
    }

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap().cert.pem()
    }
}
