//! What handlers take from a request's head, parsed once: the caller, the client, the name in the path.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{FromRequestParts, Path};
use http::header::HOST;
use http::request::Parts;
use http::{Extensions, StatusCode};

use super::error::ApiError;
use super::{Api, Authentication, Caller, ClientAddress};
use crate::identity::UserId;
use crate::token::TokenName;

/// By whom the request is.
pub(super) struct By(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Authentication>() {
            Some(Authentication::Caller(caller)) => Ok(Self(caller.clone())),
            Some(Authentication::Itself(_)) => Err(cluster_alone()),
            Some(Authentication::Failed(status)) => Err(ApiError::of(*status)),
            // A cookie that nobody has let count is no credential.
            Some(Authentication::Session(_)) | None => Err(ApiError::of(StatusCode::UNAUTHORIZED)),
        }
    }
}

/// By whom the request is, where a token that is for a cluster alone may ask as well, if it asks about itself: whoever
/// handles the request has to say about whom it is, or gets no caller.
pub(super) struct AboutItself {
    caller: Caller,
    /// Whether the token is good for this and nothing else.
    pub(super) is_confined: bool,
}

impl AboutItself {
    /// The caller of a request about the token `name`.
    pub(super) fn token(self, name: &TokenName) -> Result<Caller, ApiError> {
        self.if_itself(|caller| caller.token == *name)
    }

    /// The caller of a request about the user `id`.
    pub(super) fn user(self, id: &UserId) -> Result<Caller, ApiError> {
        self.if_itself(|caller| caller.id == *id)
    }

    /// The caller of a request that is about its own user if `is_own`.
    pub(super) fn own_user(self, is_own: bool) -> Result<Caller, ApiError> {
        self.if_itself(|_| is_own)
    }

    fn if_itself(self, is_itself: impl FnOnce(&Caller) -> bool) -> Result<Caller, ApiError> {
        if self.is_confined && !is_itself(&self.caller) { Err(cluster_alone()) } else { Ok(self.caller) }
    }
}

impl<S: Sync> FromRequestParts<S> for AboutItself {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if let Some(Authentication::Itself(caller)) = parts.extensions.get() {
            return Ok(Self { caller: caller.clone(), is_confined: true });
        }
        let By(caller) = By::from_request_parts(parts, state).await?;
        Ok(Self { caller, is_confined: false })
    }
}

/// 403 for a token that is for a cluster alone.
fn cluster_alone() -> ApiError {
    let message = "the token is for a cluster alone: here it can show and delete itself, and say whose it is";
    ApiError::new(StatusCode::FORBIDDEN, "PermissionDenied", message)
}

/// Where the client is. Clients the server knows no address of count as one.
pub(super) struct Client(pub(super) IpAddr);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(client_of(&parts.extensions)))
    }
}

/// Where the client of a request is.
pub(super) fn client_of(extensions: &Extensions) -> IpAddr {
    let address = extensions.get::<ClientAddress>().map(|address| address.0.ip());
    address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
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
        self.to(&path_to_one(collection, id))
    }
}

/// The path of one resource. Whatever the id is, it is one segment (RFC 3986, 2.3).
pub(super) fn path_to_one(collection: &str, id: &str) -> String {
    let mut path = format!("{collection}/");
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            let _infallible = write!(path, "%{byte:02X}");
        }
    }
    path
}

impl FromRequestParts<Api> for Links {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        // HTTP/2 has the authority in the URI, HTTP/1 in `Host`.
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
        let authority = parts.uri.authority().cloned().or(host);
        let plain = authority.filter(|authority: &http::uri::Authority| !authority.as_str().contains('@'));
        let configured = || api.authority.settings().server_url().to_owned();
        Ok(Self(plain.map_or_else(configured, |authority| format!("https://{authority}"))))
    }
}
