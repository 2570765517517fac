//! Why a request to a cluster is refused, and the one place that turns it into an answer.

use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode};

use super::admission::Full;
use super::body::GateBody;
use crate::authn::{AccountError, AuthnError};
use crate::authz::ImpersonationError;
use crate::cluster::ClusterId;
use crate::identity::Username;
use crate::kube::Status;
use crate::streams::{Cut, CutReason, Guard};
use crate::telemetry::with_causes;
use crate::upstream::{AskedError, HeaderError, UpstreamError};

/// When a client should come back after a fault of ours.
const RETRY: Duration = Duration::from_secs(1);

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A message that two servers could read differently.
    #[error("ambiguous message: {0}")]
    Ambiguous(&'static str),
    /// A method that means nothing behind us, or would mean something to us alone (CONNECT, TRACE).
    #[error("method is not allowed")]
    Method,
    /// A method nobody knows.
    #[error("method is not implemented")]
    UnknownMethod,
    /// More header than we take.
    #[error("request header is too large")]
    HeaderTooLarge,
    /// A cluster that we don't have.
    #[error("unknown cluster")]
    UnknownCluster,
    /// A user who may not use the cluster at all.
    #[error("user \"{user}\" may not use cluster \"{cluster}\"")]
    ClusterDenied {
        /// Who.
        user: Username,
        /// Which.
        cluster: ClusterId,
    },
    /// A cluster whose credential, or what else is needed to reach it, we can't have.
    #[error("the cluster can't be used: {0}")]
    ClusterFailing(Arc<str>),
    /// A token that is good for our own metrics alone was presented for something else.
    #[error("the token is good for metrics alone")]
    MetricsAlone,
    /// Too many requests are under way.
    #[error("too many requests are under way")]
    TooManyRequests(Full),
    /// Too many long-running requests are open.
    #[error("too many long-running requests are open")]
    TooManyStreams(Full),
    /// The request is not authenticated.
    #[error(transparent)]
    Authentication(#[from] AuthnError),
    /// Headers that must not be there.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Impersonation headers that can't be read.
    #[error(transparent)]
    Asked(#[from] AskedError),
    /// The client may not be whom it asks to be, or nobody can say.
    #[error(transparent)]
    Impersonation(#[from] ImpersonationError),
    /// The cluster gave no answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The cluster did not answer an upgrade in time.
    #[error("the cluster did not answer the upgrade in time")]
    UpgradeTimeout,
    /// The cluster answered an upgrade with something that is neither the upgrade nor an error.
    #[error("the cluster answered the upgrade with something else")]
    UpgradeMismatch,
    /// The request lasted until it was cut.
    #[error("the request was cut: {message}")]
    Cut {
        /// Why, for the log and the metric.
        reason: CutReason,
        /// What the client is answered; `None` where nothing is wrong with the client.
        status: Option<StatusCode>,
        /// Why, for the client.
        message: String,
    },
    /// The cluster does not take our own credential.
    #[error("the cluster refused our own credential")]
    CredentialRefused,
    /// The cluster does not let us impersonate.
    #[error("the cluster does not let us impersonate")]
    ImpersonationRefused,
}

/// What a refusal looks like from outside.
struct Answer {
    code: StatusCode,
    message: &'static str,
    /// The reason in log and metric.
    reason: &'static str,
    retry: bool,
    close: bool,
}

impl ProxyError {
    /// For a stream that was cut before it was answered.
    pub(super) fn cut(stream: &Guard, cut: Cut) -> Self {
        Self::Cut { reason: cut.reason, status: cut.status(), message: stream.explain(cut) }
    }

    /// Says in the log what went wrong on our side. What clients do wrong stands in the access log alone.
    pub(super) fn log(&self) {
        if self.answer().code.is_server_error() {
            tracing::warn!(error = with_causes(self), "request failed");
        }
    }

    /// The refusal as the metric and the log name it.
    pub fn reason(&self) -> &'static str {
        self.answer().reason
    }

    /// The refusal as the client sees it. What is the client's fault it learns; of our own troubles, that they are
    /// ours.
    pub fn into_response(self) -> Response<GateBody> {
        let answer = self.answer();
        let mut status = Status::failure(answer.code, self.message(&answer));
        if answer.retry {
            status = status.retry_after(RETRY);
        }
        let mut response = Response::new(GateBody::full(status.to_json()));
        *response.status_mut() = answer.code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if answer.code == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
        }
        if answer.code == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        if let Some(seconds) = status.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if answer.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn message(&self, answer: &Answer) -> String {
        match self {
            Self::Ambiguous(detail) => format!("{}: {detail}", answer.message),
            Self::Header(HeaderError::Underscore(_)) => format!("{}: {self}", answer.message),
            // Every word of these is about what the client asked for.
            Self::Asked(error) => error.to_string(),
            Self::Impersonation(error) => error.to_string(),
            // Who got this far has the token's key.
            Self::Cut { message, .. } => message.clone(),
            Self::ClusterDenied { .. } => self.to_string(),
            _ => answer.message.to_owned(),
        }
    }

    fn answer(&self) -> Answer {
        match self {
            Self::Ambiguous(_) => client(400, "the message is ambiguous", "ambiguous_message").closing(),
            Self::Method => client(405, "the method is not allowed here", "method").closing(),
            Self::UnknownMethod => client(501, "the method is not implemented", "method").closing(),
            Self::HeaderTooLarge => {
                client(431, "the request header is too large", "header_too_large").closing()
            }
            Self::UnknownCluster => client(404, "there is no such cluster", "unknown_cluster"),
            Self::ClusterDenied { .. } => client(403, "the user may not use the cluster", "cluster_denied"),
            Self::ClusterFailing(_) => ours("the cluster can't be used at the moment", "cluster_failing"),
            Self::MetricsAlone => {
                client(403, "a telemetry token reads GET /metrics and nothing else", "metrics_alone")
            }
            Self::TooManyRequests(full) => overload(match full {
                Full::All => ("too many requests are under way", "too_many_requests"),
                Full::User => ("too many requests of this user are under way", "too_many_requests_of_user"),
            }),
            Self::TooManyStreams(full) => overload(match full {
                Full::All => ("too many watches and the like are open", "too_many_streams"),
                Full::User => {
                    ("too many watches and the like of this user are open", "too_many_streams_of_user")
                }
            }),
            Self::Authentication(error) => authentication(error),
            Self::Header(error) => header(error),
            Self::Asked(_) => {
                client(400, "the impersonation headers can't be read", "impersonation_malformed")
            }
            Self::Impersonation(error) => impersonation(error),
            Self::Upstream(error) => upstream(error),
            Self::UpgradeTimeout => {
                client(504, "the cluster did not answer in time", "upgrade_timeout").closing()
            }
            Self::UpgradeMismatch => client(502, "the cluster did not upgrade", "upgrade_mismatch").closing(),
            Self::Cut { reason, status: Some(code), .. } => client(code.as_u16(), "", reason.as_str()),
            Self::Cut { reason, status: None, .. } => ours("", reason.as_str()),
            Self::CredentialRefused => ours("the proxy's own credential was refused", "credential_refused"),
            Self::ImpersonationRefused => {
                ours("the proxy is not allowed to impersonate", "impersonation_refused")
            }
        }
    }
}

/// One answer for every way in which a credential is bad: which it is would tell a thief what to try next.
fn authentication(error: &AuthnError) -> Answer {
    let code = error.status();
    let message = match error {
        AuthnError::Ambiguous => "the request has more than one credential",
        AuthnError::Busy => "too many tokens with slow hashes are being checked",
        AuthnError::StoreUnreachable(_) => "the token store is unreachable",
        AuthnError::Corrupt(_) => "the stored token or user is damaged",
        AuthnError::ServiceAccount(error) => service_account(error),
        AuthnError::NoCredential
        | AuthnError::Malformed
        | AuthnError::Unknown
        | AuthnError::WrongKey
        | AuthnError::TooManyFailures
        | AuthnError::Expired
        | AuthnError::Rotated
        | AuthnError::Idle
        | AuthnError::Disabled
        | AuthnError::UserDisabled
        | AuthnError::WrongCluster => "Unauthorized",
    };
    let retry = code == StatusCode::SERVICE_UNAVAILABLE;
    let close = matches!(error, AuthnError::TooManyFailures);
    Answer { code, message, reason: error.result().as_str(), retry, close }
}

/// Whoever has the token of a service account that is not served here learns that this is so: it says nothing about the
/// token, and nobody would find out otherwise.
fn service_account(error: &AccountError) -> &'static str {
    match error {
        AccountError::Denied => "tokens of service accounts are not accepted for this cluster",
        AccountError::Elsewhere | AccountError::Refused(_) => "Unauthorized",
        AccountError::Unanswered(_) => "the cluster does not say whose the token is",
        AccountError::Busy => "too many tokens of service accounts are being reviewed",
        AccountError::Certificate => "tokens of service accounts can't be passed through to this cluster",
    }
}

fn header(error: &HeaderError) -> Answer {
    match error {
        HeaderError::Underscore(_) => {
            client(400, "the request has a misleading header", "header_underscore").closing()
        }
        HeaderError::UnsupportedUpgrade => {
            client(400, "only websocket and SPDY/3.1 upgrades are served", "upgrade")
        }
        HeaderError::UnsupportedExpectation => {
            client(417, "the only expectation served is 100-continue", "expectation")
        }
    }
}

fn impersonation(error: &ImpersonationError) -> Answer {
    let refused = |reason| client(403, "impersonation is refused", reason);
    match error {
        ImpersonationError::Off => refused("impersonation_off"),
        ImpersonationError::Reserved(_)
        | ImpersonationError::ReservedExtra(_)
        | ImpersonationError::Ourselves => refused("impersonation_reserved"),
        ImpersonationError::Denied { .. } => refused("impersonation_denied"),
        ImpersonationError::ExtraNotGranted(_) => refused("impersonation_extra"),
        ImpersonationError::NotGranted(_) => {
            ours("the proxy is not allowed to impersonate", "impersonation_refused")
        }
        ImpersonationError::NoAnswer(_) | ImpersonationError::TimedOut => {
            ours("the cluster can't say who may impersonate", "impersonation_no_answer")
        }
    }
}

fn upstream(error: &UpstreamError) -> Answer {
    match error {
        UpstreamError::Connect(_) | UpstreamError::ConnectTimeout | UpstreamError::BackingOff => {
            ours("the cluster is unreachable", "upstream_unreachable")
        }
        UpstreamError::Tls(_) | UpstreamError::ProtocolNotOffered => {
            ours("the cluster could not be verified", "upstream_tls")
        }
        UpstreamError::Unprocessed(_) => ours("the cluster did not take the request", "upstream_unprocessed"),
        UpstreamError::Certificate => {
            ours("tokens of service accounts can't be passed through to this cluster", "upstream_certificate")
        }
        // It may have been processed: whether to try again is for the client to judge, so no Retry-After.
        UpstreamError::Http(_) => client(502, "the exchange with the cluster failed", "upstream_failed"),
        UpstreamError::Read(_) => {
            Answer { retry: true, ..client(502, "the exchange with the cluster failed", "upstream_failed") }
        }
    }
}

/// What passes by itself.
fn overload((message, reason): (&'static str, &'static str)) -> Answer {
    Answer { retry: true, ..client(429, message, reason) }
}

fn client(code: u16, message: &'static str, reason: &'static str) -> Answer {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Answer { code, message, reason, retry: false, close: false }
}

fn ours(message: &'static str, reason: &'static str) -> Answer {
    Answer { retry: true, ..client(503, message, reason) }
}

impl Answer {
    fn closing(self) -> Self {
        Self { close: true, ..self }
    }
}

/// Whether the method is one that the Kubernetes API, or something behind its proxy subresource, can be asked with.
pub(super) fn check_method(method: &Method) -> Result<(), ProxyError> {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => Ok(()),
        // A CONNECT would open a tunnel to a place of the client's choice, a TRACE would echo our credential.
        Method::CONNECT | Method::TRACE => Err(ProxyError::Method),
        _ => Err(ProxyError::UnknownMethod),
    }
}
