//! The body of a request: JSON of bounded size and depth, or a form.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::error::ApiError;
use crate::secret::Secret;

/// A body that says it is JSON, and is neither too long nor too deep.
pub(super) struct JsonBody(Bytes);

impl JsonBody {
    /// The body as `T`. No body is an empty object. Unknown fields are ignored, as clients send whole resources back.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let bytes: &[u8] = if self.0.is_empty() { b"{}" } else { &self.0 };
        serde_json::from_slice(bytes).map_err(|error| {
            // Without the error's own text, which repeats values of the body, passwords among them.
            let place = format!("line {}, column {}", error.line(), error.column());
            if error.is_data() {
                let message = format!("a field is missing, repeated or of the wrong type at {place}");
                ApiError::invalid("InvalidBodyContent", message)
            } else {
                ApiError::invalid("InvalidFormat", format!("body is not valid JSON at {place}"))
            }
        })
    }
}

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let message = "content type must be application/json";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message));
        }
        let announced =
            parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > MAX_BODY_BYTES as u64) {
            return Err(too_large());
        }
        let bytes = collect(body).await?;
        if is_too_deep(&bytes) {
            let message = format!("body is nested more than {MAX_DEPTH} levels deep");
            return Err(ApiError::invalid("InvalidFormat", message));
        }
        Ok(Self(bytes))
    }
}

/// The body in memory, though of one that is too large only as much as tells that. An answer that comes before its body
/// was read ends the connection, and a client that is still sending then would not see what we say.
pub(super) async fn read_ahead(headers: &HeaderMap, mut body: Body) -> Result<Body, ApiError> {
    // Such a client waits with the body until it is asked for.
    if headers.contains_key(EXPECT) {
        return Ok(body);
    }
    let (mut kept, mut seen) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ended_early())?.into_data() else { continue };
        seen += data.len();
        if kept.len() <= MAX_BODY_BYTES {
            kept.extend_from_slice(data.get(..MAX_BODY_BYTES + 1).unwrap_or(&data));
        }
        if seen > MAX_DISCARDED_BYTES {
            break;
        }
    }
    Ok(Body::from(kept.freeze()))
}

/// No content type counts as JSON, as Rancher's command line sends none. Any other is refused: a form on a foreign
/// page can send those without asking the browser for leave.
fn is_json(headers: &HeaderMap) -> bool {
    !headers.contains_key(CONTENT_TYPE) || is_content_type(headers, "application/json")
}

/// Whether the body says that it is of this type, and of no other.
fn is_content_type(headers: &HeaderMap, kind: &str) -> bool {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let line = lines.next().and_then(|line| line.to_str().ok()).unwrap_or_default();
    let essence = line.split(';').next().unwrap_or_default().trim();
    lines.next().is_none() && essence.eq_ignore_ascii_case(kind)
}

/// The body of a form, as browsers send it.
pub(super) async fn form_body(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    if !is_content_type(headers, "application/x-www-form-urlencoded") {
        let message = "content type must be application/x-www-form-urlencoded";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message));
    }
    collect(body).await
}

async fn collect(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(ended_early()),
    }
}

fn ended_early() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "InvalidFormat", "body ended early")
}

fn too_large() -> ApiError {
    let message = format!("body is longer than {MAX_BODY_BYTES} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge", message)
}

/// Whether arrays and objects are nested too deep. Looked at before anything is parsed, so that no parser's recursion
/// depends on what strangers send; of what is no JSON at all it says nothing.
fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// A whole number, also if it is written as `60000.0`, which is the same to JSON.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let written = number.to_string();
    let whole = written.strip_suffix(".0").unwrap_or(&written);
    whole.parse().map(Some).map_err(|_| serde::de::Error::custom("not a whole number"))
}

/// A field of a body that must not be shown again.
pub(super) struct SecretText(pub(super) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

const MAX_BODY_BYTES: usize = 64 * 1024;
/// How much of a body that is too large is read all the same, so that its client can be told.
const MAX_DISCARDED_BYTES: usize = 1024 * 1024;
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        #[derive(Deserialize)]
        struct Field(#[serde(deserialize_with = "whole")] Option<i64>);
        let read = |text: &str| serde_json::from_str::<Field>(text).map(|field| field.0).ok();
        assert_eq!(
            (read("60000"), read("60000.0"), read("-1.0"), read("null")),
            (Some(Some(60_000)), Some(Some(60_000)), Some(Some(-1)), Some(None))
        );
        for text in ["1.5", "1e400", "18446744073709551616", "1e300", "\"1\"", "true"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn brackets_in_texts_are_no_depth() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_too_deep(nested(32).as_bytes()) && is_too_deep(nested(33).as_bytes()));
        let mixed = format!(r#"{{"a":{}}}"#, nested(32));
        assert!(is_too_deep(mixed.as_bytes()));
        let quoted = format!(r#"{{"a":"\"{}\\","b":[]}}"#, "[".repeat(1000));
        assert!(!is_too_deep(quoted.as_bytes()));
        let siblings = format!("[{}]", vec!["[{}]"; 1000].join(","));
        assert!(!is_too_deep(siblings.as_bytes()));
        assert!(!is_too_deep(b"]]]]]") && is_too_deep("{".repeat(33).as_bytes()));
    }
}
