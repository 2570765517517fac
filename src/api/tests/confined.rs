//! A token that is for a cluster alone: it asks about itself, ends itself, and does nothing else.

use axum::body::Body;
use axum::extract::Request;
use http::{Method, StatusCode};
use serde_json::json;

use super::{Answer, send_with};
use crate::api::{Authentication, Caller};
use crate::authority::NewToken;
use crate::authority::testing::House;

/// `of` with a token for the cluster `local` alone.
async fn confined(house: &House, of: &Caller) -> Caller {
    let new = NewToken { cluster: Some("local".try_into().unwrap()), ..NewToken::default() };
    let issued = house.authority.create_token(of, new).await.unwrap();
    Caller { token: issued.record.name, ..of.clone() }
}

async fn ask(house: &House, caller: &Caller, method: Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("host", "gate.example.org");
    let request = request.header("content-type", "application/json").body(Body::from("{}")).unwrap();
    send_with(house, Some(Authentication::Itself(caller.clone())), request).await
}

#[tokio::test]
async fn it_says_whose_it_is_shows_itself_and_deletes_itself() {
    let house = House::new().await;
    for user in [&house.root, &house.alice] {
        let caller = confined(&house, user).await;
        let me = ask(&house, &caller, Method::GET, "/v3/users?me=true").await.json();
        assert_eq!(me["data"].as_array().unwrap().len(), 1);
        assert_eq!(me["data"][0]["username"], user.name.as_str());
        assert_eq!(me["createTypes"], json!({}), "also of an administrator");
        let own = format!("/v3/users/{}", user.id);
        assert_eq!(ask(&house, &caller, Method::GET, &own).await.json(), me["data"][0]);
        let path = format!("/v3/tokens/{}", caller.token);
        let shown = ask(&house, &caller, Method::GET, &path).await.json();
        assert_eq!((&shown["current"], &shown["clusterId"]), (&true.into(), &"local".into()));
        for (object, links) in [(&me["data"][0], vec!["self"]), (&shown, vec!["remove", "self"])] {
            let there: Vec<_> = object["links"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!((there, &object["actions"]), (links, &json!({})));
        }
        assert_eq!(ask(&house, &caller, Method::DELETE, &path).await.status, StatusCode::NO_CONTENT);
        assert!(house.store.token(&caller.token).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn everything_else_is_forbidden_to_it_and_its_administrator_has_no_rights_by_it() {
    let house = House::new().await;
    let caller = confined(&house, &house.root).await;
    let own = format!("/v3/tokens/{}", caller.token);
    let another = format!("/v3/tokens/{}", house.root.token);
    for (method, path) in [
        (Method::GET, "/v3"),
        (Method::GET, "/v3/schemas"),
        (Method::GET, "/v3/users"),
        (Method::GET, "/v3/users?me=false"),
        (Method::POST, "/v3/users"),
        (Method::POST, "/v3/users?action=changepassword"),
        (Method::GET, &format!("/v3/users/{}", house.alice.id)),
        (Method::PUT, &format!("/v3/users/{}", house.root.id)),
        (Method::GET, "/v3/tokens"),
        (Method::GET, "/v3/tokens?me=true"),
        (Method::POST, "/v3/tokens"),
        (Method::DELETE, "/v3/tokens?me=true"),
        (Method::POST, "/v3/tokens?action=logout"),
        (Method::POST, "/v1/logout"),
        (Method::PUT, &own),
        (Method::POST, &format!("{own}?action=rotate")),
        (Method::POST, &format!("{own}?action=disable")),
        (Method::GET, &another),
        (Method::DELETE, &another),
        (Method::GET, "/v3/tokens/token-zzzzz"),
        (Method::GET, "/v3/clusters"),
        (Method::GET, "/v3/clusters/local"),
        (Method::POST, "/v3/clusters/local?action=generateKubeconfig"),
        (Method::GET, "/v3/settings"),
        (Method::GET, "/v3/features"),
        (Method::GET, "/v3/auditevents"),
        (Method::GET, "/v3/projects"),
    ] {
        let refused = ask(&house, &caller, method.clone(), path).await;
        assert_eq!(refused.refusal(), (403, "PermissionDenied".into()), "{method} {path}");
        assert!(refused.text.contains("for a cluster alone"), "{}", refused.text);
    }
    // Were a handler to let it through, its rights would still be nobody's but its own user's.
    let listed = house.authority.tokens(&caller, crate::store::TokenQuery::default()).await.unwrap();
    assert!(listed.items.iter().all(|token| token.user_id == house.root.id));
    assert!(house.authority.users(&caller, crate::store::UserQuery::default()).await.is_err());
}
