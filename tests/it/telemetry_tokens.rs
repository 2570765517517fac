//! A telemetry token: it reads our own metrics where clients connect, and does nothing else anywhere.

use serde_json::{Value, json};

use crate::support::rig::{Account, Rig};
use crate::support::{database, expect};

#[tokio::test]
async fn a_telemetry_token_reads_our_metrics() {
    let rig = Rig::start().await;
    let authorization = telemetry(&rig).await;
    let lines = [("authorization", authorization.as_str())];
    let answers = [
        rig.http1().await.request("GET", "/metrics", &lines, b"").await,
        rig.http2().await.request("GET", "/metrics?format=x", &lines, b"").await.unwrap(),
    ];
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let kind = answer.header("content-type").unwrap();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        let (text, ours) = (answer.text(), rig.gate.admin_request("/metrics").await.1);
        let names = |text: &str| {
            text.lines().filter(|line| line.starts_with("# TYPE")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(names(&text), names(&ours));
        assert!(text.ends_with("# EOF\n"));
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn a_telemetry_token_is_refused_everything_else() {
    let rig = Rig::start().await;
    let authorization = telemetry(&rig).await;
    let lines = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/api/v1/namespaces/default/pods"),
        ("GET", "/api/v1/pods?watch=true"),
        ("GET", "/version"),
        ("GET", "/healthz"),
        ("HEAD", "/metrics"),
        ("POST", "/metrics"),
        ("GET", "/metrics/"),
        ("GET", "/metrics/cadvisor"),
        ("GET", "//metrics"),
        ("GET", "/%6detrics"),
        ("GET", "/k8s/clusters/local/metrics"),
        ("GET", "/k8s/clusters/other/metrics"),
        ("GET", "/api/v1/../../metrics"),
    ] {
        let mut client = rig.http1().await;
        let response = client.request(method, target, &lines, b"").await;
        assert_eq!(response.status, 403, "{method} {target}");
        if method != "HEAD" {
            let message = expect::status(&response, 403, "Forbidden");
            assert!(message.contains("/metrics"), "{message}");
        }
        let response = rig.http2().await.request(method, target, &lines, b"").await.unwrap();
        assert_eq!(response.status, 403, "{method} {target}");
    }
    let upgrade = [lines[0], ("connection", "upgrade"), ("upgrade", "websocket")];
    let target = "/api/v1/namespaces/default/pods/p/exec?command=sh";
    assert_eq!(rig.http1().await.request("GET", target, &upgrade, b"").await.status, 403);
    for (method, target) in
        [("GET", "/v3"), ("GET", "/v3/tokens"), ("POST", "/v3/tokens"), ("GET", "/v3/users?me=true")]
    {
        let response = rig.http1().await.request(method, target, &lines, b"{}").await;
        assert_eq!(response.status, 403, "{method} {target}: {}", response.text());
        assert_eq!(response.json()["type"], "error");
    }
    assert_eq!(rig.stub.seen().len(), 0);
    let log = rig.gate.admin_request("/metrics").await.1;
    assert!(log.contains("portcullis_rejected_requests_total{reason=\"metrics_alone\"}"), "{log}");
}

#[tokio::test]
async fn the_path_is_the_clusters_for_every_other_token() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", "/metrics", &lines, b"").await.status, 200);
    assert_eq!(rig.stub.only().target, "/metrics");
    rig.stub.forget();
    expect::unauthorized(&rig.http1().await.request("GET", "/metrics", &[], b"").await);
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn a_telemetry_token_ends_with_its_deletion_and_its_user() {
    let rig = Rig::start().await;
    let account = rig.account("prometheus", &[]).await;
    let authorization = of(&rig, &account);
    let lines = [("authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", "/metrics", &lines, b"").await.status, 200);
    let user = format!("/v3/users/{}", account.user_id);
    for (enabled, status) in [(false, 401), (true, 200)] {
        rig.api("PUT", &user, rig.admin(), &json!({ "enabled": enabled })).await;
        assert_eq!(rig.http1().await.request("GET", "/metrics", &lines, b"").await.status, status);
    }
    let deleted = rig.api("DELETE", "/v3/tokens/telemetry-bcdfg", rig.admin(), &Value::Null).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    expect::unauthorized(&rig.http1().await.request("GET", "/metrics", &lines, b"").await);
}

async fn telemetry(rig: &Rig) -> String {
    of(rig, &rig.account("prometheus", &["dev"]).await)
}

/// The `Authorization` value of a telemetry token of the account's, with the key of its other token.
fn of(rig: &Rig, account: &Account) -> String {
    database::copy_token(&rig.gate, &account.token_name, "telemetry-bcdfg", Some("telemetry"), None);
    format!("Bearer telemetry-bcdfg:{}", account.bearer.split_once(':').unwrap().1)
}
