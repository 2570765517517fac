//! The keys of `limits`: what one client, or all together, may take, and for how long.

use std::time::Duration;

use super::key::{DefaultValue, Given, Key, Kind, Reload};
use super::value::{Expected, bounded_duration, chance, count, count_usize, size};

pub(super) const LIMITS: &[Key] = &[
    Key {
        path: "limits.maxConnections",
        environment: "PORTCULLIS_LIMITS_MAX_CONNECTIONS",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("10000"),
        reload: Reload::Live,
        help: "Client connections open at the same time",
        set: |draft, given| {
            count_usize(given, MOST_CONNECTIONS).map(|value| draft.config.limits.max_connections = value)
        },
    },
    Key {
        path: "limits.tlsHandshakeTimeout",
        environment: "PORTCULLIS_LIMITS_TLS_HANDSHAKE_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("10s"),
        reload: Reload::Live,
        help: "From accept to the end of the TLS handshake",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.tls_handshake_timeout = value),
    },
    Key {
        path: "limits.firstByteTimeout",
        environment: "PORTCULLIS_LIMITS_FIRST_BYTE_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("10s"),
        reload: Reload::Live,
        help: "From the handshake to the first byte of a request",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.first_byte_timeout = value),
    },
    Key {
        path: "limits.headerTimeout",
        environment: "PORTCULLIS_LIMITS_HEADER_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("15s"),
        reload: Reload::Live,
        help: "From the first byte of a request to the end of its header",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.header_timeout = value),
    },
    Key {
        path: "limits.bodyIdleTimeout",
        environment: "PORTCULLIS_LIMITS_BODY_IDLE_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("60s"),
        reload: Reload::Live,
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
        reload: Reload::Live,
        help: "How long a connection without a request is kept",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.idle_timeout = value),
    },
    Key {
        path: "limits.maxHeaderBytes",
        environment: "PORTCULLIS_LIMITS_MAX_HEADER_BYTES",
        flag: None,
        kind: Kind::Size,
        default: DefaultValue::Text("128KiB"),
        reload: Reload::Restart,
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
        reload: Reload::Restart,
        help: "Number of a request's header fields",
        set: |draft, given| count_usize(given, 10_000).map(|value| draft.config.limits.max_headers = value),
    },
    Key {
        path: "limits.maxStreamsPerConnection",
        environment: "PORTCULLIS_LIMITS_MAX_STREAMS_PER_CONNECTION",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("250"),
        reload: Reload::Live,
        help: "Requests at the same time on one HTTP/2 connection",
        set: |draft, given| {
            count(given, 10_000).map(|value| draft.config.limits.max_streams_per_connection = value)
        },
    },
    Key {
        path: "limits.maxRequestsInFlight",
        environment: "PORTCULLIS_LIMITS_MAX_REQUESTS_IN_FLIGHT",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("4000"),
        reload: Reload::Live,
        help: "Requests under way at the same time; those that last are not counted",
        set: |draft, given| {
            count_usize(given, 1_000_000).map(|value| draft.config.limits.max_requests_in_flight = value)
        },
    },
    Key {
        path: "limits.maxRequestsInFlightPerUser",
        environment: "PORTCULLIS_LIMITS_MAX_REQUESTS_IN_FLIGHT_PER_USER",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("1000"),
        reload: Reload::Live,
        help: "The same of one user",
        set: |draft, given| {
            count_usize(given, 1_000_000)
                .map(|value| draft.config.limits.max_requests_in_flight_per_user = value)
        },
    },
    Key {
        path: "limits.maxStreams",
        environment: "PORTCULLIS_LIMITS_MAX_STREAMS",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("20000"),
        reload: Reload::Live,
        help: "Watches, logs, exec and the like open at the same time",
        set: |draft, given| {
            count_usize(given, 1_000_000).map(|value| draft.config.limits.max_streams = value)
        },
    },
    Key {
        path: "limits.maxStreamsPerUser",
        environment: "PORTCULLIS_LIMITS_MAX_STREAMS_PER_USER",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("10000"),
        reload: Reload::Live,
        help: "The same of one user",
        set: |draft, given| {
            count_usize(given, 1_000_000).map(|value| draft.config.limits.max_streams_per_user = value)
        },
    },
    Key {
        path: "limits.goawayChance",
        environment: "PORTCULLIS_LIMITS_GOAWAY_CHANCE",
        flag: None,
        kind: Kind::Fraction,
        default: DefaultValue::Text("0"),
        reload: Reload::Live,
        help: "Share of HTTP/2 requests after which their client is asked to connect anew, at most 0.02",
        set: |draft, given| {
            chance(given, MOST_GOAWAYS).map(|value| draft.config.limits.goaway_chance = value)
        },
    },
    Key {
        path: "limits.shutdownDelay",
        environment: "PORTCULLIS_LIMITS_SHUTDOWN_DELAY",
        flag: Some("shutdown-delay"),
        kind: Kind::Duration,
        default: DefaultValue::Text("5s"),
        reload: Reload::Live,
        help: "From the signal to stop, and /readyz saying so, to the end of normal service",
        set: |draft, given| delay(given).map(|value| draft.config.limits.shutdown_delay = value),
    },
    Key {
        path: "limits.watchDrainWindow",
        environment: "PORTCULLIS_LIMITS_WATCH_DRAIN_WINDOW",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("10s"),
        reload: Reload::Live,
        help: "Over how long watches and logs are ended after it",
        set: |draft, given| delay(given).map(|value| draft.config.limits.watch_drain_window = value),
    },
    Key {
        path: "limits.drainTimeout",
        environment: "PORTCULLIS_LIMITS_DRAIN_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("60s"),
        reload: Reload::Live,
        help: "How long requests, exec and port-forward may go on after it",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.drain_timeout = value),
    },
    Key {
        path: "limits.connectTimeout",
        environment: "PORTCULLIS_LIMITS_CONNECT_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("10s"),
        reload: Reload::Live,
        help: "For a connection to the apiserver, TLS included",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.connect_timeout = value),
    },
    Key {
        path: "limits.upgradeTimeout",
        environment: "PORTCULLIS_LIMITS_UPGRADE_TIMEOUT",
        flag: None,
        kind: Kind::Duration,
        default: DefaultValue::Text("30s"),
        reload: Reload::Live,
        help: "For the apiserver's answer to exec, attach and port-forward",
        set: |draft, given| timeout(given).map(|value| draft.config.limits.upgrade_timeout = value),
    },
    Key {
        path: "limits.tokenCacheEntries",
        environment: "PORTCULLIS_LIMITS_TOKEN_CACHE_ENTRIES",
        flag: None,
        kind: Kind::Count,
        default: DefaultValue::Text("100000"),
        reload: Reload::Restart,
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
        reload: Reload::Restart,
        help: "Lines that wait for the log writer; more are dropped and counted",
        set: |draft, given| {
            count_usize(given, 10_000_000).map(|value| draft.config.limits.log_queue_lines = value)
        },
    },
];

/// The highest bound on connections.
pub const MOST_CONNECTIONS: u32 = 1_000_000;

/// As kube-apiserver's `--goaway-chance`: beyond it clients would spend their time with handshakes.
const MOST_GOAWAYS: f64 = 0.02;

/// A span that may be none at all.
fn delay(given: &Given) -> Result<Duration, Expected> {
    bounded_duration(given, Duration::ZERO, Duration::from_hours(24))
}

fn timeout(given: &Given) -> Result<Duration, Expected> {
    bounded_duration(given, Duration::from_millis(1), Duration::from_hours(24))
}
