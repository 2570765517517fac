//! Logins, passwords and users.

use axum::extract::Request;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ask, send};
use crate::authority::testing::{CapturedLog, House, PASSWORD};
use crate::store::UserUpdate;
use crate::token::{Bearer, TokenKind};

const V3_LOGIN: &str = "/v3-public/localProviders/local?action=login";
const V1_LOGIN: &str = "/v1-public/login";

fn credentials(name: &str, password: &str) -> Value {
    json!({ "type": "localProvider", "username": name, "password": password })
}

#[tokio::test]
async fn both_logins_give_a_token_for_a_password() {
    let log = CapturedLog::start();
    let house = House::new().await;
    let carol = house.admit("carol", false).await;
    for path in [V3_LOGIN, V1_LOGIN] {
        for (response_type, kind) in
            [("", TokenKind::Session), ("json", TokenKind::Session), ("kubeconfig", TokenKind::Kubeconfig)]
        {
            let mut body = credentials("carol", PASSWORD);
            body["responseType"] = response_type.into();
            body["ttl"] = 1.into();
            let answer = ask(&house, None, Method::POST, path, &body.to_string()).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
            let answer = answer.json();
            let bearer = Bearer::try_from(answer["token"].as_str().unwrap()).unwrap();
            let stored = house.store.token(&bearer.name).await.unwrap().unwrap();
            assert!(stored.hash.verify(&bearer.key) && stored.user_id == carol.id);
            assert_eq!(stored.kind, kind);
            assert_eq!(answer["expiresAt"], stored.expires_at().unwrap().to_string());
            assert_eq!((&answer["type"], &answer["baseType"]), (&"token".into(), &"token".into()));
            assert_eq!(answer["id"], bearer.name.as_str());
            assert!(!log.text().contains(bearer.key.expose()));
        }
    }
    assert!(!log.text().contains(PASSWORD));
}

#[tokio::test]
async fn a_browser_is_logged_in_by_a_cookie_and_by_nobody_elses_page() {
    let house = House::new().await;
    house.admit("carol", false).await;
    let mut body = credentials("carol", PASSWORD);
    body["responseType"] = "cookie".into();
    let from = async |path: &str, origin: Option<&str>| {
        let request = Request::builder().method(Method::POST).uri(path).header("host", "gate.example.org");
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        let request = request.header("content-type", "application/json");
        send(&house, None, request.body(body.to_string().into()).unwrap()).await
    };
    for path in [V3_LOGIN, V1_LOGIN] {
        for origin in [None, Some("https://gate.example.org")] {
            let answer = from(path, origin).await;
            assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
            let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
            let session = cookies[0].to_str().unwrap();
            let (cookie, attributes) = session.split_once("; ").unwrap();
            let bearer = Bearer::try_from(cookie.strip_prefix("R_SESS=").unwrap()).unwrap();
            let stored = house.store.token(&bearer.name).await.unwrap().unwrap();
            assert!(stored.hash.verify(&bearer.key) && stored.kind == TokenKind::Session);
            assert_eq!(attributes, "HttpOnly; SameSite=Strict; Secure; Path=/");
            assert!(cookies[1].to_str().unwrap().starts_with("CSRF="));
        }
        assert_eq!(from(path, Some("https://evil.example.org")).await.refusal().0, 403);
    }
}

#[tokio::test]
async fn refused_logins_say_no_more_than_they_must() {
    let house = House::new().await;
    house.admit("carol", false).await;
    let dave = house.admit("dave", false).await;
    let off = UserUpdate { enabled: Some(false), ..UserUpdate::default() };
    house.store.update_user(&dave.id, off).await.unwrap();
    let with = |field: &str, value: Value| {
        let mut body = credentials("carol", PASSWORD);
        body[field] = value;
        body
    };
    let table = [
        (credentials("carol", "wrong password"), 401, "Unauthorized"),
        (credentials("nobody", PASSWORD), 401, "Unauthorized"),
        (credentials("", ""), 401, "Unauthorized"),
        (credentials("carol\n", PASSWORD), 401, "Unauthorized"),
        (credentials("dave", "wrong password"), 401, "Unauthorized"),
        (credentials("dave", PASSWORD), 403, "PermissionDenied"),
        (with("responseType", "kubeconfig_nowhere".into()), 422, "InvalidOption"),
        (with("password", Value::Null), 422, "MissingRequired"),
        (with("username", Value::Null), 422, "MissingRequired"),
        (with("description", "x".repeat(1025).into()), 422, "InvalidOption"),
    ];
    for (body, status, code) in table {
        for path in [V3_LOGIN, V1_LOGIN] {
            let answer = ask(&house, None, Method::POST, path, &body.to_string()).await;
            assert_eq!(answer.refusal(), (status, code.to_owned()), "{body}");
            assert!(!answer.headers.contains_key("set-cookie"));
            if status == 401 {
                assert_eq!(answer.json()["message"], "authentication failed");
                assert_eq!(answer.headers["www-authenticate"], "Bearer");
            }
        }
    }
    let secret = with("password", 123_456_789.into()).to_string();
    let answer = ask(&house, None, Method::POST, V1_LOGIN, &secret).await;
    assert_eq!(answer.refusal(), (422, "InvalidBodyContent".into()));
    assert!(!answer.text.contains("123456789"), "a refusal repeats nothing of the body");
    let other = with("type", "githubProvider".into()).to_string();
    assert_eq!(ask(&house, None, Method::POST, V1_LOGIN, &other).await.refusal().0, 422);
    let path = "/v3-public/localProviders/local?action=other";
    assert_eq!(ask(&house, None, Method::POST, path, "{}").await.refusal().0, 404);
}

#[tokio::test]
async fn a_guesser_is_told_to_wait() {
    let house = House::new().await;
    house.admit("carol", false).await;
    let wrong = credentials("carol", "wrong password").to_string();
    for _ in 0..5 {
        assert_eq!(ask(&house, None, Method::POST, V1_LOGIN, &wrong).await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = ask(&house, None, Method::POST, V1_LOGIN, &wrong).await;
    assert_eq!(answer.refusal(), (429, "TooManyRequests".into()));
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn an_administrator_makes_changes_and_deletes_users() {
    let house = House::new().await;
    let root = Some(&house.root);
    let body = json!({ "username": "carol", "password": PASSWORD, "groups": ["dev"], "x": [] }).to_string();
    let made = ask(&house, root, Method::POST, "/v3/users", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let made = made.json();
    assert!(!made.to_string().contains("argon2") && !made.to_string().contains(PASSWORD));
    assert_eq!(
        (&made["groups"], &made["admin"], &made["enabled"]),
        (&json!(["dev"]), &false.into(), &true.into())
    );
    let path = format!("/v3/users/{}", made["id"].as_str().unwrap());

    // A whole resource sent back with one field changed, as Rancher's clients do.
    let mut whole = made.clone();
    whole["enabled"] = false.into();
    let changed = ask(&house, root, Method::PUT, &path, &whole.to_string()).await.json();
    assert_eq!((&changed["enabled"], &changed["groups"]), (&false.into(), &json!(["dev"])));
    let login = credentials("carol", PASSWORD).to_string();
    assert_eq!(ask(&house, None, Method::POST, V3_LOGIN, &login).await.refusal().0, 403);
    let changed = ask(&house, root, Method::PUT, &path, r#"{"enabled":true,"groups":[]}"#).await.json();
    assert_eq!((&changed["enabled"], &changed["groups"]), (&true.into(), &json!([])));

    let new = json!({ "newPassword": "another horse battery" }).to_string();
    let set = ask(&house, root, Method::POST, &format!("{path}?action=setpassword"), &new).await;
    assert_eq!((set.status, &set.json()["id"]), (StatusCode::OK, &made["id"]));
    let login = credentials("carol", "another horse battery").to_string();
    assert_eq!(ask(&house, None, Method::POST, V3_LOGIN, &login).await.status, StatusCode::CREATED);

    assert_eq!(ask(&house, root, Method::DELETE, &path, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&house, root, Method::GET, &path, "").await.refusal().0, 404);
    assert_eq!(ask(&house, root, Method::DELETE, &path, "").await.refusal().0, 404);
    assert_eq!(ask(&house, None, Method::POST, V3_LOGIN, &login).await.refusal().0, 401);
}

#[tokio::test]
async fn users_that_can_not_be_are_refused() {
    let house = House::new().await;
    let root = Some(&house.root);
    let table = [
        ("{}", 422, "MissingRequired"),
        (r#"{"username":""}"#, 422, "InvalidFormat"),
        (r#"{"username":" "}"#, 422, "InvalidFormat"),
        (r#"{"username":"carol\n"}"#, 422, "InvalidFormat"),
        (r#"{"username":"carol","groups":[""]}"#, 422, "InvalidFormat"),
        (r#"{"username":"carol","groups":"dev"}"#, 422, "InvalidBodyContent"),
        (r#"{"username":"system:admin"}"#, 422, "InvalidOption"),
        (r#"{"username":"carol","groups":["system:masters"]}"#, 422, "InvalidOption"),
        (r#"{"username":"carol","password":"short"}"#, 422, "InvalidBodyContent"),
        (r#"{"username":"caroline-carol","password":"caroline-carol"}"#, 422, "InvalidBodyContent"),
        (r#"{"username":"carol","admin":"yes"}"#, 422, "InvalidBodyContent"),
        (r#"{"username":"alice"}"#, 409, "AlreadyExists"),
    ];
    for (body, status, code) in table {
        let answer = ask(&house, root, Method::POST, "/v3/users", body).await;
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{body}");
    }
    assert_eq!(house.store.all_users().await.len(), 2);
    let alice = format!("/v3/users/{}", house.alice.id);
    let own = format!("/v3/users/{}", house.root.id);
    let table = [
        (&alice, r#"{"username":"alicia"}"#, "InvalidOption"),
        (&alice, r#"{"password":"correct horse battery"}"#, "InvalidOption"),
        (&own, r#"{"enabled":false}"#, "InvalidAction"),
        (&own, r#"{"admin":false}"#, "InvalidAction"),
    ];
    for (path, body, code) in table {
        assert_eq!(
            ask(&house, root, Method::PUT, path, body).await.refusal(),
            (422, code.to_owned()),
            "{body}"
        );
    }
    assert_eq!(ask(&house, root, Method::DELETE, &own, "").await.refusal(), (422, "InvalidAction".into()));
}

#[tokio::test]
async fn anybody_changes_their_own_password_knowing_the_current_one() {
    let house = House::new().await;
    let carol = house.admit("carol", false).await;
    let change =
        |current: &str, new: &str| json!({ "currentPassword": current, "newPassword": new }).to_string();
    let path = "/v3/users?action=changepassword";
    let answer =
        ask(&house, Some(&carol), Method::POST, path, &change("wrong", "another horse battery")).await;
    assert_eq!(answer.refusal(), (422, "InvalidBodyContent".into()));
    let answer =
        ask(&house, Some(&carol), Method::POST, path, &change(PASSWORD, "another horse battery")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let login = credentials("carol", "another horse battery").to_string();
    assert_eq!(ask(&house, None, Method::POST, V1_LOGIN, &login).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_new_password_ends_the_tokens_that_are_told_to_end() {
    let house = House::new().await;
    let carol = house.admit("carol", false).await;
    let session = async || {
        let login = credentials("carol", PASSWORD).to_string();
        let answer = ask(&house, None, Method::POST, V1_LOGIN, &login).await.json();
        answer["id"].as_str().unwrap().to_owned()
    };
    let left = async || {
        house.store.tokens_of(Some(&carol.id)).await.into_iter().map(|token| token.name).collect::<Vec<_>>()
    };
    let path = format!("/v3/users/{}?action=setpassword", carol.id);
    let set = async |revoke: Value| {
        let body = json!({ "newPassword": PASSWORD, "revokeTokens": revoke }).to_string();
        ask(&house, Some(&house.root), Method::POST, &path, &body).await
    };
    session().await;
    assert_eq!(set("some".into()).await.json()["fieldName"], "revokeTokens");
    for (revoke, count) in [(Value::Null, 2), ("".into(), 2), ("sessions".into(), 1), ("all".into(), 0)] {
        let answer = set(revoke.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(left().await.len(), count, "{revoke}");
    }
}
