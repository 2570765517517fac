//! Clusters: what is shown of them to whom, what is taken from whom, and kubeconfigs for several.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::ask;
use crate::authority::testing::House;
use crate::token::Bearer;

const TOKEN: &str = "hunter2-hunter2";

fn new(name: &str) -> Value {
    json!({
        "name": name, "endpoints": ["https://10.0.0.1:6443"], "tlsServerName": "kubernetes",
        "credential": { "token": TOKEN },
    })
}

/// Adds a cluster and gives it as its maker is shown it.
async fn add(house: &House, body: &Value) -> Value {
    let made = ask(house, Some(&house.root), Method::POST, "/v3/clusters", &body.to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert!(!made.text.contains("hunter2"), "{}", made.text);
    house.keep_clusters().await;
    made.json()
}

/// Changes a cluster and gives it as it is afterwards.
async fn put(house: &House, path: &str, body: &Value) -> Value {
    let changed = ask(house, Some(&house.root), Method::PUT, path, &body.to_string()).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    house.keep_clusters().await;
    ask(house, Some(&house.root), Method::GET, path, "").await.json()
}

#[tokio::test]
async fn an_administrator_adds_changes_and_deletes_a_cluster_and_its_credential_is_shown_by_its_kind() {
    let house = House::new().await;
    let root = Some(&house.root);
    let made = add(&house, &new("eu-1")).await;
    let path = format!("/v3/clusters/{}", made["id"].as_str().unwrap());
    assert_eq!((&made["source"], &made["credential"]), (&"stored".into(), &json!({ "kind": "token" })));
    assert_eq!(made["endpoints"], json!(["https://10.0.0.1:6443"]));
    assert_eq!(made["access"], json!({ "everybody": true, "users": [], "groups": [] }));

    // A whole resource sent back with one field changed, as Rancher's clients do.
    let mut whole = made.clone();
    whole["access"] = json!({ "users": ["alice"] });
    let changed = put(&house, &path, &whole).await;
    assert_eq!(changed["access"], json!({ "everybody": false, "users": ["alice"], "groups": [] }));
    assert_eq!(changed["endpoints"], made["endpoints"]);
    for (body, field) in [
        (json!({ "endpoints": ["https://10.0.0.2:6443"] }), "credential"),
        (json!({ "tlsServerName": "" }), "credential"),
        (json!({ "access": { "everybody": true, "groups": ["ops"] } }), "access"),
        (json!({ "serviceAccounts": "all" }), "serviceAccounts"),
    ] {
        let refused = ask(&house, root, Method::PUT, &path, &body.to_string()).await;
        assert_eq!((refused.refusal().0, &refused.json()["fieldName"]), (422, &field.into()), "{body}");
    }
    let moved = json!({ "endpoints": ["https://10.0.0.2:6443/"], "credential": { "token": TOKEN } });
    let moved = put(&house, &path, &moved).await;
    assert_eq!(
        (&moved["endpoints"], &moved["tlsServerName"]),
        (&json!(["https://10.0.0.2:6443"]), &"kubernetes".into())
    );

    let dry = ask(&house, root, Method::DELETE, &format!("{path}?dryRun=true"), "").await;
    assert_eq!((&dry.json()["openStreams"], &dry.json()["scopedTokens"]), (&0.into(), &0.into()));
    for slip in ["?dryrun=true", "?dryRun="] {
        assert_eq!(ask(&house, root, Method::DELETE, &format!("{path}{slip}"), "").await.refusal().0, 422);
    }
    assert_eq!(ask(&house, root, Method::DELETE, &path, "").await.status, StatusCode::NO_CONTENT);
    house.keep_clusters().await;
    assert_eq!(ask(&house, root, Method::GET, &path, "").await.refusal().0, 404);
}

#[tokio::test]
async fn who_is_no_administrator_sees_only_that_a_cluster_is_there_and_changes_none() {
    let house = House::new().await;
    let alice = Some(&house.alice);
    let open = add(&house, &new("open")).await;
    let mut body = new("closed");
    body["access"] = json!({ "groups": ["ops"] });
    let closed = add(&house, &body).await;
    let paths = [&open, &closed].map(|cluster| format!("/v3/clusters/{}", cluster["id"].as_str().unwrap()));
    let listed = ask(&house, alice, Method::GET, "/v3/clusters", "").await.json();
    let names: Vec<_> = listed["data"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["open", "local"]);
    assert!(listed["createTypes"].as_object().unwrap().is_empty());
    let shown = ask(&house, alice, Method::GET, &paths[0], "").await.json();
    for field in ["endpoints", "caCert", "tlsServerName", "credential", "access"] {
        assert_eq!(shown[field], Value::Null, "{field}");
    }
    assert!(shown["links"].get("update").is_none() && shown["actions"].get("test").is_none());
    let body = new("mine").to_string();
    for (method, path, status) in [
        (Method::GET, paths[1].as_str(), 404),
        (Method::POST, "/v3/clusters", 403),
        (Method::POST, "/v3/clusters?action=test", 403),
        (Method::PUT, &paths[0], 403),
        (Method::DELETE, &paths[0], 403),
        (Method::DELETE, &format!("{}?dryRun=true", paths[0]), 403),
        (Method::POST, &format!("{}?action=test", paths[0]), 403),
        (Method::POST, &format!("{}?action=generateKubeconfig", paths[1]), 404),
    ] {
        assert_eq!(
            ask(&house, alice, method.clone(), path, &body).await.refusal().0,
            status,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn what_the_configuration_says_is_read_only_here() {
    let house = House::new().await;
    let root = Some(&house.root);
    let local = ask(&house, root, Method::GET, "/v3/clusters/local", "").await.json();
    assert_eq!((&local["source"], &local["state"]), (&"configured".into(), &"unavailable".into()));
    assert!(local["transitioningMessage"].as_str().unwrap().contains("/no/such/file"), "{local}");
    assert!(local["links"].get("update").is_none() && local["actions"].get("test").is_some());
    for (method, path, body) in [
        (Method::PUT, "/v3/clusters/local", r#"{"name":"mine"}"#),
        (Method::DELETE, "/v3/clusters/local", ""),
        (Method::DELETE, "/v3/clusters/local?dryRun=true", ""),
    ] {
        let refused = ask(&house, root, method.clone(), path, body).await;
        assert_eq!(refused.refusal().0, 405, "{method} {path}");
        assert!(refused.json()["message"].as_str().unwrap().contains("configuration"));
    }
    let of_alice = ask(&house, Some(&house.alice), Method::GET, "/v3/clusters/local", "").await;
    assert!(!of_alice.text.contains("/no/such/file"), "{}", of_alice.text);
    let tested = ask(&house, root, Method::POST, "/v3/clusters/local?action=test", "").await.json();
    assert_eq!((&tested["usable"], &tested["problem"]), (&false.into(), &"credential".into()));
}

#[tokio::test]
async fn a_cluster_that_can_not_be_is_refused_with_the_field_that_is_wrong() {
    let house = House::new().await;
    let with = |field: &str, value: Value| {
        let mut body = new("eu-1");
        body[field] = value;
        body
    };
    let pair = json!({ "clientCertificate": "CERT" });
    for (body, status, field) in [
        (with("name", Value::Null), 422, "name"),
        (with("name", "local".into()), 409, "name"),
        (with("endpoints", json!(["http://10.0.0.1"])), 422, "endpoints"),
        (with("endpoints", json!([])), 422, "endpoints"),
        (with("caCert", "hunter2".into()), 422, "caCert"),
        (with("credential", json!({})), 422, "credential"),
        (with("credential", json!({ "kind": "token" })), 422, "credential"),
        (with("credential", json!({ "token": "hunter2", "tokenFile": "a" })), 422, "credential"),
        (with("credential", pair), 422, "clientKey"),
        (with("credential", json!({ "kubeconfig": "hunter2: [" })), 422, "kubeconfig"),
        (with("access", json!({ "users": [""] })), 422, "access"),
        (with("serviceAccounts", "maybe".into()), 422, "serviceAccounts"),
    ] {
        let refused = ask(&house, Some(&house.root), Method::POST, "/v3/clusters", &body.to_string()).await;
        assert_eq!((refused.refusal().0, &refused.json()["fieldName"]), (status, &field.into()), "{body}");
        assert!(!refused.text.contains("hunter2"), "{}", refused.text);
    }
    let nowhere = with("endpoints", json!(["https://no-such-host.invalid"])).to_string();
    let tested = ask(&house, Some(&house.root), Method::POST, "/v3/clusters?action=test", &nowhere).await;
    assert_eq!(
        (tested.status, &tested.json()["problem"]),
        (StatusCode::OK, &"name".into()),
        "{}",
        tested.text
    );
    let listed = ask(&house, Some(&house.root), Method::GET, "/v3/clusters?source=stored", "").await.json();
    assert_eq!(listed["data"], json!([]), "nothing of all this was kept");
}

#[tokio::test]
async fn a_kubeconfig_of_an_administrator_has_the_clusters_that_he_may_use_and_another_if_he_names_it() {
    let house = House::new().await;
    let root = Some(&house.root);
    for (name, access) in [("closed", json!({ "groups": ["ops"] })), ("own", json!({ "users": ["root"] }))] {
        let mut body = new(name);
        body["access"] = access;
        add(&house, &body).await;
    }
    let names = async |path: &str| {
        let listed = ask(&house, root, Method::GET, path, "").await.json();
        let names = listed["data"].as_array().unwrap().iter();
        names.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("/v3/clusters").await.len(), 3, "to see a cluster is not to use it");
    let usable = names("/v3/clusters?usable=true").await;
    assert!(usable.len() == 2 && !usable.contains(&"closed".to_owned()), "{usable:?}");
    let contexts = async |body: Value| {
        let path = "/v3/clusters?action=generateKubeconfig";
        let made = ask(&house, root, Method::POST, path, &body.to_string()).await.json();
        let config: Value = serde_saphyr::from_str(made["config"].as_str().unwrap()).unwrap();
        let contexts = config["contexts"].as_array().unwrap().iter();
        contexts.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(contexts(json!({})).await, usable);
    assert_eq!(contexts(json!({ "clusterScoped": true })).await, usable);
    assert_eq!(contexts(json!({ "clusters": ["closed"] })).await, ["closed"], "who is about to be let in");
    let refused = ask(&house, root, Method::GET, "/v3/clusters?usable=false", "").await;
    assert_eq!((refused.refusal().0, &refused.json()["fieldName"]), (422, &"usable".into()));
}

#[tokio::test]
async fn a_kubeconfig_has_a_context_for_each_cluster_with_one_token_or_one_each() {
    let house = House::new().await;
    let alice = Some(&house.alice);
    let eu = add(&house, &new("eu-1")).await["id"].as_str().unwrap().to_owned();
    let path = "/v3/clusters?action=generateKubeconfig";
    let made = async |body: Value| {
        let answer = ask(&house, alice, Method::POST, path, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let config: Value = serde_saphyr::from_str(answer.json()["config"].as_str().unwrap()).unwrap();
        (answer.json(), config)
    };
    let tokens = |config: &Value| {
        let users = config["users"].as_array().unwrap().iter();
        let tokens: Vec<_> = users.map(|user| user["user"]["token"].as_str().unwrap().to_owned()).collect();
        tokens
    };
    let (answer, config) = made(json!({})).await;
    assert_eq!(config["current-context"], "eu-1");
    assert_eq!(
        (&config["contexts"][0]["name"], &config["contexts"][1]["name"]),
        (&"eu-1".into(), &"local".into())
    );
    let server = format!("https://gate.example.org:8443/k8s/clusters/{eu}");
    assert_eq!(config["clusters"][0]["cluster"]["server"], server);
    let shared = tokens(&config);
    assert_eq!(
        (shared.len(), &shared[0], answer["tokenNames"].as_array().unwrap().len()),
        (2, &shared[1], 1)
    );

    let body = json!({ "clusters": [eu, "local", "eu-1"], "currentCluster": "eu-1", "clusterScoped": true });
    let (answer, config) = made(body.clone()).await;
    assert_eq!(
        (&config["current-context"], config["contexts"].as_array().unwrap().len()),
        (&"eu-1".into(), 2)
    );
    let scoped = tokens(&config);
    for (text, cluster) in scoped.iter().zip([eu.as_str(), "local"]) {
        let name = Bearer::try_from(text.as_str()).unwrap().name;
        let record = house.store.token(&name).await.unwrap().unwrap();
        assert_eq!(record.cluster.unwrap().as_str(), cluster);
    }
    assert_eq!(answer["tokenNames"].as_array().unwrap().len(), 2);

    let mut again = body.clone();
    again["reuse"] = json!([shared[0], scoped[1], scoped[0]]);
    assert_eq!(tokens(&made(again.clone()).await.1), scoped, "each for the cluster that it is for");
    again["clusterScoped"] = false.into();
    assert_eq!(tokens(&made(again).await.1)[0], shared[0], "and none of them for all");

    let before = house.store.tokens_of(None).await.len();
    for (body, field) in [
        (json!({ "clusters": ["mars"] }), "clusters"),
        (json!({ "clusters": ["local"], "currentCluster": "eu-1" }), "currentCluster"),
        (json!({ "reuse": ["hunter2"] }), "reuse"),
    ] {
        let refused = ask(&house, alice, Method::POST, path, &body.to_string()).await;
        assert_eq!((refused.refusal().0, &refused.json()["fieldName"]), (422, &field.into()), "{body}");
    }
    assert_eq!(house.store.tokens_of(None).await.len(), before);
}
