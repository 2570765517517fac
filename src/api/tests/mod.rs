//! The API as a client sees it, on a real store.

mod changes;
mod clusters;
mod confined;
mod credentials;
mod features;
mod lists;
mod openapi;
mod privileges;
mod requests;
mod schemas;
mod settings;
mod tokens;

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{Authentication, Caller, ClientAddress, Registry, owns, router};
use crate::authority::testing::House;
use crate::telemetry::Telemetry;

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Status and code of a refusal, after checking that it has the API's shape.
    pub(super) fn refusal(&self) -> (u16, String) {
        let object = self.json();
        assert_eq!((&object["type"], &object["baseType"]), (&"error".into(), &"error".into()));
        assert_eq!(object["status"], self.status.as_u16());
        assert!(object["message"].as_str().is_some_and(|message| !message.is_empty()));
        (self.status.as_u16(), object["code"].as_str().unwrap().to_owned())
    }
}

/// No stream at all.
pub(super) fn streams() -> Registry {
    Registry::new(Telemetry::without_access_log())
}

/// Sends `request` as `caller`, who comes from an address of its own.
pub(super) async fn send(house: &House, caller: Option<&Caller>, request: Request) -> Answer {
    send_with(house, caller.cloned().map(Authentication::Caller), request).await
}

/// Sends `request` with this outcome of its credential's check.
pub(super) async fn send_with(
    house: &House,
    authentication: Option<Authentication>,
    mut request: Request,
) -> Answer {
    assert!(owns(request.uri().path()), "{}", request.uri());
    if let Some(authentication) = authentication {
        request.extensions_mut().insert(authentication);
    }
    request.extensions_mut().insert(ClientAddress("192.0.2.1:4711".parse().unwrap()));
    let response = router(house.authority.clone(), streams()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    assert_eq!(parts.headers["cache-control"], "no-store");
    assert_eq!(parts.headers["x-content-type-options"], "nosniff");
    assert!(parts.headers.contains_key("x-api-schemas"));
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

/// Sends `body` as JSON; an empty one has no content type.
pub(super) async fn ask(
    house: &House,
    caller: Option<&Caller>,
    method: Method,
    path: &str,
    body: &str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("host", "gate.example.org");
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    send(house, caller, request.body(Body::from(body.to_owned())).unwrap()).await
}
