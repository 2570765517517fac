//! Why a service account's token gets nobody in.

use std::sync::Arc;

use http::StatusCode;

use super::Refusal;
use crate::cluster::AskError;
use crate::telemetry::AuthenticationResult;

/// Why a request with a service account's token is not authenticated.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AccountError {
    /// The configuration says that this cluster's service accounts are not served.
    #[error("service accounts of this cluster are not accepted")]
    Denied,
    /// It was presented where no cluster can vouch for it: at our own API, or for a cluster that we don't have.
    #[error("a service account's token is good for its cluster alone")]
    Elsewhere,
    /// The cluster has answered, and the token is not accepted.
    #[error("service account is refused")]
    Refused(#[source] Refusal),
    /// We can't tell: the cluster gives no answer.
    #[error("the cluster does not say whose the token is")]
    Unanswered(#[source] Arc<AskError>),
    /// We can't tell yet: too many tokens are being reviewed.
    #[error("too many tokens of service accounts are being reviewed")]
    Busy,
    /// The token can't be passed through: on a connection with our client certificate the cluster would take the request
    /// for ours.
    #[error("tokens can't be passed through to a cluster that we show a client certificate")]
    Certificate,
}

impl AccountError {
    /// Whose fault it is, as HTTP says it: 401 only when the token itself is bad.
    pub(in crate::authn) fn status(&self) -> StatusCode {
        match self {
            Self::Denied | Self::Elsewhere | Self::Refused(_) => StatusCode::UNAUTHORIZED,
            Self::Unanswered(_) | Self::Busy | Self::Certificate => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The error as the metric and the log name it.
    pub(in crate::authn) fn result(&self) -> AuthenticationResult {
        match self {
            Self::Denied => AuthenticationResult::AccountDenied,
            Self::Elsewhere => AuthenticationResult::AccountElsewhere,
            Self::Refused(_) => AuthenticationResult::AccountRefused,
            Self::Unanswered(_) => AuthenticationResult::ReviewFailed,
            Self::Busy => AuthenticationResult::ReviewBusy,
            Self::Certificate => AuthenticationResult::AccountCertificate,
        }
    }
}
