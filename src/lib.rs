//! Portcullis: a token authority and authenticating reverse proxy for the Kubernetes API.
//!
//! The rooms and who may import whom stand in ARCHITECTURE.md; `tests/house` holds the table.

pub mod api;
pub mod authn;
pub mod authority;
pub mod authz;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod identity;
pub mod kube;
pub mod live;
pub mod proxy;
mod random;
pub mod secret;
pub mod server;
pub mod setting;
pub mod store;
pub mod streams;
pub mod telemetry;
pub mod token;
pub mod upstream;
pub mod user;
