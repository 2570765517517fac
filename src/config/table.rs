//! Every configuration key. A new key is one entry here; README and tests follow.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cluster_keys;
use super::key::{DefaultValue, Given, Key, Kind};
use super::source::Host;
use super::value::{
    Expected, address, boolean, bounded_duration, choice, count, count_usize, log_format, origin, path,
    server_names, size, system_identities,
};

/// All keys in the order in which documentation shows them: those without a section first, then section by section.
pub const KEYS: &[Key] = &[
    Key {
        path: "listen",
        environment: "PORTCULLIS_LISTEN",
        flag: Some("listen"),
        kind: Kind::Address,
        default: DefaultValue::Text("0.0.0.0:8443"),
        help: "Where clients connect (TLS)",
        set: |draft, given| address(given).map(|value| draft.config.listen = value),
    },
    Key {
        path: "adminListen",
        environment: "PORTCULLIS_ADMIN_LISTEN",
        flag: Some("admin-listen"),
        kind: Kind::Address,
        default: DefaultValue::Text("127.0.0.1:9090"),
        help: "Where probes and metrics are served (no TLS)",
        set: |draft, given| address(given).map(|value| draft.config.admin_listen = value),
    },
    Key {
        path: "dataDir",
        environment: "PORTCULLIS_DATA_DIR",
        flag: Some("data-dir"),
        kind: Kind::Path,
        default: DefaultValue::Computed(
            "/var/lib/portcullis as root, else ~/.local/share/portcullis",
            default_data_dir,
        ),
        help: "Database and self-made certificate authority",
        set: |draft, given| path(given).map(|value| draft.config.data_dir = value),
    },
    Key {
        path: "backupDir",
        environment: "PORTCULLIS_BACKUP_DIR",
        flag: None,
        kind: Kind::Path,
        default: DefaultValue::Unset,
        help: "Backups of the database; unset: beside the data directory, with -backups behind its name",
        set: |draft, given| path(given).map(|value| draft.config.backup_dir = value),
    },
    Key {
        path: "tokenHashing",
        environment: "PORTCULLIS_TOKEN_HASHING",
        flag: None,
        kind: Kind::Bool,
        default: DefaultValue::Unset,
        help: "false at the first start: store keys in clear until the feature token-hashing is enabled",
        set: |draft, given| boolean(given).map(|value| draft.config.token_hashing = Some(value)),
    },
    Key {
        path: "serverUrl",
        environment: "PORTCULLIS_SERVER_URL",
        flag: None,
        kind: Kind::Url,
        default: DefaultValue::Unset,
        help: "How clients reach the server, for kubeconfigs; unset: from the listen address",
        set: |draft, given| origin(given).map(|value| draft.config.server_url = Some(value)),
    },
    Key {
        path: "workers",
        environment: "PORTCULLIS_WORKERS",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Computed("number of cores", |host, _| {
            Some(host.cores.clamp(1, 1024).to_string())
        }),
        help: "Threads that serve clients",
        set: |draft, given| count_usize(given, 1024).map(|value| draft.config.workers = value),
    },
    cluster_keys::KEY_FILE,
    cluster_keys::FILES_DIR,
    Key {
        path: "tls.certificate",
        environment: "PORTCULLIS_TLS_CERTIFICATE",
        flag: Some("tls-cert"),
        kind: Kind::Path,
        default: DefaultValue::Unset,
        help: "Certificate chain to serve, PEM; unset: one signed by a self-made authority",
        set: |draft, given| path(given).map(|value| draft.tls.certificate = value),
    },
    Key {
        path: "tls.key",
        environment: "PORTCULLIS_TLS_KEY",
        flag: Some("tls-key"),
        kind: Kind::Path,
        default: DefaultValue::Unset,
        help: "The certificate's private key, PEM",
        set: |draft, given| path(given).map(|value| draft.tls.key = value),
    },
    Key {
        path: "tls.serverNames",
        environment: "PORTCULLIS_TLS_SERVER_NAMES",
        flag: None,
        kind: Kind::List,
        default: DefaultValue::Unset,
        help: "Further host names and addresses for the self-made certificate",
        set: |draft, given| server_names(given).map(|value| draft.config.server_names = value),
    },
    cluster_keys::KUBECONFIG,
    cluster_keys::CONTEXT,
    cluster_keys::SERVICE_ACCOUNTS,
    cluster_keys::ALLOWED_USERS,
    cluster_keys::ALLOWED_GROUPS,
    Key {
        path: "users.allowedSystemIdentities",
        environment: "PORTCULLIS_USERS_ALLOWED_SYSTEM_IDENTITIES",
        flag: None,
        kind: Kind::List,
        default: DefaultValue::Unset,
        help: "User and group names beginning with system: that may be given to users",
        set: |draft, given| {
            system_identities(given).map(|value| draft.config.allowed_system_identities = value)
        },
    },
    Key {
        path: "limits.maxConnections",
        environment: "PORTCULLIS_LIMITS_MAX_CONNECTIONS",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("10000"),
        help: "Client connections open at the same time",
        set: |draft, given| {
            count_usize(given, 1_000_000).map(|value| draft.config.limits.max_connections = value)
        },
    },
    Key {
        path: "limits.tlsHandshakeTimeout",
        environment: "PORTCULLIS_LIMITS_TLS_HANDSHAKE_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("10s"),
        help: "From accept to the end of the TLS handshake",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.tls_handshake_timeout = value),
    },
    Key {
        path: "limits.firstByteTimeout",
        environment: "PORTCULLIS_LIMITS_FIRST_BYTE_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("10s"),
        help: "From the handshake to the first byte of a request",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.first_byte_timeout = value),
    },
    Key {
        path: "limits.headerTimeout",
        environment: "PORTCULLIS_LIMITS_HEADER_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("15s"),
        help: "From the first byte of a request to the end of its header",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.header_timeout = value),
    },
    Key {
        path: "limits.bodyIdleTimeout",
        environment: "PORTCULLIS_LIMITS_BODY_IDLE_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("60s"),
        help: "Between two pieces of a request's body",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.body_idle_timeout = value),
    },
    Key {
        path: "limits.idleTimeout",
        environment: "PORTCULLIS_LIMITS_IDLE_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        // Longer than the 90 s that client-go keeps an idle connection: the client closes first, so that no request
        // of its meets a connection that is just being closed.
        default: DefaultValue::Text("2m"),
        help: "How long a connection without a request is kept",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.idle_timeout = value),
    },
    Key {
        path: "limits.maxHeaderBytes",
        environment: "PORTCULLIS_LIMITS_MAX_HEADER_BYTES",
        flag: None,
        kind: Kind::Size,
        default: DefaultValue::Text("128KiB"),
        help: "Size of a request's header",
        set: |draft, given| {
            size(given, 8 << 10, 1 << 20).map(|value| draft.config.limits.max_header_bytes = value)
        },
    },
    Key {
        path: "limits.maxHeaders",
        environment: "PORTCULLIS_LIMITS_MAX_HEADERS",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("512"),
        help: "Number of a request's header fields",
        set: |draft, given| count_usize(given, 10_000).map(|value| draft.config.limits.max_headers = value),
    },
    Key {
        path: "limits.maxStreamsPerConnection",
        environment: "PORTCULLIS_LIMITS_MAX_STREAMS_PER_CONNECTION",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("250"),
        help: "Requests at the same time on one HTTP/2 connection",
        set: |draft, given| {
            count(given, 10_000).map(|value| draft.config.limits.max_streams_per_connection = value)
        },
    },
    Key {
        path: "limits.drainTimeout",
        environment: "PORTCULLIS_LIMITS_DRAIN_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("30s"),
        help: "How long requests may go on after the server was told to stop",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.drain_timeout = value),
    },
    Key {
        path: "limits.connectTimeout",
        environment: "PORTCULLIS_LIMITS_CONNECT_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("10s"),
        help: "For a connection to the apiserver, TLS included",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.connect_timeout = value),
    },
    Key {
        path: "limits.tokenCacheEntries",
        environment: "PORTCULLIS_LIMITS_TOKEN_CACHE_ENTRIES",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("100000"),
        help: "Token records kept in memory",
        set: |draft, given| {
            count(given, 100_000_000).map(|value| draft.config.limits.token_cache_entries = u64::from(value))
        },
    },
    Key {
        path: "limits.logQueueLines",
        environment: "PORTCULLIS_LIMITS_LOG_QUEUE_LINES",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("10000"),
        help: "Lines that wait for the log writer; more are dropped and counted",
        set: |draft, given| {
            count_usize(given, 10_000_000).map(|value| draft.config.limits.log_queue_lines = value)
        },
    },
    Key {
        path: "log.format",
        environment: "PORTCULLIS_LOG_FORMAT",
        flag: None,
        kind: Kind::Text,
        default: DefaultValue::Text("json"),
        help: "Form of log lines: json or text",
        set: |draft, given| log_format(given).map(|value| draft.config.log.format = value),
    },
    Key {
        path: "log.level",
        environment: "PORTCULLIS_LOG_LEVEL",
        flag: None,
        kind: Kind::Text,
        default: DefaultValue::Text("info"),
        help: "Least important level written: error, warn, info, debug or trace",
        set: |draft, given| {
            let level = choice(given, &["error", "warn", "info", "debug", "trace"])?;
            level.clone_into(&mut draft.config.log.level);
            Ok(())
        },
    },
    Key {
        path: "log.access",
        environment: "PORTCULLIS_LOG_ACCESS",
        flag: None,
        kind: Kind::Bool,
        default: DefaultValue::Text("true"),
        help: "One line a request",
        set: |draft, given| boolean(given).map(|value| draft.config.log.access = value),
    },
];

fn timeout(given: &Given) -> Result<Duration, Expected> {
    bounded_duration(given, Duration::from_millis(1), Duration::from_hours(24))
}

fn default_data_dir(host: &Host, environment: &BTreeMap<String, String>) -> Option<String> {
    if host.superuser {
        return Some("/var/lib/portcullis".to_owned());
    }
    // A relative XDG path is to be ignored (XDG base directory specification).
    let absolute = |name: &str| environment.get(name).filter(|path| path.starts_with('/'));
    let data_home = absolute("XDG_DATA_HOME").cloned();
    data_home
        .or_else(|| absolute("HOME").map(|home| format!("{home}/.local/share")))
        .map(|dir| format!("{dir}/portcullis"))
}
