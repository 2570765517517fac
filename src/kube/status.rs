//! Refusals in the form Kubernetes clients understand: `metav1.Status`, which kubectl prints as
//! `Error from server (Forbidden): …`.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

/// Why a request failed, in `apimachinery`'s spelling. Clients decide by it, so no word of ours is among them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// 400.
    BadRequest,
    /// 401: kubectl prints "You must be logged in to the server".
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 406.
    NotAcceptable,
    /// 409.
    Conflict,
    /// 413.
    RequestEntityTooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 422.
    Invalid,
    /// 429.
    TooManyRequests,
    /// 500, and every other server error without a word of its own.
    InternalError,
    /// 502 as well: to a client a gateway that can't reach the apiserver is an apiserver that can't be reached.
    ServiceUnavailable,
    /// 504.
    Timeout,
    /// `StatusReasonUnknown`, the empty text: `apimachinery` has no word for 431 and the like, and goes by the code.
    Unknown,
}

/// One refusal. The reason follows from the code, so that the two never disagree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    code: StatusCode,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Status {
    /// A refusal with this code and a message for the person at the client.
    pub fn failure(code: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// Tells the client when to come back. client-go retries 429 and 5xx by itself when the `Retry-After` header
    /// says so too; that one is set by whoever writes the response.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The HTTP status.
    pub fn code(&self) -> StatusCode {
        self.code
    }

    /// The reason that belongs to the code.
    pub fn reason(&self) -> Reason {
        Reason::of(self.code)
    }

    /// The message for the client.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whole seconds for a `Retry-After` header, if the client is told to come back.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        // Rounded up and never 0, which means "at once" to a client and "not given" to `metav1`.
        self.retry_after.map(|wait| wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX))
    }

    /// The body of the response, `application/json`.
    pub fn to_json(&self) -> Vec<u8> {
        // Texts and numbers always serialise; if ever not, an empty body still goes with the right code.
        serde_json::to_vec(&self.body()).unwrap_or_default()
    }

    pub(super) fn body(&self) -> Body<'_> {
        Body {
            kind: "Status",
            api_version: "v1",
            metadata: Empty {},
            status: "Failure",
            message: &self.message,
            reason: self.reason().as_str(),
            details: self.retry_after_seconds().map(|retry_after_seconds| Details { retry_after_seconds }),
            code: self.code.as_u16(),
        }
    }
}

impl Reason {
    /// The reason that belongs to a code, as `apimachinery` pairs them.
    pub fn of(code: StatusCode) -> Self {
        match code {
            StatusCode::BAD_REQUEST => Self::BadRequest,
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::NOT_ACCEPTABLE => Self::NotAcceptable,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::PAYLOAD_TOO_LARGE => Self::RequestEntityTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::Invalid,
            StatusCode::TOO_MANY_REQUESTS => Self::TooManyRequests,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => Self::ServiceUnavailable,
            StatusCode::GATEWAY_TIMEOUT => Self::Timeout,
            code if code.is_server_error() => Self::InternalError,
            _ => Self::Unknown,
        }
    }

    /// The text on the wire; empty for [`Unknown`](Self::Unknown).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::Conflict => "Conflict",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Timeout => "Timeout",
            Self::Unknown => "",
        }
    }
}

/// `metav1.Status` in the order the apiserver writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    retry_after_seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(status: &Status) -> String {
        String::from_utf8(status.to_json()).unwrap()
    }

    #[test]
    fn the_body_is_what_the_apiserver_would_have_written() {
        assert_eq!(
            json(&Status::failure(StatusCode::FORBIDDEN, "no \"impersonation\" here")),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no \"impersonation\" here","reason":"Forbidden","code":403}"#
        );
    }

    #[test]
    fn a_code_without_a_word_has_no_reason_at_all() {
        let status = Status::failure(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers are too large");
        assert_eq!(
            json(&status),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"headers are too large","code":431}"#
        );
    }

    #[test]
    fn waiting_is_told_in_whole_seconds_and_never_as_zero() {
        let status = |wait| Status::failure(StatusCode::SERVICE_UNAVAILABLE, "x").retry_after(wait);
        assert_eq!(status(Duration::ZERO).retry_after_seconds(), Some(1));
        assert_eq!(status(Duration::from_millis(1001)).retry_after_seconds(), Some(2));
        assert!(
            json(&status(Duration::from_secs(5))).contains(r#""details":{"retryAfterSeconds":5},"code":503"#)
        );
    }

    #[test]
    fn only_401_is_unauthorized() {
        for code in 100..=599 {
            let code = StatusCode::from_u16(code).unwrap();
            assert_eq!(Reason::of(code) == Reason::Unauthorized, code == 401, "{code}");
        }
        assert_eq!(Reason::of(StatusCode::HTTP_VERSION_NOT_SUPPORTED), Reason::InternalError);
    }
}
