//! Settings.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::ask;
use crate::api::Caller;
use crate::authority::testing::House;
use crate::setting::Setting;

async fn put(house: &House, caller: &Caller, name: &str, value: &str) -> super::Answer {
    let body = json!({ "value": value }).to_string();
    ask(house, Some(caller), Method::PUT, &format!("/v3/settings/{name}"), &body).await
}

const MAX: &str = "auth-token-max-ttl-minutes";
const KUBECONFIG: &str = "kubeconfig-default-token-ttl-minutes";

#[tokio::test]
async fn an_administrator_sets_and_resets_what_everybody_sees() {
    let house = House::new().await;
    let (root, alice) = (&house.root, &house.alice);
    let shown = ask(&house, Some(alice), Method::GET, &format!("/v3/settings/{MAX}"), "").await.json();
    let url = format!("https://gate.example.org/v3/settings/{MAX}");
    assert_eq!(
        (&shown["type"], &shown["baseType"], &shown["id"]),
        (&"setting".into(), &"setting".into(), &MAX.into())
    );
    assert_eq!((&shown["value"], &shown["default"]), (&"129600".into(), &"129600".into()));
    assert_eq!((&shown["customized"], &shown["source"]), (&false.into(), &"default".into()));
    assert_eq!(shown["links"], json!({ "self": url }), "no link that may not be followed");
    assert_eq!(put(&house, alice, MAX, "60000").await.refusal(), (403, "PermissionDenied".into()));

    let set = put(&house, root, MAX, "60000").await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let set = set.json();
    assert_eq!(
        (&set["value"], &set["customized"], &set["source"]),
        (&"60000".into(), &true.into(), &"db".into())
    );
    assert_eq!(set["links"]["update"], url);
    let reset = put(&house, root, MAX, "").await.json();
    assert_eq!((&reset["value"], &reset["source"]), (&"129600".into(), &"default".into()));

    let all = ask(&house, Some(alice), Method::GET, "/v3/settings", "").await.json();
    assert_eq!(
        (&all["resourceType"], all["data"].as_array().unwrap().len()),
        (&"setting".into(), Setting::ALL.len())
    );
    assert_eq!(all["actions"], json!({}));
}

#[tokio::test]
async fn values_that_can_not_be_are_refused_and_pairs_are_set_together() {
    let house = House::new().await;
    let root = &house.root;
    for (name, value, status) in [
        (MAX, "1.5", 422),
        (MAX, "-1", 422),
        (MAX, "60", 422),
        (KUBECONFIG, "129601", 422),
        (KUBECONFIG, "0", 422),
        ("password-min-length", "x", 422),
        ("kubeconfig-generate-token", "maybe", 422),
        ("no-such-setting", "1", 404),
        ("server-version", "v9", 405),
    ] {
        assert_eq!(put(&house, root, name, value).await.refusal().0, status, "{name}={value}");
    }
    let both = put(&house, root, MAX, "60").await.json();
    let message = both["message"].as_str().unwrap();
    assert!(message.contains("43200") && message.contains("(60)"), "both numbers are named: {message}");
    let path = format!("/v3/settings/{MAX}");
    for body in ["{}", r#"{"value":60}"#, r#"{"value":null}"#, "[]"] {
        assert_eq!(ask(&house, Some(root), Method::PUT, &path, body).await.refusal().0, 422, "{body}");
    }
    let set_many = async |values: Value| {
        let body = json!({ "values": values }).to_string();
        ask(&house, Some(root), Method::POST, "/v3/settings?action=set", &body).await
    };
    let set = set_many(json!({ MAX: "60", KUBECONFIG: "60" })).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    assert!(
        set.json()["data"].as_array().unwrap().iter().any(|one| one["id"] == MAX && one["value"] == "60")
    );
    assert_eq!(set_many(json!({ MAX: "30" })).await.refusal().0, 422);
    assert_eq!(set_many(json!({ "no-such-setting": "30" })).await.refusal().0, 422);
    let refused = set_many(json!({ KUBECONFIG: "50", "password-min-length": "x" })).await;
    assert_eq!(refused.refusal().0, 422);
    let kept = ask(&house, Some(root), Method::GET, &format!("/v3/settings/{KUBECONFIG}"), "").await.json();
    assert_eq!(kept["value"], "60", "all or nothing");
    assert_eq!(ask(&house, Some(root), Method::POST, "/v3/settings", "{}").await.refusal().0, 422);
    let not_root =
        ask(&house, Some(&house.alice), Method::POST, "/v3/settings?action=set", r#"{"values":{}}"#).await;
    assert_eq!(not_root.refusal().0, 403);
}

#[tokio::test]
async fn who_does_not_trust_the_server_yet_may_read_whom_to_trust() {
    let house = House::new().await;
    let answer = ask(&house, None, Method::GET, "/v3/settings/cacerts", "").await;
    assert_eq!((answer.status, &answer.json()["id"]), (StatusCode::OK, &"cacerts".into()));
    for path in
        ["/v3/settings", "/v3/settings/server-url", "/v3/settings/CACERTS", "/v3/settings/server-version"]
    {
        assert_eq!(ask(&house, None, Method::GET, path, "").await.refusal().0, 401, "{path}");
    }
    assert_eq!(
        ask(&house, None, Method::PUT, "/v3/settings/cacerts", r#"{"value":""}"#).await.refusal().0,
        401
    );
    let version =
        ask(&house, Some(&house.alice), Method::GET, "/v3/settings/server-version", "").await.json();
    assert_eq!(version["value"], "v2.8.0");
}
