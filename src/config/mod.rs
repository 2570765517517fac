//! How the server is set up: a file, environment variables and flags become one checked [`Config`].
//!
//! [`KEYS`] is the whole surface as data: the help of the program, the file's schema, the table in the README and the
//! tests are all read from it. A flag beats the environment, the environment beats the file, the file beats the
//! default. All mistakes are reported at once, and a key nobody knows is a mistake. No key holds a secret.

mod cluster_keys;
mod clusters;
mod error;
mod file;
mod key;
mod limits;
mod live;
mod resolution;
mod review_keys;
mod settings;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use clusters::{ClusterRules, ConfiguredCluster, CredentialFiles, ServiceAccountMode};
pub use error::{ConfigError, ConfigErrors};
pub use key::{DefaultValue, Given, Key, Kind, Reload};
pub use limits::MOST_CONNECTIONS;
pub use live::{LiveConfig, OwnLimits};
pub use resolution::{Resolution, Value};
pub use review_keys::Reviews;
pub use source::{ConfigFile, Host, Origin, Sources};
pub use table::KEYS;
pub use value::{Expected, duration};

use crate::setting::Values;

/// The value of `apiVersion` in a configuration file.
pub const API_VERSION: &str = "portcullis.dev/v1alpha1";

/// The value of `kind` in a configuration file.
pub const KIND: &str = "Configuration";

/// The configuration of a server, resolved and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where probes and metrics are served, without TLS and without credentials: keep it inside.
    pub admin_listen: SocketAddr,
    /// Where the database and the self-made certificate authority live.
    pub data_dir: PathBuf,
    /// Where backups of the database are written; never inside `data_dir`.
    pub backup_dir: PathBuf,
    /// Whether the keys of tokens are stored as hashes. `Some(false)` counts at the first start only.
    pub token_hashing: Option<bool>,
    /// How clients reach us, as it is written into kubeconfigs; `None` derives it from `listen`.
    pub server_url: Option<String>,
    /// The certificate to serve; `None` makes a certificate authority of our own in `data_dir`.
    pub tls: Option<TlsFiles>,
    /// Further names and addresses for the self-made certificate.
    pub server_names: Vec<String>,
    /// Where the Kubernetes cluster behind us is found.
    pub cluster: ClusterSource,
    /// What holds for that cluster beside where it is.
    pub cluster_rules: ClusterRules,
    /// Further clusters.
    pub clusters: Vec<ConfiguredCluster>,
    /// The file with the key for credentials of clusters that are added by value.
    pub cluster_key_file: PathBuf,
    /// The directory below which clusters that are added may name files; `None`: they may name none.
    pub cluster_files_dir: Option<PathBuf>,
    /// How the tokens of service accounts are reviewed.
    pub reviews: Reviews,
    /// Exactly these user and group names that begin with `system:` may be given to users.
    pub allowed_system_identities: Vec<String>,
    /// Threads that serve clients.
    pub workers: usize,
    /// What one client, or all together, may take.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
    /// The settings that the environment fixes; they have no key in a file, as administrators set them by the API.
    pub settings: Values,
}

/// A certificate chain and its private key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// Where the Kubernetes cluster is found. With neither set: the in-cluster environment, else the current context.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterSource {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig other than its current one.
    pub context: Option<String>,
    /// Where its apiservers are, instead of the one address that is found with the rest.
    pub endpoints: Vec<http::Uri>,
}

/// Bounds. None of them can be switched off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Client connections open at the same time.
    pub max_connections: usize,
    /// From accept to the end of the TLS handshake.
    pub tls_handshake_timeout: Duration,
    /// From the handshake to the first byte of a request.
    pub first_byte_timeout: Duration,
    /// From the first byte of a request to the end of its header.
    pub header_timeout: Duration,
    /// Between two pieces of a request's body.
    pub body_idle_timeout: Duration,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// The size of a request's header, in bytes.
    pub max_header_bytes: usize,
    /// The number of header fields of a request.
    pub max_headers: usize,
    /// Requests at the same time on one HTTP/2 connection.
    pub max_streams_per_connection: u32,
    /// Requests under way at the same time, those that last not counted.
    pub max_requests_in_flight: usize,
    /// The same of one user.
    pub max_requests_in_flight_per_user: usize,
    /// Requests that last, open at the same time.
    pub max_streams: usize,
    /// The same of one user.
    pub max_streams_per_user: usize,
    /// After which share of HTTP/2 requests their client is asked to connect anew.
    pub goaway_chance: Chance,
    /// From the signal to stop to the end of normal service.
    pub shutdown_delay: Duration,
    /// Over how long watches and logs are ended after that.
    pub watch_drain_window: Duration,
    /// How long requests may go on after normal service has ended.
    pub drain_timeout: Duration,
    /// For a connection to the apiserver, TLS included.
    pub connect_timeout: Duration,
    /// For the apiserver's answer to an upgrade.
    pub upgrade_timeout: Duration,
    /// Token records the gate keeps in memory.
    pub token_cache_entries: u64,
    /// Lines that wait for the log writer; more are dropped and counted.
    pub log_queue_lines: usize,
}

/// A share of all cases, kept in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chance(u32);

/// What is logged, and how. Logs go to standard error, access lines to standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is written: error, warn, info, debug or trace.
    pub level: String,
    /// Whether each request has its line.
    pub access: bool,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Words for people.
    Text,
}

impl Chance {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    pub(crate) fn of_share(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * f64::from(MILLION)).round() as u32)
    }

    /// Whether no case is ever chosen.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether a case with this random number is among the chosen.
    pub fn chooses(self, random: u64) -> bool {
        random % u64::from(MILLION) < u64::from(self.0)
    }
}

impl Config {
    /// Resolves and checks every key, or says all that is wrong.
    pub fn resolve(sources: &Sources) -> Result<Self, ConfigErrors> {
        Resolution::of(sources).map(|resolution| resolution.config)
    }

    /// A start for the keys' setters. Nobody sees it: each key without an own "unset" has a default that replaces it.
    pub(crate) fn blank() -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            listen: nowhere,
            admin_listen: nowhere,
            data_dir: PathBuf::new(),
            backup_dir: PathBuf::new(),
            token_hashing: None,
            server_url: None,
            tls: None,
            server_names: Vec::new(),
            cluster: ClusterSource::default(),
            cluster_rules: ClusterRules::default(),
            clusters: Vec::new(),
            cluster_key_file: PathBuf::new(),
            cluster_files_dir: None,
            reviews: Reviews::default(),
            allowed_system_identities: Vec::new(),
            workers: 1,
            limits: Limits::default(),
            log: Log { format: LogFormat::Json, level: String::new(), access: true },
            settings: Values::new(),
        }
    }
}

const MILLION: u32 = 1_000_000;
