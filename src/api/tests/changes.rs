//! Tokens that are changed, one or many at once.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, ask};
use crate::api::Caller;
use crate::authority::testing::House;
use crate::token::{Bearer, TokenKind};

async fn make(house: &House, caller: &Caller, body: &Value) -> Answer {
    ask(house, Some(caller), Method::POST, "/v3/tokens", &body.to_string()).await
}

async fn name_of_new(house: &House, caller: &Caller, body: &Value) -> String {
    let answer = make(house, caller, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_life_that_is_cut_is_announced() {
    let house = House::new().await;
    let day = 86_400_000_i64;
    for (asked, ttl, is_noted) in [
        (json!(0), 90 * day, true),
        (json!(91 * day), 90 * day, true),
        (json!(day), day, false),
        (Value::Null, 90 * day, false),
    ] {
        let answer = make(&house, &house.alice, &json!({ "ttl": asked })).await;
        assert_eq!((answer.status, &answer.json()["ttl"]), (StatusCode::CREATED, &ttl.into()));
        let warning = answer.headers.get("warning").map(|line| line.to_str().unwrap().to_owned());
        assert_eq!(warning.is_some(), is_noted, "{asked}");
        if let Some(warning) = warning {
            assert!(
                warning.starts_with("299 - \"") && warning.contains("auth-token-max-ttl-minutes"),
                "{warning}"
            );
        }
    }
}

#[tokio::test]
async fn kinds_are_made_by_those_who_may() {
    let house = House::new().await;
    let (root, alice, other) = (&house.root, &house.alice, house.root.id.as_str());
    let table = [
        (alice, json!({ "kind": "api-key" }), 201),
        (alice, json!({ "kind": "" , "userId": "" }), 201),
        (alice, json!({ "kind": "helm-token" }), 403),
        (alice, json!({ "kind": "helm-token", "lease": true }), 201),
        (alice, json!({ "kind": "helm-token", "lease": true, "userId": other }), 403),
        (alice, json!({ "kind": "telemetry" }), 403),
        (alice, json!({ "kind": "api-key", "lease": true }), 422),
        (alice, json!({ "kind": "session" }), 422),
        (alice, json!({ "kind": "password" }), 422),
        (root, json!({ "kind": "telemetry", "userId": alice.id.as_str() }), 201),
        (root, json!({ "kind": "agent", "userId": "user-nobdy" }), 422),
        (root, json!({ "kind": "api-key", "userId": alice.id.as_str() }), 403),
    ];
    for (caller, body, status) in table {
        let answer = make(&house, caller, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{} {body}: {}", caller.name, answer.text);
    }
    let schema = ask(&house, Some(root), Method::GET, "/v3/schemas/token", "").await.json();
    let kinds = TokenKind::ALL.map(TokenKind::as_str);
    assert_eq!(schema["collectionFilters"]["kind"]["options"], json!(kinds));
    let made: Vec<_> = kinds.into_iter().filter(|kind| *kind != "session").collect();
    assert_eq!(schema["resourceFields"]["kind"]["options"], json!(made));
}

#[tokio::test]
async fn a_token_is_switched_off_and_on_described_and_shortened() {
    let house = House::new().await;
    let alice = Some(&house.alice);
    let path = format!("/v3/tokens/{}", name_of_new(&house, &house.alice, &json!({ "ttl": 60_000 })).await);
    let put = async |body: &str| ask(&house, alice, Method::PUT, &path, body).await;
    let mut whole = put(r#"{"enabled":false,"description":"ci"}"#).await.json();
    assert_eq!(
        (&whole["enabled"], &whole["description"], &whole["ttl"]),
        (&false.into(), &"ci".into(), &60_000.into())
    );
    assert!(whole["actions"].get("enable").is_some() && whole["actions"].get("disable").is_none());
    whole["description"] = "sent back whole".into();
    let changed = put(&whole.to_string()).await.json();
    assert_eq!((&changed["enabled"], &changed["description"]), (&false.into(), &"sent back whole".into()));
    let on = ask(&house, alice, Method::POST, &format!("{path}?action=enable"), "").await.json();
    assert_eq!(on["enabled"], true);
    let off = ask(&house, alice, Method::POST, &format!("{path}?action=disable"), "{}").await.json();
    assert_eq!(off["enabled"], false);
    assert_eq!(put(r#"{"ttl":30000}"#).await.json()["ttl"], 30_000);
    for body in [r#"{"ttl":30001}"#, r#"{"ttl":0}"#, r#"{"ttl":-1}"#] {
        let answer = put(body).await;
        assert_eq!((answer.refusal().0, &answer.json()["fieldName"]), (422, &"ttl".into()), "{body}");
    }
    let helm = name_of_new(&house, &house.root, &json!({ "kind": "helm-token" })).await;
    let endless = format!("/v3/tokens/{helm}");
    let described =
        ask(&house, Some(&house.root), Method::PUT, &endless, r#"{"ttl":0,"description":"x"}"#).await;
    assert_eq!((described.status, &described.json()["ttl"]), (StatusCode::OK, &0.into()));
    for (action, status) in [("?action=shred", 404), ("?action=renewLease", 422), ("", 422)] {
        let answer = ask(&house, alice, Method::POST, &format!("{path}{action}"), "").await;
        assert_eq!(answer.refusal().0, status, "{action}");
    }
    for method in [Method::PUT, Method::GET, Method::DELETE] {
        assert_eq!(ask(&house, alice, method, &endless, "{}").await.refusal().0, 404);
    }
    let other = ask(&house, alice, Method::POST, &format!("{endless}?action=disable"), "").await;
    assert_eq!(other.refusal().0, 404);
}

#[tokio::test]
async fn a_rotated_token_has_a_successor_with_a_key_of_its_own() {
    let house = House::new().await;
    let alice = Some(&house.alice);
    let name = name_of_new(&house, &house.alice, &json!({ "description": "ci", "ttl": 60_000 })).await;
    let path = format!("/v3/tokens/{name}");
    let path_of_action = format!("{path}?action=rotate");
    let rotate = async |body: &str| ask(&house, alice, Method::POST, &path_of_action, body).await;
    assert_eq!(rotate(r#"{"overlapSeconds":604801}"#).await.json()["fieldName"], "overlapSeconds");
    assert_eq!(rotate(r#"{"overlapSeconds":-1}"#).await.refusal().0, 422);
    let answer = rotate(r#"{"overlapSeconds":10}"#).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let successor = answer.json();
    let bearer = Bearer::try_from(successor["token"].as_str().unwrap()).unwrap();
    assert!(house.store.token(&bearer.name).await.unwrap().unwrap().hash.verify(&bearer.key));
    assert_eq!(successor["description"], "ci");
    let old = ask(&house, alice, Method::GET, &path, "").await.json();
    assert_eq!(old["replacedBy"], successor["id"]);
    assert!(old["actions"].get("rotate").is_none());
    assert_eq!(rotate("{}").await.refusal(), (409, "Conflict".into()));
}

#[tokio::test]
async fn many_are_deleted_by_filter_after_a_look_at_which() {
    let house = House::new().await;
    let (root, alice) = (&house.root, &house.alice);
    for _ in 0..3 {
        name_of_new(&house, alice, &json!({ "ttl": 60_000 })).await;
    }
    let of_alice = format!("userId={}", alice.id);
    for query in [
        "",
        "?dryRun=true",
        "?kind=api-key&usrId=x",
        "?kind=api-key&userId=",
        "?kind=x",
        "?userId=no%20id",
        "?limit=5&kind=api-key",
    ] {
        let answer = ask(&house, Some(root), Method::DELETE, &format!("/v3/tokens{query}"), "").await;
        assert_eq!(answer.refusal().0, 422, "{query}");
    }
    let before = house.store.tokens_of(None).await.len();
    assert_eq!(before, 5);
    let preview = ask(&house, Some(root), Method::DELETE, &format!("/v3/tokens?{of_alice}&dryRun=true"), "")
        .await
        .json();
    assert_eq!((&preview["type"], &preview["action"]), (&"bulkResult".into(), &"delete".into()));
    assert_eq!((&preview["dryRun"], &preview["count"]), (&true.into(), &4.into()));
    assert_eq!(house.store.tokens_of(None).await.len(), before);
    let of_other =
        ask(&house, Some(alice), Method::DELETE, &format!("/v3/tokens?userId={}", root.id), "").await.json();
    assert_eq!(of_other["count"], 0);
    let own = ask(&house, Some(alice), Method::DELETE, "/v3/tokens?me=true", "").await.json();
    assert_eq!(
        (&own["dryRun"], &own["count"], own["names"].as_array().unwrap().len()),
        (&false.into(), &3.into(), 3)
    );
    let left: Vec<_> = house.store.tokens_of(None).await.into_iter().map(|token| token.name).collect();
    assert!(left.len() == 2 && left.contains(&alice.token), "the token of the request stays");
}

#[tokio::test]
async fn what_exceeds_a_lowered_maximum_is_found_and_shortened() {
    let house = House::new().await;
    let (root, alice) = (Some(&house.root), Some(&house.alice));
    let name = name_of_new(&house, &house.alice, &json!({ "ttl": 86_400_000 })).await;
    let settings = json!({ "values": { "auth-token-max-ttl-minutes": "60", "kubeconfig-default-token-ttl-minutes": "60" } });
    let set = ask(&house, root, Method::POST, "/v3/settings?action=set", &settings.to_string()).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let exceeding = format!("/v3/tokens?exceedsMax=true&nameContains={name}");
    let found = ask(&house, root, Method::GET, &exceeding, "").await.json();
    assert_eq!(found["data"][0]["id"], name);
    let shorten = format!("/v3/tokens?action=shorten&nameContains={name}");
    assert_eq!(ask(&house, alice, Method::POST, &shorten, "").await.refusal().0, 403);
    let preview = ask(&house, root, Method::POST, &format!("{shorten}&dryRun=true"), "").await.json();
    assert_eq!((&preview["action"], &preview["count"]), (&"shorten".into(), &1.into()));
    let done = ask(&house, root, Method::POST, &shorten, "").await.json();
    assert_eq!((&done["dryRun"], &done["names"]), (&false.into(), &json!([name])));
    let shown = ask(&house, alice, Method::GET, &format!("/v3/tokens/{name}"), "").await.json();
    assert_eq!(shown["ttl"], 3_600_000);
    assert_eq!(ask(&house, root, Method::GET, &exceeding, "").await.json()["data"], json!([]));
}
