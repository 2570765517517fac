//! helm through the gate, to a real apiserver: a release is installed, changed and removed, by whoever may and as long
//! as their token lives.

use serde_json::Value;

use crate::real_gate::{RealGate, User, audited, fail, succeed};

#[tokio::test]
async fn helm_installs_upgrades_and_removes_a_release() {
    let gate = RealGate::shared().await;
    let user = gate.user("releaser").await;
    upgrade(&user, "hello");
    assert_eq!(greeting(&user), "hello");
    upgrade(&user, "good evening");
    assert_eq!(greeting(&user), "good evening");
    let history = succeed(user.helm().args(["history", RELEASE, "--output=json"]));
    let history: Vec<Value> = serde_json::from_str(&history).unwrap();
    let states: Vec<_> = history.iter().map(|revision| revision["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["superseded", "deployed"]);
    succeed(user.helm().args(["rollback", RELEASE, "1", "--wait"]));
    assert_eq!(greeting(&user), "hello");
    succeed(user.helm().args(["uninstall", RELEASE, "--wait"]));
    assert!(fail(user.kubectl().args(["get", "configmap", RELEASE])).contains("NotFound"));

    let Some(events) = audited(gate.cluster, &user.account.token_name) else { return };
    assert!(events.iter().any(|event| event["verb"] == "create" && event["objectRef"]["name"] == RELEASE));
}

#[tokio::test]
async fn helm_may_do_no_more_than_its_user() {
    let gate = RealGate::shared().await;
    let user = gate.user("guest").await;
    let mut install = user.helm();
    install.args(["upgrade", "--install", RELEASE, CHART, "--namespace=kube-system"]);
    let said = fail(&mut install);
    assert!(said.contains("forbidden") && said.contains("\"guest\""), "{said}");
}

#[tokio::test]
async fn helm_is_refused_with_a_deleted_token() {
    let gate = RealGate::shared().await;
    let user = gate.user("former").await;
    upgrade(&user, "hello");
    let target = format!("/v3/tokens/{}", user.account.token_name);
    assert_eq!(gate.api("DELETE", &target, &Value::Null).await.status, 204);
    let said = fail(user.helm().args(["upgrade", "--install", RELEASE, CHART]));
    assert!(said.contains("asked for the client to provide credentials"), "{said}");
}

fn upgrade(user: &User, greeting: &str) {
    let set = format!("--set=greeting={greeting}");
    succeed(user.helm().args(["upgrade", "--install", RELEASE, CHART, &set, "--wait", "--timeout=60s"]));
}

fn greeting(user: &User) -> String {
    let value = ["get", "configmap", RELEASE, "--output=jsonpath={.data.greeting}"];
    succeed(user.kubectl().args(value))
}

const RELEASE: &str = "greeting";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/chart");
