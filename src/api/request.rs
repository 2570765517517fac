//! What handlers take from a request, parsed once: the caller, the name in the path, the query, the body.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::error::ApiError;
use super::{Api, Authentication, Caller, ClientAddress};
use crate::secret::Secret;

/// By whom the request is.
pub(super) struct By(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Authentication>() {
            Some(Authentication::Caller(caller)) => Ok(Self(caller.clone())),
            Some(Authentication::Failed(status)) => Err(ApiError::of(*status)),
            None => Err(ApiError::of(StatusCode::UNAUTHORIZED)),
        }
    }
}

/// Where the client is. Clients the server knows no address of count as one.
pub(super) struct Client(pub(super) IpAddr);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.0.ip());
        Ok(Self(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
    }
}

/// The name at the end of the path. One that can't be a name is not found, like one that does not exist.
pub(super) struct Named<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Named<T>
where
    T: for<'a> TryFrom<&'a str>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| ApiError::not_found())?;
        T::try_from(text.as_str()).map(Self).map_err(|_| ApiError::not_found())
    }
}

/// The parameters of a query; unknown ones are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    /// What to do, where it is not what the method says.
    pub(super) action: Option<String>,
    /// `true`: everybody's.
    all: Option<String>,
    /// `true`: the caller's own.
    me: Option<String>,
}

impl Parameters {
    pub(super) fn all(&self) -> bool {
        self.all.as_deref() == Some("true")
    }

    pub(super) fn me(&self) -> bool {
        self.me.as_deref() == Some("true")
    }
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = Query::<Self>::try_from_uri(&parts.uri);
        let malformed = |_| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "InvalidFormat",
                "query is malformed or repeats a parameter",
            )
        };
        query.map(|Query(parameters)| parameters).map_err(malformed)
    }
}

/// The base of links, as the client came to us: `https://gate.example.org`.
#[derive(Debug, Clone)]
pub(super) struct Links(String);

impl Links {
    /// The absolute URL of a path of ours.
    pub(super) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The absolute URL of one resource. A name in it is made of unreserved characters, whatever it is.
    pub(super) fn to_one(&self, collection: &str, id: &str) -> String {
        let mut url = self.to(collection);
        url.push('/');
        for byte in id.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                url.push(char::from(byte));
            } else {
                let _infallible = write!(url, "%{byte:02X}");
            }
        }
        url
    }
}

impl FromRequestParts<Api> for Links {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        // HTTP/2 has the authority in the URI, HTTP/1 in `Host`.
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
        let authority = parts.uri.authority().cloned().or(host);
        let plain = authority.filter(|authority: &http::uri::Authority| !authority.as_str().contains('@'));
        Ok(Self(
            plain.map_or_else(|| api.info.server_url.clone(), |authority| format!("https://{authority}")),
        ))
    }
}

/// A body that says it is JSON and is not too long.
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
        collect(body).await.map(Self)
    }
}

/// No content type counts as JSON, as Rancher's command line sends none. Any other is refused: a form on a foreign
/// page can send those without asking the browser for leave.
fn is_json(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let Some(line) = lines.next() else { return true };
    let essence = line.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    lines.next().is_none() && essence.eq_ignore_ascii_case("application/json")
}

async fn collect(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(ApiError::new(StatusCode::BAD_REQUEST, "InvalidFormat", "body ended early")),
    }
}

fn too_large() -> ApiError {
    let message = format!("body is longer than {MAX_BODY_BYTES} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge", message)
}

/// A field of a body that must not be shown again.
pub(super) struct SecretText(pub(super) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

const MAX_BODY_BYTES: usize = 64 * 1024;
