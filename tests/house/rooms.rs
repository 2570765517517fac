//! The tables as data.

/// The rooms by level, lowest first. A room imports only from lower levels, never from its neighbours.
pub(crate) const LEVELS: &[&[&str]] = &[
    &["secret", "clock", "random", "kube", "live"],
    &["identity", "setting"],
    &["token", "user", "config"],
    &["telemetry"],
    &["cluster"],
    &["store"],
    &["authority", "streams"],
    &["authn"],
    &["authz"],
    &["upstream"],
    &["proxy", "api"],
    &["server"],
    &["cli", "main"],
];

/// A library, or a part of one, and the only rooms that may use it.
pub(crate) struct Border {
    pub(crate) path: &'static str,
    pub(crate) rooms: &'static [&'static str],
}

/// The libraries that shape what is around them. Each could be replaced by touching its rooms alone.
pub(crate) const BORDERS: &[Border] = &[
    Border { path: "argon2", rooms: &["user"] },
    Border { path: "askama", rooms: &["api"] },
    Border { path: "aws_lc_rs", rooms: &["authn", "cluster", "server"] },
    Border { path: "axum", rooms: &["api"] },
    Border { path: "clap", rooms: &["cli"] },
    Border { path: "cookie", rooms: &["api"] },
    Border { path: "h2::client", rooms: &["upstream"] },
    Border { path: "hyper::client", rooms: &["cluster", "upstream"] },
    Border { path: "k8s_openapi", rooms: &["kube", "cluster"] },
    Border { path: "kube", rooms: &["cluster"] },
    Border { path: "moka", rooms: &["authn", "authz"] },
    Border { path: "prometheus_client", rooms: &["telemetry"] },
    Border { path: "rcgen", rooms: &["server"] },
    Border { path: "rpassword", rooms: &["cli"] },
    Border { path: "rusqlite", rooms: &["store"] },
    Border { path: "scrypt", rooms: &["token"] },
    Border { path: "sha2", rooms: &["token", "store"] },
    Border { path: "sha3", rooms: &["token"] },
    Border { path: "std::env::var", rooms: &["config", "cli"] },
    Border { path: "std::env::var_os", rooms: &["config", "cli"] },
    Border { path: "std::env::vars", rooms: &["config"] },
    Border { path: "std::env::vars_os", rooms: &["config"] },
    Border { path: "tikv_jemallocator", rooms: &["main"] },
    Border { path: "tracing_subscriber", rooms: &["telemetry"] },
    Border { path: "ureq", rooms: &["cli"] },
    Border { path: "utoipa", rooms: &["api"] },
];

/// The level of a room.
pub(crate) fn level_of(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}
