//! Refusals in the API's shape: an object of type `error` with a status, a code and a message.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::AuthorityError;
use crate::identity::IdentityError;
use crate::user::PasswordError;

/// One refusal.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    field: Option<&'static str>,
    retry_after: Option<u64>,
    /// Which methods there are, where one is refused that other resources of the type have.
    allow: Option<&'static str>,
}

/// A refusal as it is sent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Error)]
pub(super) struct ErrorObject {
    /// Always `error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Always `error`.
    base_type: &'static str,
    /// The HTTP status.
    status: u16,
    /// What kind of refusal it is, for programs.
    code: &'static str,
    /// What it is, for people.
    message: Cow<'static, str>,
    /// The field or parameter that is not as it must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    field_name: Option<&'static str>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), field: None, retry_after: None, allow: None }
    }

    /// The same refusal, because of this field or parameter.
    pub(super) fn on(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    /// A refusal that says no more than its status.
    pub(super) fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::new(status, "Unauthorized", "must authenticate"),
            StatusCode::FORBIDDEN => {
                Self::new(status, "PermissionDenied", "the token is good for less than this API")
            }
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::TOO_MANY_REQUESTS => {
                let error =
                    Self::new(status, "TooManyRequests", "too many requests are under way, try again");
                Self { retry_after: Some(1), ..error }
            }
            StatusCode::SERVICE_UNAVAILABLE => Self::unavailable("token store is unreachable, try again"),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(status, "MethodNotAllowed", "method not allowed"),
            other if other.is_client_error() => {
                Self::new(other, "BadRequest", other.canonical_reason().unwrap_or("bad request"))
            }
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServerError", "internal error"),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "not found")
    }

    /// 422 for a request that has no action, where every request is one.
    pub(super) fn action_missing() -> Self {
        Self::invalid("MissingRequired", "the parameter action is missing").on("action")
    }

    pub(super) fn action_not_available() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ActionNotAvailable", "there is no such action")
    }

    /// 405 for what can only be read.
    pub(super) fn read_only(message: impl Into<Cow<'static, str>>) -> Self {
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
        Self { allow: Some("GET, HEAD"), ..error }
    }

    /// 422: understood, but not acceptable.
    pub(super) fn invalid(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 422 for a name that can't be one.
    pub(super) fn invalid_name(field: &'static str, error: IdentityError) -> Self {
        Self::invalid("InvalidFormat", format!("{field}: {error}")).on(field)
    }

    /// 503 for trouble of ours: a client that takes a 401 for it would throw good credentials away.
    fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message);
        Self { retry_after: Some(1), ..error }
    }
}

impl From<AuthorityError> for ApiError {
    fn from(error: AuthorityError) -> Self {
        let answer = answer(&error);
        if answer.status.is_server_error() {
            tracing::error!(error = &error as &dyn Error, status = answer.status.as_u16(), "request failed");
        }
        answer
    }
}

fn answer(error: &AuthorityError) -> ApiError {
    use AuthorityError as E;
    let of = |status, code| ApiError::new(status, code, error.to_string());
    let forbidden = || of(StatusCode::FORBIDDEN, "PermissionDenied");
    let conflict = |code| of(StatusCode::CONFLICT, code);
    let invalid = |code| of(StatusCode::UNPROCESSABLE_ENTITY, code);
    match error {
        E::CallerGone | E::BadCredentials => of(StatusCode::UNAUTHORIZED, "Unauthorized"),
        E::UserDisabled | E::NotAdministrator | E::LeaseRequired(_) | E::CallerOnLease => forbidden(),
        E::ForAnotherUser => forbidden().on("userId"),
        E::NotFound => ApiError::not_found(),
        E::ClusterNameTaken => conflict("AlreadyExists").on("name"),
        E::Cluster(given) => ApiError::invalid("InvalidOption", error.to_string()).on(given.field),
        E::ClusterUnusable(_) => invalid("InvalidOption").on("credential"),
        E::ClusterKeyMissing(_) | E::TooManyClusters => invalid("InvalidAction"),
        E::UnknownCluster | E::NoScope(_) => invalid("InvalidOption").on("clusterId"),
        E::NameTaken => conflict("AlreadyExists").on("username"),
        E::AlreadyReplaced | E::ChangedMeanwhile => conflict("Conflict"),
        E::CurrentSession => of(StatusCode::BAD_REQUEST, "ServerError"),
        E::SettingFixed(_) | E::ClusterConfigured => ApiError::read_only(error.to_string()),
        E::OwnUser | E::LastAdministrator | E::NotRotatable | E::NotLeased | E::NoMaximum => {
            invalid("InvalidAction")
        }
        E::HashingIsForGood => invalid("InvalidAction").on("value"),
        E::QuotaReached(_) => invalid("MaxLimitExceeded"),
        E::FilterMissing => invalid("MissingRequired"),
        E::ForeignMarker => invalid("InvalidOption").on("marker"),
        E::MadeByLogin(_) => invalid("InvalidOption").on("kind"),
        E::NoLease(_) => invalid("InvalidOption").on("lease"),
        E::UnknownOwner => invalid("InvalidOption").on("userId"),
        E::OverlapTooLong => invalid("InvalidOption").on("overlapSeconds"),
        E::DescriptionTooLong => invalid("InvalidOption").on("description"),
        E::Ttl(_) => invalid("InvalidOption").on("ttl"),
        E::TooManyGroups => invalid("InvalidOption").on("groups"),
        E::Setting(_) | E::Reserved(_) => invalid("InvalidOption"),
        E::Password(PasswordError::TooShort(_) | PasswordError::TooLong)
        | E::PasswordIsUsername
        | E::PasswordUnchanged
        | E::WrongCurrentPassword => invalid("InvalidBodyContent"),
        E::TooManyFailures { retry_after } => ApiError {
            // Rounded up: a client that comes back to the second must not be too early.
            retry_after: Some(retry_after.as_secs() + 1),
            ..of(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")
        },
        E::Busy => ApiError::unavailable(error.to_string()),
        E::StoreUnreachable(_) => ApiError::of(StatusCode::SERVICE_UNAVAILABLE),
        E::StoreFailed(_)
        | E::NoRandomness
        | E::ClusterSealing(_)
        | E::BackupDirectory { .. }
        | E::AdminPassword { .. }
        | E::Password(PasswordError::Unhashable) => ApiError::of(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorObject {
            kind: "error",
            base_type: "error",
            status: self.status.as_u16(),
            code: self.code,
            message: self.message,
            field_name: self.field,
        };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
