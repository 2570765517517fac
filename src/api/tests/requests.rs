//! Requests as such: paths, methods, bodies, and trouble of ours.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::Frame;

use super::{Answer, ask, owns, send};
use crate::authority::testing::House;

#[test]
fn the_api_owns_its_raw_paths_and_no_neighbour() {
    for path in [
        "/v3",
        "/v3/",
        "/v3/tokens",
        "/v3/../api",
        "/v3-public/x",
        "/v1-public",
        "/v1-public/login",
        "/ping",
        "/v1",
        "/v1/",
        "/v1/logout",
    ] {
        assert!(owns(path), "{path}");
    }
    for path in [
        "",
        "/",
        "/v3x",
        "/v3-publicx",
        "/v3-private/x",
        "/v1/x",
        "/v1/logout/",
        "/v1x",
        "/V3",
        "//v3",
        "/%763/tokens",
        "/v3%2ftokens",
        "/ping/",
        "/pings",
        "/api",
        "/apis/v3",
        "/k8s/clusters/local/v3",
        "/version",
        "v3",
    ] {
        assert!(!owns(path), "{path}");
    }
}

async fn post(house: &House, content_type: Option<&str>, body: Body) -> Answer {
    let mut request = Request::builder().method(Method::POST).uri("/v3/tokens");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    send(house, Some(&house.alice), request.body(body).unwrap()).await
}

#[tokio::test]
async fn a_body_is_json_of_bounded_size() {
    let house = House::new().await;
    for content_type in [None, Some("application/json"), Some("Application/JSON; charset=utf-8")] {
        let answer = post(&house, content_type, Body::from("{}")).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{content_type:?}");
    }
    for content_type in
        ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"]
    {
        let answer = post(&house, Some(content_type), Body::from("{}")).await;
        assert_eq!(answer.refusal(), (415, "UnsupportedMediaType".into()), "{content_type}");
    }
    let padded = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
    let fits = post(&house, None, Body::from(padded(64 * 1024))).await;
    assert_eq!(fits.status, StatusCode::CREATED);
    for body in [Body::from(padded(64 * 1024 + 1)), Body::new(Chunks(3))] {
        assert_eq!(post(&house, None, body).await.refusal(), (413, "RequestTooLarge".into()));
    }
    let announced =
        Request::post("/v3/tokens").header("content-length", "65537").body(Body::empty()).unwrap();
    assert_eq!(send(&house, Some(&house.alice), announced).await.refusal().0, 413);
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert!(post(&house, None, Body::from(deep)).await.status.as_u16() < 500);
    let deep = format!(r#"{{"groupPrincipals":{}1{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(post(&house, None, Body::from(deep)).await.refusal().0, 422);
    assert_eq!(post(&house, None, Body::from(vec![0xff, 0xfe])).await.refusal().0, 422);
}

/// So many chunks of 32 KiB, of which no length was announced.
struct Chunks(usize);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b' '; 32 * 1024])))))
    }
}

#[tokio::test]
async fn unknown_paths_methods_and_actions_are_refused_in_the_apis_shape() {
    let house = House::new().await;
    let root = Some(&house.root);
    let table = [
        (Method::GET, "/v3/nothing", 404, "NotFound"),
        (Method::GET, "/v3-public", 404, "NotFound"),
        (Method::GET, "/v3/../api/v1/secrets", 404, "NotFound"),
        (Method::PUT, "/v3/tokens", 405, "MethodNotAllowed"),
        (Method::PATCH, "/v3/tokens/token-bcdfg", 405, "MethodNotAllowed"),
        (Method::PUT, "/v3/settings/server-version", 405, "MethodNotAllowed"),
        (Method::DELETE, "/v3/settings/cacerts", 405, "MethodNotAllowed"),
        (Method::POST, "/v3/auditevents", 405, "MethodNotAllowed"),
        (Method::PATCH, "/v3/users/user-bcdfg", 405, "MethodNotAllowed"),
        (Method::TRACE, "/v3/tokens", 405, "MethodNotAllowed"),
        (Method::OPTIONS, "/v3/tokens", 405, "MethodNotAllowed"),
        (Method::POST, "/v3/users/user-bcdfg", 422, "MissingRequired"),
        (Method::POST, "/v3/clusters/local", 422, "MissingRequired"),
        (Method::DELETE, "/v3/clusters/local", 405, "MethodNotAllowed"),
        (Method::GET, "/v1-public/login", 405, "MethodNotAllowed"),
        (Method::POST, "/v3/tokens?action=shred", 404, "ActionNotAvailable"),
        (Method::POST, "/v3/users?action=logout", 404, "ActionNotAvailable"),
        (Method::GET, "/v3/tokens?limit=1&limit=2", 422, "InvalidFormat"),
        (Method::GET, "/v3/tokens?limit=0", 422, "InvalidOption"),
        (Method::GET, "/v3/tokens?order=up", 422, "InvalidOption"),
    ];
    for (method, path, status, code) in table {
        let answer = ask(&house, root, method.clone(), path, "").await;
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{method} {path}");
        assert_eq!(answer.headers.contains_key("allow"), status == 405, "{method} {path}");
        let names_a_field = answer.json()["fieldName"].as_str().is_some_and(|name| path.contains(name));
        assert_eq!(names_a_field, path.contains('?') && status == 422, "{method} {path}");
    }
    let links = ask(&house, root, Method::GET, "/v3", "").await.json();
    assert_eq!(links["links"]["tokens"], "https://gate.example.org/v3/tokens");
    let schemas = ask(&house, root, Method::GET, "/v3/schemas", "").await.json();
    assert_eq!(schemas["data"][0]["links"]["collection"], links["links"]["tokens"]);
}

#[tokio::test]
async fn links_name_the_host_the_client_used_and_never_its_userinfo() {
    let house = House::new().await;
    let root = Some(&house.root);
    for (uri, host, base) in [
        ("/v3", Some("gate:8443"), "https://gate:8443"),
        ("https://other:1/v3", None, "https://other:1"),
        ("/v3", None, "https://gate.example.org:8443"),
        ("/v3", Some("a b"), "https://gate.example.org:8443"),
        ("/v3", Some("user@gate"), "https://gate.example.org:8443"),
    ] {
        let mut request = Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let answer = send(&house, root, request.body(Body::empty()).unwrap()).await.json();
        assert_eq!(answer["links"]["self"], format!("{base}/v3"), "{uri} {host:?}");
    }
}

#[tokio::test]
async fn a_store_in_trouble_is_503_and_never_401() {
    let house = House::new().await;
    let busy = house.store.occupy_readers().await;
    let login = r#"{"type":"localProvider","username":"carol","password":"x"}"#;
    let answers = tokio::join!(
        ask(&house, Some(&house.alice), Method::GET, "/v3/tokens", ""),
        ask(&house, Some(&house.alice), Method::POST, "/v3/tokens", "{}"),
        ask(&house, Some(&house.root), Method::GET, "/v3/users", ""),
        ask(&house, None, Method::POST, "/v1-public/login", login),
    );
    drop(busy);
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer.refusal(), (503, "ServiceUnavailable".into()));
        assert_eq!(answer.headers["retry-after"], "1");
    }
}
