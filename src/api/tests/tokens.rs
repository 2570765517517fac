//! Tokens and kubeconfigs.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::ask;
use crate::authority::testing::{CapturedLog, House};
use crate::token::{Bearer, TokenName};

#[tokio::test]
async fn a_new_token_is_shown_once_and_its_key_is_nowhere_else() {
    let log = CapturedLog::start();
    let house = House::new().await;
    let alice = Some(&house.alice);
    let made =
        ask(&house, alice, Method::POST, "/v3/tokens", r#"{"ttl":60000,"description":"ci","x":1}"#).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.json();
    let bearer = Bearer::try_from(made["token"].as_str().unwrap()).unwrap();
    assert_eq!(made["id"], bearer.name.as_str());
    let stored = house.store.token(&bearer.name).await.unwrap().unwrap();
    assert!(stored.hash.verify(&bearer.key));

    let url = format!("https://gate.example.org/v3/tokens/{}", bearer.name);
    let shown = ask(&house, alice, Method::GET, &format!("/v3/tokens/{}", bearer.name), "").await.json();
    let expected = json!({
        "type": "token", "baseType": "token", "kind": "api-key", "id": bearer.name.as_str(),
        "name": bearer.name.as_str(), "created": stored.created_at.to_string(), "createdTS": stored.created_at.0,
        "creatorId": null, "userId": house.alice.id.as_str(), "authProvider": "local", "clusterId": null,
        "userPrincipal": format!("local://{}", house.alice.id), "groupPrincipals": null, "description": "ci",
        "ttl": 60000, "expiresAt": stored.expires_at().unwrap().to_string(), "expired": false, "enabled": true,
        "isDerived": true, "current": false, "lastUsedAt": null, "lastUsedAddress": null, "lastUsedUserAgent": null,
        "leaseUntil": null, "replacedBy": null, "links": { "self": url, "update": url, "remove": url },
        "actions": { "disable": format!("{url}?action=disable"), "rotate": format!("{url}?action=rotate") },
        "openStreams": { "count": 0, "byKind": {}, "streams": [] },
    });
    assert_eq!(shown, expected);
    let listed = ask(&house, alice, Method::GET, "/v3/tokens", "").await;
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(listed.json()["resourceType"], "token");
    assert_eq!(listed.headers["x-api-schemas"], "https://gate.example.org/v3/schemas");

    let key = bearer.key.expose();
    assert!(!listed.text.contains(key) && !log.text().contains(key));
    assert!(log.text().contains("audit") && log.text().contains(bearer.name.as_str()), "{}", log.text());
    for entry in house.dir.path().read_dir().unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()));
    }
}

#[tokio::test]
async fn a_deleted_token_is_gone_for_everybody() {
    let house = House::new().await;
    let path = format!("/v3/tokens/{}", house.token_of(&house.alice.id).await.name);
    let deleted = ask(&house, Some(&house.alice), Method::DELETE, &path, "").await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::NO_CONTENT, ""));
    for (caller, method) in
        [(&house.alice, Method::GET), (&house.alice, Method::DELETE), (&house.root, Method::GET)]
    {
        assert_eq!(ask(&house, Some(caller), method, &path, "").await.refusal(), (404, "NotFound".into()));
    }
    let logout = ask(&house, Some(&house.alice), Method::POST, "/v3/tokens?action=logout", "{}").await;
    assert_eq!((logout.status, logout.text.as_str()), (StatusCode::OK, ""));
    assert!(house.store.token(&house.alice.token).await.unwrap().is_none());
}

#[tokio::test]
async fn what_can_not_be_granted_as_asked_is_refused() {
    let house = House::new().await;
    let table = [
        (r#"{"ttl":-1}"#, 422, "InvalidOption"),
        (r#"{"ttl":9223372036854775807}"#, 422, "InvalidOption"),
        (r#"{"ttl":18446744073709551616}"#, 422, "InvalidBodyContent"),
        (r#"{"ttl":"60000"}"#, 422, "InvalidBodyContent"),
        (r#"{"ttl":1.5}"#, 422, "InvalidBodyContent"),
        (r#"{"ttl":1,"ttl":0}"#, 422, "InvalidBodyContent"),
        (r#"{"description":7}"#, 422, "InvalidBodyContent"),
        (r#"{"clusterId":"c-none"}"#, 422, "InvalidOption"),
        (r#"{"clusterId":"No Id"}"#, 422, "InvalidOption"),
        (r#"{"groups":["system:masters"]}"#, 422, "InvalidOption"),
        (r#"{"groupPrincipals":[{}]}"#, 422, "InvalidOption"),
        (r#"{"userId":"user-other"}"#, 403, "PermissionDenied"),
        (r#"{"userId":"not an id"}"#, 422, "InvalidOption"),
        ("[]", 422, "InvalidBodyContent"),
        ("{", 422, "InvalidFormat"),
        ("{} x", 422, "InvalidFormat"),
    ];
    for (body, status, code) in table {
        let answer = ask(&house, Some(&house.alice), Method::POST, "/v3/tokens", body).await;
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{body}");
    }
    assert_eq!(house.store.tokens_of(Some(&house.alice.id)).await.len(), 1, "nothing was made");
    // What a client that sends a whole resource back may carry along.
    let whole = json!({
        "type": "token", "userId": house.alice.id.as_str(), "clusterId": null, "groupPrincipals": null,
        "enabled": false, "name": "token-mine", "expired": true, "ttl": 0, "labels": { "a": "b" },
    });
    let made = ask(&house, Some(&house.alice), Method::POST, "/v3/tokens", &whole.to_string()).await.json();
    assert_ne!(made["name"], "token-mine");
    assert_eq!((&made["enabled"], &made["ttl"]), (&Value::Bool(true), &Value::from(7_776_000_000_u64)));
    let bare = ask(&house, Some(&house.alice), Method::POST, "/v3/tokens", "").await;
    assert_eq!(bare.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_kubeconfig_carries_a_working_token_of_its_own() {
    let house = House::new().await;
    let alice = Some(&house.alice);
    let path = "/v3/clusters/local?action=generateKubeconfig";
    let answer = ask(&house, alice, Method::POST, path, "").await;
    assert_eq!((answer.status, &answer.json()["type"]), (StatusCode::OK, &"generateKubeConfigOutput".into()));
    let text = answer.json()["config"].as_str().unwrap().to_owned();
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    let cluster = &config["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], "https://gate.example.org:8443/k8s/clusters/local");
    assert_eq!(cluster["certificate-authority-data"], "UEVN");
    let bearer = Bearer::try_from(config["users"][0]["user"]["token"].as_str().unwrap()).unwrap();
    let stored = house.store.token(&bearer.name).await.unwrap().unwrap();
    assert!(stored.hash.verify(&bearer.key) && stored.user_id == house.alice.id);
    assert!(bearer.name.as_str().starts_with(&format!("kubeconfig-{}", house.alice.id)));
    assert_eq!(stored.ttl.0, 2_592_000_000);

    let before = house.store.tokens_of(None).await.len();
    for (path, status) in [
        ("/v3/clusters/other?action=generateKubeconfig", 404),
        ("/v3/clusters/local?action=other", 404),
        ("/v3/clusters/local", 422),
    ] {
        assert_eq!(ask(&house, alice, Method::POST, path, "").await.refusal().0, status, "{path}");
    }
    assert_eq!(house.store.tokens_of(None).await.len(), before);
    let listed = ask(&house, alice, Method::GET, "/v3/clusters", "").await.json();
    let action = "https://gate.example.org/v3/clusters/local?action=generateKubeconfig";
    assert_eq!(listed["data"][0]["actions"]["generateKubeconfig"], action);
    assert_eq!(ask(&house, alice, Method::GET, "/v3/clusters/local", "").await.json(), listed["data"][0]);
    assert_eq!(ask(&house, alice, Method::GET, "/v3/clusters/x", "").await.refusal().0, 404);
}

#[tokio::test]
async fn a_kubeconfig_token_that_is_fresh_is_used_again() {
    let house = House::new().await;
    let alice = Some(&house.alice);
    let path = "/v3/clusters/local?action=generateKubeconfig";
    let token_in = |answer: &Value| {
        let config: Value = serde_saphyr::from_str(answer["config"].as_str().unwrap()).unwrap();
        config["users"][0]["user"]["token"].as_str().unwrap().to_owned()
    };
    let first = ask(&house, alice, Method::POST, path, "{}").await.json();
    let bearer = token_in(&first);
    assert_eq!(first["tokenName"], bearer.split(':').next().unwrap());
    let body = json!({ "reuse": bearer }).to_string();
    let again = ask(&house, alice, Method::POST, path, &body).await.json();
    assert_eq!((token_in(&again), &again["tokenName"]), (bearer.clone(), &first["tokenName"]));
    let of_another = ask(&house, Some(&house.root), Method::POST, path, &body).await.json();
    assert_ne!(token_in(&of_another), bearer);
    let answer = ask(&house, alice, Method::POST, path, r#"{"reuse":"secret-and-no-token"}"#).await;
    assert_eq!((answer.refusal().0, &answer.json()["fieldName"]), (422, &"reuse".into()));
    assert!(!answer.text.contains("secret-and-no-token"));
}

#[tokio::test]
async fn where_kubeconfigs_carry_no_token_they_call_the_plugin() {
    let house = House::new().await;
    let setting = "/v3/settings/kubeconfig-generate-token";
    let set = ask(&house, Some(&house.root), Method::PUT, setting, r#"{"value":"false"}"#).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let server = "/v3/settings/server-url";
    ask(&house, Some(&house.root), Method::PUT, server, r#"{"value":"https://tokens.example.org"}"#).await;
    let before = house.store.tokens_of(None).await.len();
    let path = "/v3/clusters/local?action=generateKubeconfig";
    let answer = ask(&house, Some(&house.alice), Method::POST, path, "").await.json();
    assert_eq!(answer["tokenName"], Value::Null);
    let config: Value = serde_saphyr::from_str(answer["config"].as_str().unwrap()).unwrap();
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://tokens.example.org/k8s/clusters/local");
    assert_eq!(config["clusters"][0]["cluster"]["certificate-authority-data"], "UEVN");
    let arguments = &config["users"][0]["user"]["exec"]["args"];
    assert_eq!(*arguments, json!(["credential", "--server=https://tokens.example.org", "--cluster=local"]));
    assert_eq!(house.store.tokens_of(None).await.len(), before);
}

#[tokio::test]
async fn a_name_in_the_path_is_a_name_or_not_found() {
    let house = House::new().await;
    let name = house.token_of(&house.alice.id).await.name;
    let encoded = name.as_str().replace('-', "%2D");
    for path in [format!("/v3/tokens/{name}"), format!("/v3/tokens/{encoded}")] {
        assert_eq!(
            ask(&house, Some(&house.alice), Method::GET, &path, "").await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    assert!(TokenName::try_from("..").is_err());
    for id in ["..", "%2e%2e", "%00", "%ff", "A", "a%2fb", "token-bcdfg:key", "x/", "'", "%"] {
        let path = format!("/v3/tokens/{id}");
        let answer = ask(&house, Some(&house.root), Method::GET, &path, "").await;
        assert_eq!(answer.refusal(), (404, "NotFound".into()), "{path}");
    }
}
