//! The apiserver's vocabulary: how it names what a request asks for, and how it says no. No input or output here.

mod kubeconfig;
mod list_options;
mod request_info;
pub mod reviews;
mod status;

pub use kubeconfig::{Kubeconfig, KubeconfigCredential};
pub use request_info::{RequestInfo, Verb};
pub use status::{Reason, Status};
