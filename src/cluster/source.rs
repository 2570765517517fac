//! Where the access to a cluster is read from: a kubeconfig, or the environment of a pod. Read again and again, so that
//! rotated tokens and certificates are seen; the files it names are read into the snapshot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::Config;
use kube::config::{AuthInfo, Cluster, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::runtime::Handle;

use super::authority;
use super::error::{ClusterError, kubeconfig_reason};
use super::recorded::Recorded;
use crate::config::ClusterSource;

/// Which of the places was found to have the access; later readings stay with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// The environment and files that Kubernetes gives a pod.
    InCluster,
    /// A kubeconfig; without a path the one of `KUBECONFIG` or the home directory.
    Kubeconfig { path: Option<PathBuf>, context: Option<String> },
    /// A record.
    Recorded(Arc<Recorded>),
}

/// The access as it was at one time. Everything that can change is in it by value.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) config: Config,
    /// The credential's part, to be compared with. As JSON, because the type itself can't be.
    credential: serde_json::Value,
}

impl Source {
    /// Finds the place and reads it. Blocks.
    pub(super) fn find(wanted: &ClusterSource) -> Result<(Self, Snapshot), ClusterError> {
        let kubeconfig =
            Self::Kubeconfig { path: wanted.kubeconfig.clone(), context: wanted.context.clone() };
        if wanted.kubeconfig.is_some() || wanted.context.is_some() {
            let snapshot = kubeconfig.read()?;
            return Ok((kubeconfig, snapshot));
        }
        let in_cluster = match Config::incluster() {
            Ok(config) => return Ok((Self::InCluster, Snapshot::of(config)?)),
            Err(error) => error.to_string(),
        };
        match kubeconfig.read() {
            Ok(snapshot) => Ok((kubeconfig, snapshot)),
            Err(ClusterError::Kubeconfig { reason, .. }) => {
                Err(ClusterError::NotConfigured { in_cluster, kubeconfig: reason })
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the place as it is now. Blocks.
    pub(super) fn read(&self) -> Result<Snapshot, ClusterError> {
        match self {
            Self::InCluster => {
                let config = Config::incluster().map_err(|error| ClusterError::NotConfigured {
                    in_cluster: error.to_string(),
                    kubeconfig: "not looked for".to_owned(),
                })?;
                Snapshot::of(config)
            }
            Self::Kubeconfig { path, context } => read_kubeconfig(path.as_deref(), context.as_deref()),
            Self::Recorded(record) => record.read(),
        }
    }
}

impl Snapshot {
    pub(super) fn of(mut config: Config) -> Result<Self, ClusterError> {
        refuse_unsafe(&config)?;
        if config.root_cert.as_ref().is_some_and(Vec::is_empty) {
            return Err(authority::none());
        }
        // Our own reading replaces the library's: its verifier would read this file in the middle of a handshake.
        config.root_cert_file = None;
        config.proxy_url = None;
        inline_files(&mut config.auth_info)?;
        if let Some(exec) = &mut config.auth_info.exec {
            // Nobody sits at a server. The plugin is told, so that it fails and says so instead of waiting.
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        let credential = serde_json::to_value(&config.auth_info)
            .map_err(|_| ClusterError::Credential("user entry can't be represented".to_owned()))?;
        Ok(Self { config, credential })
    }

    /// Whether this is the same access.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.credential == other.credential
            && self.is_same_tls(other)
            && self.config.cluster_url == other.config.cluster_url
    }

    /// Whether connections that were made with the one are as good as those made with the other.
    pub(super) fn is_same_tls(&self, other: &Self) -> bool {
        let same_part = |name: &str| self.credential.get(name) == other.credential.get(name);
        self.config.root_cert == other.config.root_cert
            && self.config.tls_server_name == other.config.tls_server_name
            && same_part("client-certificate-data")
            && same_part("client-key-data")
    }
}

pub(super) fn read_kubeconfig(path: Option<&Path>, context: Option<&str>) -> Result<Snapshot, ClusterError> {
    let file = path.map_or("of this environment".to_owned(), |path| path.display().to_string());
    let wrong = |error: KubeconfigError| ClusterError::Kubeconfig {
        file: file.clone(),
        reason: kubeconfig_reason(&error),
    };
    let mut kubeconfig = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    }
    .map_err(wrong)?;
    if let Some(cluster) = cluster_of(&mut kubeconfig, context) {
        refuse_proxy(cluster)?;
        authority::inline(cluster)?;
    }
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    // The library's function is async in name only: it waits for nothing.
    let config = Handle::current().block_on(Config::from_custom_kubeconfig(kubeconfig, &options));
    Snapshot::of(config.map_err(wrong)?)
}

/// The cluster of a context; without one, of the current.
fn cluster_of<'k>(kubeconfig: &'k mut Kubeconfig, context: Option<&str>) -> Option<&'k mut Cluster> {
    let context = context.or(kubeconfig.current_context.as_deref());
    let context = kubeconfig.contexts.iter().find(|named| Some(named.name.as_str()) == context)?;
    let name = &context.context.as_ref()?.cluster;
    kubeconfig.clusters.iter_mut().find(|named| named.name == *name)?.cluster.as_mut()
}

/// A proxy that the kubeconfig itself asks for is refused rather than passed by. Those of the environment
/// (`HTTPS_PROXY`) are passed by on purpose: they lead out of a network, and the apiserver is in it.
fn refuse_proxy(cluster: &Cluster) -> Result<(), ClusterError> {
    match cluster.proxy_url.as_deref() {
        None | Some("") => Ok(()),
        Some(_) => Err(ClusterError::Unsupported("proxy-url, and we connect to the apiserver directly")),
    }
}

fn refuse_unsafe(config: &Config) -> Result<(), ClusterError> {
    if config.accept_invalid_certs {
        return Err(ClusterError::Unverified);
    }
    let auth = &config.auth_info;
    let impersonates = auth.impersonate.is_some()
        || auth.impersonate_uid.is_some()
        || auth.impersonate_groups.is_some()
        || auth.impersonate_user_extra.is_some();
    if impersonates {
        // A request can impersonate one user, and that is ours to choose.
        return Err(ClusterError::Unsupported(
            "as, as-uid, as-groups or as-user-extra, which are ours to send",
        ));
    }
    if auth.auth_provider.is_some() {
        return Err(ClusterError::Unsupported(
            "auth-provider, which Kubernetes replaced by exec plugins in 1.26",
        ));
    }
    let mode = auth.exec.as_ref().and_then(|exec| exec.interactive_mode.as_ref());
    if mode == Some(&ExecInteractiveMode::Always) {
        return Err(ClusterError::Unsupported(
            "an exec plugin that needs a terminal (interactiveMode Always)",
        ));
    }
    Ok(())
}

/// Puts the contents of files in the place of their names, so that a change of a file is a change of the snapshot.
fn inline_files(auth: &mut AuthInfo) -> Result<(), ClusterError> {
    if let Some(path) = auth.token_file.take()
        && auth.token.is_none()
    {
        let token = std::fs::read_to_string(&path).map_err(|error| ClusterError::File(path, error))?;
        // Trimmed as client-go does: an editor's newline can't be in a header.
        let token = token.trim();
        if token.is_empty() {
            // Most likely it is just being written.
            return Err(ClusterError::Credential("token file is empty".to_owned()));
        }
        auth.token = Some(token.to_owned().into());
    }
    let read = |path: String| match std::fs::read(&path) {
        Ok(bytes) => Ok(STANDARD.encode(bytes)),
        Err(error) => Err(ClusterError::File(path, error)),
    };
    if let Some(path) = auth.client_certificate.take()
        && auth.client_certificate_data.is_none()
    {
        auth.client_certificate_data = Some(read(path)?);
    }
    if let Some(path) = auth.client_key.take()
        && auth.client_key_data.is_none()
    {
        auth.client_key_data = Some(read(path)?.into());
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory that goes with its test.
    pub(in super::super) struct Directory(PathBuf);

    impl Directory {
        pub(in super::super) fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path =
                std::env::temp_dir().join(format!("portcullis-cluster-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub(in super::super) fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A kubeconfig with these lines for its user and its cluster.
    pub(in super::super) fn kubeconfig(user: &str, cluster: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: main\n\
             contexts: [{{name: main, context: {{cluster: main, user: main}}}}]\n\
             clusters:\n- name: main\n  cluster:\n    server: https://127.0.0.1:6443\n    {cluster}\n\
             users:\n- name: main\n  user:\n    {user}\n"
        )
    }

    /// `Source::find` blocks and wants a thread of its own, as in the program.
    async fn find(text: &str, context: Option<&str>) -> Result<Snapshot, ClusterError> {
        let directory = Directory::new();
        let wanted = ClusterSource {
            kubeconfig: Some(directory.write("kubeconfig", text)),
            context: context.map(str::to_owned),
            ..ClusterSource::default()
        };
        tokio::task::spawn_blocking(move || Source::find(&wanted))
            .await
            .unwrap()
            .map(|(_, snapshot)| snapshot)
    }

    #[tokio::test]
    async fn what_would_weaken_the_connection_or_the_impersonation_is_refused() {
        for (user, cluster) in [
            ("token: a", "insecure-skip-tls-verify: true"),
            ("token: a", "proxy-url: http://proxy.example.com:3128"),
            ("as: root", ""),
            ("as-groups: [\"system:masters\"]", ""),
            ("auth-provider: {name: gcp, config: {}}", ""),
            ("exec: {apiVersion: client.authentication.k8s.io/v1, command: a, interactiveMode: Always}", ""),
        ] {
            let result = find(&kubeconfig(user, cluster), None).await;
            let error = result.err().unwrap_or_else(|| panic!("{user} {cluster} was taken"));
            assert!(matches!(error, ClusterError::Unverified | ClusterError::Unsupported(_)), "{error}");
        }
        assert!(find(&kubeconfig("token: a", "insecure-skip-tls-verify: false"), None).await.is_ok());
    }

    #[tokio::test]
    async fn an_error_names_the_file_and_what_is_missing() {
        let error = find(&kubeconfig("token: a", ""), Some("other")).await.err().unwrap().to_string();
        assert!(error.contains("kubeconfig /") && error.contains("other"), "{error}");
        let missing = ClusterSource { kubeconfig: Some("no-such-file".into()), ..ClusterSource::default() };
        let error = Source::find(&missing).err().unwrap().to_string();
        assert!(error.contains("no-such-file"), "{error}");
    }

    #[tokio::test]
    async fn a_broken_kubeconfig_is_not_quoted() {
        let text = kubeconfig("token: [hunter2", "");
        let error = find(&text, None).await.err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    #[tokio::test]
    async fn another_credential_authority_or_address_makes_another_access() {
        let first = kubeconfig("token: a", "");
        let access = find(&first, None).await.unwrap();
        assert!(access.is_same(&find(&first, None).await.unwrap()));
        let token = find(&kubeconfig("token: b", ""), None).await.unwrap();
        assert!(!access.is_same(&token) && access.is_same_tls(&token));
        let name = find(&kubeconfig("token: a", "tls-server-name: b"), None).await.unwrap();
        assert!(!access.is_same(&name) && !access.is_same_tls(&name));
        let address = find(&first.replace(":6443", ":6444"), None).await.unwrap();
        assert!(!access.is_same(&address) && access.is_same_tls(&address));
    }
}
