//! Lists: filters, sorting, pages.

use http::Method;
use serde_json::Value;

use super::ask;
use crate::api::Caller;
use crate::authority::testing::House;

async fn list(house: &House, caller: &Caller, path: &str) -> Value {
    let answer = ask(house, Some(caller), Method::GET, path, "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

fn ids(list: &Value) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

async fn make(house: &House, caller: &Caller, body: &str) -> String {
    let answer = ask(house, Some(caller), Method::POST, "/v3/tokens", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn filters_choose_tokens_and_stand_in_the_answer() {
    let house = House::new().await;
    let (root, alice) = (&house.root, &house.alice);
    let key = make(&house, alice, r#"{"ttl":60000}"#).await;
    let helm = make(&house, root, &format!(r#"{{"kind":"helm-token","userId":"{}"}}"#, alice.id)).await;
    let off = make(&house, alice, "{}").await;
    let scoped = make(&house, alice, r#"{"clusterId":"local"}"#).await;
    let path = format!("/v3/tokens/{off}");
    ask(&house, Some(alice), Method::PUT, &path, r#"{"enabled":false}"#).await;
    let own = alice.token.as_str();
    let table: &[(&str, &[&str])] = &[
        ("kind=helm-token", &[&helm]),
        ("kind=session", &[]),
        ("enabled=false", &[&off]),
        ("enabled=true&kind=api-key&nameContains=token", &[own, &key, &scoped]),
        ("clusterId=local", &[&scoped]),
        ("clusterId=local&kind=helm-token", &[]),
        ("clusterId=c-bbbbb", &[]),
        ("neverExpires=true&kind=helm-token", &[&helm]),
        ("expired=true", &[]),
        ("lastUsedBefore=2100-01-01T00:00:00Z&kind=helm-token", &[&helm]),
        ("lastUsedBefore=2001-01-01T00:00:00Z&enabled=false", &[&off]),
        ("kind=&enabled=false", &[&off]),
        ("unknown=x&state_ne=a&state_ne=b&enabled=false", &[&off]),
        ("exceedsMax=true&kind=helm-token", &[]),
    ];
    for (query, expected) in table {
        let path = format!("/v3/tokens?userId={}&{query}", alice.id);
        let mut expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        expected.sort();
        assert_eq!(ids(&list(&house, root, &path).await), expected, "{query}");
        assert_eq!(ids(&list(&house, alice, &path).await), expected, "{query}");
    }
    let shown = list(&house, root, "/v3/tokens?kind=helm-token").await;
    assert_eq!(shown["filters"]["kind"], serde_json::json!([{ "modifier": "eq", "value": "helm-token" }]));
    assert_eq!(shown["filters"]["userId"], Value::Null);
    for query in [
        "kind=x",
        "enabled=1",
        "expired=maybe",
        "lastUsedBefore=yesterday",
        "exceedsMax=false",
        "userId=not an id",
        "clusterId=not an id",
        "sort=color",
        "order=up",
        "limit=0",
        "marker=x",
    ] {
        let answer =
            ask(&house, Some(root), Method::GET, &format!("/v3/tokens?{}", query.replace(' ', "%20")), "")
                .await;
        assert_eq!(answer.refusal().0, 422, "{query}");
        assert_eq!(answer.json()["fieldName"], query.split('=').next().unwrap());
    }
}

#[tokio::test]
async fn an_administrator_sees_everybodys_tokens_and_others_their_own() {
    let house = House::new().await;
    let (root, alice) = (&house.root, &house.alice);
    let (of_root, of_alice) = (root.token.as_str(), alice.token.as_str());
    assert_eq!(ids(&list(&house, root, "/v3/tokens").await).len(), 2);
    assert_eq!(ids(&list(&house, root, "/v3/tokens?me=true").await), [of_root]);
    assert_eq!(ids(&list(&house, alice, "/v3/tokens").await), [of_alice]);
    let of_other = format!("/v3/tokens?userId={}", root.id);
    assert_eq!(ids(&list(&house, alice, &of_other).await), [""; 0]);
    let both =
        ask(&house, Some(root), Method::GET, &format!("/v3/tokens?me=true&userId={}", alice.id), "").await;
    assert_eq!(both.refusal().0, 422);
}

#[tokio::test]
async fn pages_follow_each_other_in_any_order_and_miss_nothing() {
    let house = House::new().await;
    let alice = &house.alice;
    for ttl in [50_000, 10_000, 30_000, 20_000, 40_000, 0] {
        make(&house, alice, &format!(r#"{{"ttl":{ttl}}}"#)).await;
    }
    let whole = list(&house, alice, "/v3/tokens?sort=expiresAt").await;
    assert_eq!((&whole["pagination"]["partial"], &whole["pagination"]["total"]), (&false.into(), &7.into()));
    assert_eq!((&whole["sort"]["name"], &whole["sort"]["order"]), (&"expiresAt".into(), &"asc".into()));
    for order in ["asc", "desc"] {
        let mut path = format!("/v3/tokens?sort=expiresAt&order={order}&limit=3&kind=api-key");
        let mut seen = Vec::new();
        loop {
            let page = list(&house, alice, &path).await;
            assert_eq!(page["pagination"]["partial"], true);
            seen.extend(ids(&page));
            let Some(next) = page["pagination"]["next"].as_str() else { break };
            path = next.strip_prefix("https://gate.example.org").unwrap().to_owned();
            assert!(path.contains("kind=api-key") && path.contains("limit=3"), "{path}");
        }
        let mut expected = ids(&whole);
        if order == "desc" {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
    let first = list(&house, alice, "/v3/tokens?limit=1").await;
    let reverse = first["sort"]["reverse"].as_str().unwrap();
    assert_eq!(reverse, "https://gate.example.org/v3/tokens?limit=1&order=desc");
    let of_names = first["pagination"]["next"].as_str().unwrap();
    let foreign =
        of_names.strip_prefix("https://gate.example.org").unwrap().replace("limit=1", "sort=created");
    let answer = ask(&house, Some(alice), Method::GET, &foreign, "").await;
    assert_eq!((answer.refusal().0, &answer.json()["fieldName"]), (422, &"marker".into()));
}

#[tokio::test]
async fn users_are_filtered_and_listed_by_page() {
    let house = House::new().await;
    for name in ["bob", "carol"] {
        house.admit(name, false).await;
    }
    let names = |list: &Value| -> Vec<String> {
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect()
    };
    let root = &house.root;
    for (query, expected) in [
        ("", &["alice", "bob", "carol", "root"][..]),
        ("?order=desc&limit=2", &["root", "carol"]),
        ("?username=bob", &["bob"]),
        ("?username=nobody", &[]),
        ("?admin=true", &["root"]),
        ("?enabled=false", &[]),
        ("?me=true", &["root"]),
    ] {
        assert_eq!(names(&list(&house, root, &format!("/v3/users{query}")).await), expected, "{query}");
    }
    let page = list(&house, root, "/v3/users?limit=3").await;
    let next = page["pagination"]["next"].as_str().unwrap().strip_prefix("https://gate.example.org").unwrap();
    assert_eq!(names(&list(&house, root, next).await), ["root"]);
    let answer = ask(&house, Some(root), Method::GET, "/v3/users?sort=admin", "").await;
    assert_eq!(answer.refusal().0, 422);
}

#[tokio::test]
async fn the_audit_log_is_for_administrators_and_begins_with_the_newest() {
    let house = House::new().await;
    let (root, alice) = (&house.root, &house.alice);
    let made = make(&house, alice, "{}").await;
    let path = format!("/v3/tokens/{made}");
    ask(&house, Some(alice), Method::DELETE, &path, "").await;
    let answer = ask(&house, Some(alice), Method::GET, "/v3/auditevents", "").await;
    assert_eq!(answer.refusal(), (403, "PermissionDenied".into()));
    let actions = |list: &Value| -> Vec<String> {
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["action"].as_str().unwrap().to_owned())
            .collect()
    };
    let of_token = list(&house, root, &format!("/v3/auditevents?token={made}")).await;
    assert_eq!(actions(&of_token), ["token.delete", "token.create"]);
    let event = &of_token["data"][0];
    assert_eq!((&event["type"], &event["outcome"]), (&"auditEvent".into(), &"success".into()));
    assert_eq!((&event["actor"], &event["client"]), (&alice.id.as_str().into(), &"192.0.2.1".into()));
    let refused = list(&house, root, "/v3/auditevents?action=audit.list").await;
    assert_eq!(refused["data"][0]["outcome"], "refused");
    let first = list(&house, root, "/v3/auditevents?order=asc&limit=1").await;
    assert_eq!(actions(&first), ["token.create"]);
    assert!(first["pagination"]["next"].as_str().unwrap().contains("order=asc"));
    assert_eq!(actions(&list(&house, root, "/v3/auditevents?since=2100-01-01T00:00:00Z").await), [""; 0]);
}
