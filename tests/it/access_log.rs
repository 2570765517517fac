//! One line a request, of fields that are on a list, and figures that add up.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::database;
use crate::support::rig::Rig;
use crate::support::stub::Reply;

const FIELDS: &[&str] = &[
    "time",
    "client",
    "method",
    "verb",
    "cluster",
    "api_group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "path",
    "protocol",
    "user",
    "impersonated_user",
    "token",
    "code",
    "reason",
    "bytes_received",
    "bytes_sent",
    "duration_ms",
    "upgraded",
];

#[tokio::test]
async fn each_request_has_one_line_that_says_who_did_what() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer(Reply::new(201, vec![b'x'; 5_000]));
    let target = "/apis/apps/v1/namespaces/web/deployments/front/scale?dryRun=All&secret=canary";
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    rig.http2().await.request("PUT", target, &lines, b"{\"spec\":1}").await.unwrap();
    let line = line_of(&rig, "web").await;
    for field in line.as_object().unwrap().keys() {
        assert!(FIELDS.contains(&field.as_str()), "{field} is on no list: {line}");
    }
    let expected = serde_json::json!({
        "method": "PUT", "verb": "update", "cluster": "local", "api_group": "apps", "resource": "deployments",
        "subresource": "scale", "namespace": "web", "name": "front", "protocol": "HTTP/2", "user": "alice",
        "token": account.token_name, "code": 201, "bytes_received": 10, "bytes_sent": 5_000,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(line[field], *value, "{field} of {line}");
    }
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1"), "{line}");
    assert!(!line.to_string().contains("canary"), "{line}");
}

#[tokio::test]
async fn a_refusal_says_why_in_the_log_alone() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let impersonating = [("authorization", authorization.as_str()), ("impersonate-user", "root")];
    let wrong = format!("Bearer {}:{}", account.token_name, "b".repeat(54));
    let cases: [(&[(&str, &str)], u16); 4] = [
        (&[], 401),
        (&[("authorization", "Bearer a:b")], 401),
        (&[("authorization", wrong.as_str())], 401),
        (&impersonating, 403),
    ];
    let mut reasons = Vec::new();
    for (number, (lines, code)) in cases.into_iter().enumerate() {
        let target = format!("/api/v1/namespaces/case-{number}/pods");
        let response = rig.http2().await.request("GET", &target, lines, b"").await.unwrap();
        assert_eq!(response.status, code);
        let line = line_of(&rig, &format!("case-{number}")).await;
        assert_eq!(line["code"], code, "{line}");
        reasons.push(line["reason"].as_str().unwrap().to_owned());
    }
    assert!(reasons.windows(2).all(|pair| pair[0] != pair[1]), "{reasons:?}");
}

#[tokio::test]
async fn metrics_count_what_was_answered() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let count = async |name: &str| {
        let text = rig.gate.admin_request("/metrics").await.1;
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let (ok, unknown) = (
        "portcullis_http_requests_total{code=\"200\",verb=\"list\"}",
        "portcullis_authentications_total{result=\"unknown\"}",
    );
    let before = (count(ok).await, count(unknown).await);
    let authorization = account.authorization();
    for _ in 0..7 {
        let lines = [("authorization", authorization.as_str())];
        rig.http2().await.request("GET", "/api/v1/pods", &lines, b"").await.unwrap();
    }
    let stranger = format!("Bearer token-zzzzz:{}", "b".repeat(54));
    rig.http1().await.request("GET", "/api/v1/pods", &[("authorization", &stranger)], b"").await;
    rig.gate
        .wait_until("counting", async || {
            (count(ok).await, count(unknown).await) == (before.0 + 7.0, before.1 + 1.0)
        })
        .await;
}

#[tokio::test]
async fn tokens_that_never_expire_are_counted_by_kind() {
    let mut rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    for name in ["drain-node-bcdfg", "drain-node-ghjkl"] {
        database::copy_token(&rig.gate, &account.token_name, name, Some("drain-node"), None);
    }
    let sql = "UPDATE tokens SET ttl = 0 WHERE kind = 'drain-node'";
    assert_eq!(database::open(&rig.gate).execute(sql, []).unwrap(), 2);
    rig.gate.signal(Signal::SIGTERM);
    assert_eq!(rig.gate.exit_code().await, Some(0));
    rig.gate.restart().await;
    let line = "portcullis_tokens_never_expiring{kind=\"drain-node\"} 2\n";
    let counted = async || rig.gate.admin_request("/metrics").await.1.contains(line);
    rig.gate.wait_until("counting", counted).await;
    let text = rig.gate.admin_request("/metrics").await.1;
    assert!(text.contains("portcullis_token_hashing 1\n"), "{text}");
}

/// The one line about `namespace`, once it is written.
async fn line_of(rig: &Rig, namespace: &str) -> Value {
    let found = || {
        let mut lines = lines_of(rig);
        lines.retain(|line| line["namespace"] == namespace);
        lines
    };
    rig.gate.wait_until("logging", async || !found().is_empty()).await;
    let mut lines = found();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// The whole lines so far.
fn lines_of(rig: &Rig) -> Vec<Value> {
    let log = rig.gate.stdout();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}
