//! Who may do what.

use axum::body::Body;
use axum::extract::Request;
use http::{Method, StatusCode};
use tower::ServiceExt as _;

use super::{Authentication, ask, router, send, streams};
use crate::authority::testing::{House, PASSWORD};

#[tokio::test]
async fn nothing_but_the_public_paths_answers_without_a_credential() {
    let house = House::new().await;
    let closed = [
        (Method::GET, "/v3"),
        (Method::GET, "/v3/"),
        (Method::GET, "/v3/schemas"),
        (Method::GET, "/v3/tokens"),
        (Method::POST, "/v3/tokens"),
        (Method::POST, "/v3/tokens?action=logout"),
        (Method::GET, "/v3/tokens/token-bcdfg"),
        (Method::DELETE, "/v3/tokens/token-bcdfg"),
        (Method::GET, "/v3/users"),
        (Method::GET, "/v3/users?me=true"),
        (Method::POST, "/v3/users"),
        (Method::POST, "/v3/users?action=changepassword"),
        (Method::GET, "/v3/users/user-bcdfg"),
        (Method::PUT, "/v3/users/user-bcdfg"),
        (Method::POST, "/v3/users/user-bcdfg?action=setpassword"),
        (Method::DELETE, "/v3/users/user-bcdfg"),
        (Method::GET, "/v3/clusters"),
        (Method::GET, "/v3/clusters/local"),
        (Method::POST, "/v3/clusters/local?action=generateKubeconfig"),
        (Method::DELETE, "/v3/tokens?kind=api-key"),
        (Method::PUT, "/v3/tokens/token-bcdfg"),
        (Method::POST, "/v3/tokens/token-bcdfg?action=rotate"),
        (Method::GET, "/v3/settings"),
        (Method::GET, "/v3/settings/server-url"),
        (Method::PUT, "/v3/settings/cacerts"),
        (Method::POST, "/v3/settings?action=set"),
        (Method::GET, "/v3/auditevents"),
        (Method::GET, "/v3/features"),
        (Method::GET, "/v3/features/token-hashing"),
        (Method::PUT, "/v3/features/token-hashing"),
        (Method::GET, "/v3/projects"),
        (Method::GET, "/v3/projects/x"),
        (Method::GET, "/v1"),
        (Method::POST, "/v1/logout"),
    ];
    for (method, path) in closed {
        let answer = ask(&house, None, method.clone(), path, "").await;
        assert_eq!(answer.refusal(), (401, "Unauthorized".into()), "{method} {path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    for path in ["/ping", "/v3/openapi.json", "/v1-public/authproviders", "/v3-public/authProviders"] {
        assert_eq!(ask(&house, None, Method::GET, path, "").await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(ask(&house, None, Method::GET, "/ping", "").await.text, "pong");
    let providers = ask(&house, None, Method::GET, "/v1-public/authproviders", "").await.json();
    assert_eq!(providers["data"][0]["type"], "localProvider");
}

#[tokio::test]
async fn a_failed_credential_is_answered_by_whose_fault_it_is() {
    let house = House::new().await;
    for (status, code) in [
        (StatusCode::UNAUTHORIZED, "Unauthorized"),
        (StatusCode::BAD_REQUEST, "BadRequest"),
        (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        (StatusCode::INTERNAL_SERVER_ERROR, "ServerError"),
    ] {
        let mut request = Request::builder().uri("/v3/tokens").body(Body::empty()).unwrap();
        request.extensions_mut().insert(Authentication::Failed(status));
        let answer = send(&house, None, request).await;
        assert_eq!(answer.refusal(), (status.as_u16(), code.to_owned()));
        assert_eq!(answer.headers.contains_key("retry-after"), status == StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == StatusCode::UNAUTHORIZED);
    }
    let mut request = Request::builder().uri("/ping").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Authentication::Failed(StatusCode::UNAUTHORIZED));
    let answer = router(house.authority.clone(), streams()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "what needs no credential does not mind a bad one");
}

#[tokio::test]
async fn an_ordinary_user_manages_nobody() {
    let house = House::new().await;
    let (root, of_root) =
        (format!("/v3/users/{}", house.root.id), format!("/v3/tokens/{}", house.root.token));
    let own = format!("/v3/users/{}", house.alice.id);
    let password = format!(r#"{{"newPassword":"{PASSWORD}"}}"#);
    let table = [
        (Method::GET, "/v3/users", "", 403),
        (Method::POST, "/v3/users", r#"{"username":"mallory","admin":true}"#, 403),
        (Method::PUT, &own, r#"{"admin":true}"#, 403),
        (Method::PUT, &own, r#"{"groups":["ops"]}"#, 403),
        (Method::PUT, &root, r#"{"enabled":false}"#, 403),
        (Method::PUT, &root, r#"{"username":"toor"}"#, 404),
        (Method::DELETE, &root, "", 403),
        (Method::DELETE, &own, "", 403),
        (Method::POST, &format!("{root}?action=setpassword"), &password, 403),
        (Method::POST, &format!("{own}?action=setpassword"), &password, 403),
        (Method::GET, &root, "", 404),
        (Method::GET, "/v3/users/user-bcdfg", "", 404),
        (Method::GET, "/v3/auditevents", "", 403),
        (Method::PUT, "/v3/settings/password-min-length", r#"{"value":"8"}"#, 403),
        (Method::POST, "/v3/settings?action=set", r#"{"values":{"password-min-length":"8"}}"#, 403),
        (Method::POST, "/v3/tokens?action=shorten&kind=api-key", "", 403),
        (Method::PUT, &of_root, r#"{"enabled":false}"#, 404),
        (Method::POST, &format!("{of_root}?action=rotate"), "", 404),
        (Method::POST, &format!("{of_root}?action=disable"), "", 404),
        (Method::POST, &format!("{of_root}?action=renewLease"), "", 404),
        (Method::GET, &of_root, "", 404),
        (Method::DELETE, &of_root, "", 404),
        (Method::GET, "/v3/tokens/token-bbbbb", "", 404),
        (Method::POST, "/v3/tokens", &format!(r#"{{"userId":"{}"}}"#, house.root.id), 403),
    ];
    for (method, path, body, status) in table {
        let answer = ask(&house, Some(&house.alice), method.clone(), path, body).await;
        assert_eq!(answer.refusal().0, status, "{method} {path} {body}");
    }
    let root = house.store.user(&house.root.id).await.unwrap().unwrap();
    assert!(root.enabled && root.admin && root.password.is_none());
    assert_eq!(house.store.all_users().await.len(), 2);
    assert_eq!(house.store.tokens_of(None).await.len(), 2);

    let me = ask(&house, Some(&house.alice), Method::GET, "/v3/users?me=true", "").await.json();
    assert_eq!(me["data"].as_array().unwrap().len(), 1);
    assert_eq!((&me["data"][0]["username"], &me["data"][0]["me"]), (&"alice".into(), &true.into()));
    assert_eq!(me["data"][0]["links"].as_object().unwrap().len(), 1, "no link that may not be followed");
    assert_eq!(ask(&house, Some(&house.alice), Method::GET, &own, "").await.json(), me["data"][0]);
}

#[tokio::test]
async fn an_administrator_shows_and_deletes_everybodys_tokens() {
    let house = House::new().await;
    let path = format!("/v3/tokens/{}", house.alice.token);
    let shown = ask(&house, Some(&house.root), Method::GET, &path, "").await.json();
    assert_eq!((&shown["userId"], &shown["current"]), (&house.alice.id.as_str().into(), &false.into()));
    assert_eq!(
        ask(&house, Some(&house.root), Method::DELETE, &path, "").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(ask(&house, Some(&house.root), Method::GET, &path, "").await.refusal().0, 404);
}
