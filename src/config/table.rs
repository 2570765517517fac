//! Every configuration key. A new key is one entry here, or in `limits` what is a limit; README and tests follow.

use std::collections::BTreeMap;

use super::cluster_keys;
use super::key::{DefaultValue, Key, Kind, Reload};
use super::limits::LIMITS;
use super::review_keys;
use super::source::Host;
use super::value::{
    address, boolean, choice, count_usize, log_format, origin, path, server_names, system_identities,
};

/// All keys in the order in which documentation shows them: those without a section first, then section by section.
pub const KEYS: &[Key] = &joined::<{ GENERAL.len() + LIMITS.len() + LOG.len() }>(&[GENERAL, LIMITS, LOG]);

const GENERAL: &[Key] = &[
    Key {
        path: "listen",
        environment: "PORTCULLIS_LISTEN",
        flag: Some("listen"),
        kind: Kind::Address,
        default: DefaultValue::Text("0.0.0.0:8443"),
        reload: Reload::Restart,
        help: "Where clients connect (TLS)",
        set: |draft, given| address(given).map(|value| draft.config.listen = value),
    },
    Key {
        path: "adminListen",
        environment: "PORTCULLIS_ADMIN_LISTEN",
        flag: Some("admin-listen"),
        kind: Kind::Address,
        default: DefaultValue::Text("127.0.0.1:9090"),
        reload: Reload::Restart,
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
        reload: Reload::Restart,
        help: "Database and self-made certificate authority",
        set: |draft, given| path(given).map(|value| draft.config.data_dir = value),
    },
    Key {
        path: "backupDir",
        environment: "PORTCULLIS_BACKUP_DIR",
        flag: None,
        kind: Kind::Path,
        default: DefaultValue::Unset,
        reload: Reload::Restart,
        help: "Backups of the database; unset: beside the data directory, with -backups behind its name",
        set: |draft, given| path(given).map(|value| draft.config.backup_dir = value),
    },
    Key {
        path: "tokenHashing",
        environment: "PORTCULLIS_TOKEN_HASHING",
        flag: None,
        kind: Kind::Bool,
        default: DefaultValue::Unset,
        reload: Reload::Restart,
        help: "false at the first start: store keys in clear until the feature token-hashing is enabled",
        set: |draft, given| boolean(given).map(|value| draft.config.token_hashing = Some(value)),
    },
    Key {
        path: "serverUrl",
        environment: "PORTCULLIS_SERVER_URL",
        flag: None,
        kind: Kind::Url,
        default: DefaultValue::Unset,
        reload: Reload::Restart,
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
        reload: Reload::Restart,
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
        reload: Reload::Restart,
        help: "Certificate chain to serve, PEM; unset: one signed by a self-made authority",
        set: |draft, given| path(given).map(|value| draft.tls.certificate = value),
    },
    Key {
        path: "tls.key",
        environment: "PORTCULLIS_TLS_KEY",
        flag: Some("tls-key"),
        kind: Kind::Path,
        default: DefaultValue::Unset,
        reload: Reload::Restart,
        help: "The certificate's private key, PEM",
        set: |draft, given| path(given).map(|value| draft.tls.key = value),
    },
    Key {
        path: "tls.serverNames",
        environment: "PORTCULLIS_TLS_SERVER_NAMES",
        flag: None,
        kind: Kind::List,
        default: DefaultValue::Unset,
        reload: Reload::Restart,
        help: "Further host names and addresses for the self-made certificate",
        set: |draft, given| server_names(given).map(|value| draft.config.server_names = value),
    },
    cluster_keys::KUBECONFIG,
    cluster_keys::CONTEXT,
    cluster_keys::ENDPOINTS,
    cluster_keys::SERVICE_ACCOUNTS,
    cluster_keys::ALLOWED_USERS,
    cluster_keys::ALLOWED_GROUPS,
    review_keys::AUDIENCES,
    review_keys::PER_SECOND,
    review_keys::AT_ONCE,
    Key {
        path: "users.allowedSystemIdentities",
        environment: "PORTCULLIS_USERS_ALLOWED_SYSTEM_IDENTITIES",
        flag: None,
        kind: Kind::List,
        default: DefaultValue::Unset,
        reload: Reload::Live,
        help: "User and group names beginning with system: that may be given to users",
        set: |draft, given| {
            system_identities(given).map(|value| draft.config.allowed_system_identities = value)
        },
    },
];

const LOG: &[Key] = &[
    Key {
        path: "log.format",
        environment: "PORTCULLIS_LOG_FORMAT",
        flag: None,
        kind: Kind::Text,
        default: DefaultValue::Text("json"),
        reload: Reload::Restart,
        help: "Form of log lines: json or text",
        set: |draft, given| log_format(given).map(|value| draft.config.log.format = value),
    },
    Key {
        path: "log.level",
        environment: "PORTCULLIS_LOG_LEVEL",
        flag: None,
        kind: Kind::Text,
        default: DefaultValue::Text("info"),
        reload: Reload::Live,
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
        reload: Reload::Live,
        help: "One line a request",
        set: |draft, given| boolean(given).map(|value| draft.config.log.access = value),
    },
];

/// The sections as one table.
const fn joined<const N: usize>(mut sections: &[&[Key]]) -> [Key; N] {
    let mut table = [FILLER; N];
    let mut rest = table.as_mut_slice();
    while let [section, others @ ..] = sections {
        let (place, behind) = rest.split_at_mut(section.len());
        place.copy_from_slice(section);
        rest = behind;
        sections = others;
    }
    table
}

/// Stands in the table until the sections are in it.
const FILLER: Key = Key {
    path: "",
    environment: "",
    flag: None,
    kind: Kind::Text,
    default: DefaultValue::Unset,
    reload: Reload::Restart,
    help: "",
    set: |_, _| Ok(()),
};

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
