//! The API as the server calls it, without a word of the framework it is made with.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::body::read_ahead;
use super::{Authentication, ClientAddress, refusal, router};
use crate::authority::Authority;
use crate::streams::Registry;

/// The body of an answer of the API.
pub type ApiBody =
    Pin<Box<dyn HttpBody<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Send>>;

/// The API. Clones are the same one.
#[derive(Clone)]
pub struct Service(Router);

impl Service {
    /// The API over `authority`, which tells of `streams` that are open.
    pub fn new(authority: Arc<Authority>, streams: Registry) -> Self {
        Self(router(authority, streams))
    }

    /// Answers a request from `address`; `authentication` is `None` for one that presents nothing.
    pub async fn serve<B>(
        self,
        mut request: Request<B>,
        authentication: Option<Authentication>,
        address: SocketAddr,
    ) -> Response<ApiBody>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        if let Some(authentication) = authentication {
            request.extensions_mut().insert(authentication);
        }
        request.extensions_mut().insert(ClientAddress(address));
        let (parts, body) = request.into_parts();
        let body = match read_ahead(&parts.headers, Body::new(body)).await {
            Ok(body) => body,
            Err(error) => return boxed(error.into_response()),
        };
        let response = self.0.oneshot(Request::from_parts(parts, body)).await;
        boxed(response.unwrap_or_else(|never| match never {}))
    }

    /// The answer to what is refused before the API is asked.
    pub fn refusal(status: StatusCode) -> Response<ApiBody> {
        boxed(refusal(status))
    }

    /// The answer when the API itself has failed.
    pub fn failure() -> Response<ApiBody> {
        boxed(refusal(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

fn boxed(response: Response<Body>) -> Response<ApiBody> {
    response.map(|body| Box::pin(body.map_err(Into::into)) as ApiBody)
}
