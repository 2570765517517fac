//! The management API towards strangers and towards requests that are larger or odder than it needs.

use serde_json::Value;

use crate::support::rig::Rig;

/// What anybody may ask for: how to log in, and whether somebody is there.
const FOR_EVERYBODY: &[(&str, &str)] = &[
    ("GET", "/ping"),
    ("GET", "/v3/openapi.json"),
    ("GET", "/v3-public/authProviders"),
    ("GET", "/v1-public/authproviders"),
];

const PATHS: &[&str] = &[
    "/ping",
    "/v3",
    "/v3/",
    "/v3/schemas",
    "/v3/schemas/token",
    "/v3/openapi.json",
    "/v3/projects",
    "/v1",
    "/v1/logout",
    "/v3/tokens",
    "/v3/tokens/token-bcdfg",
    "/v3/users",
    "/v3/users?me=true",
    "/v3/users/user-bcdfg",
    "/v3/users?action=changepassword",
    "/v3/clusters",
    "/v3/clusters/local",
    "/v3/clusters/local?action=generateKubeconfig",
    "/v3/settings",
    "/v3/nothing",
    "/v3/tokens/",
    "/v3//tokens",
    "/v3/%74okens",
    "/v3-public",
    "/v3-public/authProviders",
    "/v3-public/localProviders/local?action=login",
    "/v1-public/authproviders",
    "/v1-public/login",
];

#[tokio::test]
async fn a_stranger_is_served_nothing_but_what_is_for_everybody() {
    let rig = Rig::start().await;
    for path in PATHS {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let mut client = rig.http1().await;
            let lines = [("Content-Type", "application/json")];
            let body: &[u8] = if matches!(method, "POST" | "PUT" | "PATCH") { b"{}" } else { b"" };
            let status = client.request(method, path, &lines, body).await.status;
            let is_free = method == "HEAD" || FOR_EVERYBODY.contains(&(method, path));
            assert!(is_free && status == 200 || (400..500).contains(&status), "{method} {path}: {status}");
            if method == "HEAD" && !FOR_EVERYBODY.contains(&("GET", path)) {
                assert_ne!(status, 200, "HEAD {path}");
            }
        }
    }
    assert_eq!(rig.stub.seen().len(), 0, "a path of the API went to the cluster");
}

#[tokio::test]
async fn a_client_that_is_still_sending_its_body_sees_the_refusal() {
    let rig = Rig::start().await;
    let mut client = rig.http1().await;
    let lines = [("Content-Type", "application/json")];
    for length in [20_000, 60_000, 70_000, 500_000] {
        // On the same connection: nothing of the body is left in it.
        let response = client.request("POST", "/v3/users", &lines, &vec![b'x'; length]).await;
        assert_eq!(response.status, 401, "{length}");
    }
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("Content-Type", "application/json"), ("Authorization", authorization.as_str())];
    let response = client.request("POST", "/v3/tokens", &lines, &vec![b'x'; 500_000]).await;
    assert_eq!(response.status, 413);
}

#[tokio::test]
async fn bodies_that_are_too_large_too_deep_or_no_json_are_refused() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let large = format!("{{\"description\":\"{}\"}}", "x".repeat(2 << 20));
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let deep_inside = format!("{{\"description\":{deep}}}");
    let bodies = [
        large.as_str(),
        &deep,
        &deep_inside,
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{\"ttl\":\"x\"}",
        "{\"ttl\":1e400}",
        "\u{0}",
    ];
    let lines = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    for body in bodies {
        for (target, lines) in [
            ("/v3/tokens", &lines[..]),
            ("/v3-public/localProviders/local?action=login", &lines[1..]),
            ("/v1-public/login", &lines[1..]),
        ] {
            let response = rig.http2().await.request("POST", target, lines, body.as_bytes()).await.unwrap();
            let may_be_empty = target == "/v3/tokens" && body.len() < 3;
            assert!(
                (400..500).contains(&response.status) || may_be_empty && response.status == 201,
                "{target} {body:.40}: {} {}",
                response.status,
                response.text()
            );
        }
    }
    assert_eq!(rig.gate.admin_request("/livez").await.0, 200);
    let tokens = rig.api("GET", "/v3/tokens", &account.bearer, &Value::Null).await;
    assert_eq!(tokens.status, 200);
}
