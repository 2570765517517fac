//! The integration tests: the real binary, reached through real sockets.
//!
//! Where a test is about exact bytes or about faults, the upstream is a stub that records every byte. What a real
//! apiserver makes of the gate's requests is tested against a real one, in the files `real_…`.

// Tests say what went wrong by panicking, index into what they have just built, and build texts the short way.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]
#![allow(clippy::format_push_string)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/cluster/mod.rs"]
mod cluster;

mod access_log;
mod added_clusters;
mod api;
mod apiserver;
mod asking;
mod backpressure;
mod backup;
mod canary;
mod chaos;
mod clusters;
mod compressed;
mod corrupted;
mod crash;
mod creation;
mod credentials;
mod cuts;
mod cuts_at_events;
mod data_directory;
mod deadlines;
mod endpoints;
mod fairness;
mod foretold;
mod goaway;
mod guessing;
mod hashes;
mod hashing;
mod identity;
mod impersonation;
mod last_use;
mod leaderless;
mod limits;
mod live_limits;
mod live_rules;
mod methods;
mod overload;
mod own_credential;
mod page_resources;
mod page_safety;
mod pages;
mod passthrough;
mod paths;
mod person;
mod python;
mod real_chaos;
mod real_clusters;
mod real_cuts;
mod real_gate;
mod real_helm;
mod real_impersonation;
mod real_informer;
mod real_kubeconfig;
mod real_kubectl;
mod real_many_watches;
mod real_mixed_streams;
mod real_outage;
mod real_own_credential;
mod real_restart;
mod real_revocation;
mod real_rolling;
mod real_run;
mod real_service_accounts;
mod real_stream_client;
mod real_streams;
mod real_trust;
mod real_tunnel_cuts;
mod reload;
mod revocation;
mod rolling;
mod rotation;
mod sealed;
mod service_account_floods;
mod service_account_passthrough;
mod service_accounts;
mod shutdown;
mod smuggling;
mod spoofing;
mod stub;
mod telemetry_tokens;
mod truncation;
mod tunnel_cuts;
mod tunnel_reasons;
mod tunnels;
mod unverified;
mod upgrades;
mod upstream;
mod warnings;
mod watches;
mod web_pages;
mod web_schemathesis;
mod web_tools;
