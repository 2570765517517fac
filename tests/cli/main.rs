//! The command line as it is typed: the real binary against a stub of the API over real TLS.

// Tests say what went wrong by panicking and index into what they have just built.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod audit;
#[path = "../support/certificates.rs"]
#[allow(dead_code, reason = "the trust of asynchronous clients is for others")]
mod certificates;
mod clusters;
mod command;
mod credential;
#[path = "../support/directory.rs"]
mod directory;
mod features;
mod kubeconfigs;
mod local;
mod many_tokens;
mod run;
mod session;
mod settings;
mod shell;
mod stub;
#[path = "../support/terminal.rs"]
mod terminal;
mod tokens;
mod users;
