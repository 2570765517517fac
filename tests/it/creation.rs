//! Names that mean nobody, or somebody of Kubernetes' own, are refused before they are ever stored.

use serde_json::{Value, json};

use crate::support::rig::Rig;

#[tokio::test]
async fn users_and_groups_that_would_mean_nobody_are_not_made() {
    let rig = Rig::start().await;
    let long = "x".repeat(257);
    let names =
        ["", " ", "\u{a0}", "\t", " alice", "alice ", "a\nb", "a\r\nImpersonate-Group: x", "\u{0}", &long];
    for name in names {
        let user = json!({ "username": name, "enabled": true });
        let response = rig.api("POST", "/v3/users", rig.admin(), &user).await;
        assert_eq!(response.status, 422, "{name:?}: {}", response.text());
        let user = json!({ "username": "bob", "groups": ["dev", name], "enabled": true });
        let response = rig.api("POST", "/v3/users", rig.admin(), &user).await;
        assert_eq!(response.status, 422, "group {name:?}: {}", response.text());
    }
    assert_eq!(usernames(&rig).await, ["admin"]);
}

#[tokio::test]
async fn identities_of_kubernetes_own_are_given_to_nobody() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let names = [
        "system:masters",
        "system:nodes",
        "system:node:n1",
        "system:kube-controller-manager",
        "system:serviceaccount:kube-system:default",
        "system:serviceaccount:portcullis:portcullis",
        "system:anonymous",
        "system:",
    ];
    for name in names {
        let user = json!({ "username": name, "enabled": true });
        let response = rig.api("POST", "/v3/users", rig.admin(), &user).await;
        assert!(matches!(response.status, 403 | 422), "{name}: {}", response.text());
        let user = json!({ "username": "bob", "groups": [name], "enabled": true });
        let response = rig.api("POST", "/v3/users", rig.admin(), &user).await;
        assert!(matches!(response.status, 403 | 422), "group {name}: {}", response.text());
        let target = format!("/v3/users/{}", account.user_id);
        let response = rig.api("PUT", &target, rig.admin(), &json!({ "groups": [name] })).await;
        assert!(matches!(response.status, 403 | 422), "change to {name}: {}", response.text());
    }
    assert_eq!(usernames(&rig).await, ["admin", "alice"]);
}

#[tokio::test]
async fn a_user_who_is_no_administrator_makes_and_changes_nobody() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let bob = rig.account("bob", &[]).await;
    let user = json!({ "username": "mallory", "enabled": true });
    assert_eq!(rig.api("POST", "/v3/users", &alice.bearer, &user).await.status, 403);
    for (target, change) in [
        (format!("/v3/users/{}", bob.user_id), json!({ "enabled": false })),
        (format!("/v3/users/{}", alice.user_id), json!({ "groups": ["admins"] })),
        (format!("/v3/users/{}", alice.user_id), json!({ "admin": true })),
    ] {
        let response = rig.api("PUT", &target, &alice.bearer, &change).await;
        assert!(matches!(response.status, 403 | 404), "{change}: {}", response.text());
    }
    let token = format!("/v3/tokens/{}", bob.token_name);
    for method in ["GET", "DELETE"] {
        assert_eq!(rig.api(method, &token, &alice.bearer, &Value::Null).await.status, 404, "{method}");
    }
    assert_eq!(usernames(&rig).await, ["admin", "alice", "bob"]);
}

async fn usernames(rig: &Rig) -> Vec<String> {
    let listing = rig.api("GET", "/v3/users", rig.admin(), &Value::Null).await.json();
    let users = listing["data"].as_array().unwrap();
    users.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
}
