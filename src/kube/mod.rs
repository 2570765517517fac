//! The apiserver's vocabulary: how it names what a request asks for, and how it says no. No input or output here.

mod kubeconfig;
mod list_options;
mod request_info;
pub mod reviews;
mod status;
mod subject_access;
mod token_review;
mod watch_event;

pub(crate) use list_options::unescape_bytes;

pub use kubeconfig::{Kubeconfig, KubeconfigContext, KubeconfigCredential};
pub use request_info::{RequestInfo, Verb};
pub use status::{Reason, Status};
pub use subject_access::{
    Attributes, Subject, access, self_access, self_access_review, subject_access_review,
};
pub use token_review::{ReviewedToken, reviewed_token, token_review};
