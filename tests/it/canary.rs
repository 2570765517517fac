//! Secrets that are easy to recognise go everywhere a request can take them, with everything logged that can be; then
//! they are looked for everywhere. (Every other test looks through its gate's output and files as well.)

mod commands;
mod everywhere;
mod pages;
mod requests;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::support::canary;
use crate::support::rig::{Account, Rig};

const IN_A_COMMAND: &str = "canary-in-a-command-0123456789abcdef";
const IN_A_BODY: &str = "canary-in-a-body-0123456789abcdef";
const IN_A_HEADER: &str = "canary-in-a-header-0123456789abcdef";
const IN_A_BAD_TOKEN: &str = "canary0in0a0bad0token0zyxwvtsrqpnmlkjhgfdcb0123456789ab";

#[tokio::test]
async fn no_secret_is_ever_written_anywhere() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    for secret in [IN_A_COMMAND, IN_A_BODY, IN_A_HEADER, IN_A_BAD_TOKEN] {
        rig.gate.keep_secret(secret);
    }
    walk(&rig, &account).await;

    let metrics = rig.gate.admin_request("/metrics").await.1;
    let process = |file: &str| std::fs::read(format!("/proc/{}/{file}", rig.gate.process_id())).unwrap();
    let key = account.bearer.split_once(':').unwrap().1.to_owned();
    let secrets = [key, account.password.clone(), IN_A_HEADER.to_owned(), IN_A_BAD_TOKEN.to_owned()];
    for (place, bytes) in [
        ("metrics", metrics.into_bytes()),
        ("command line", process("cmdline")),
        ("environment", process("environ")),
    ] {
        assert_eq!(canary::leak(&bytes, &secrets), None, "{place}");
    }
    assert_eq!(rig.gate.leak(), None);

    // A search that finds nothing proves something only where there is something to be found.
    rig.gate
        .wait_until("done with its log", async || rig.gate.stdout().matches(&account.token_name).count() >= 5)
        .await;
    assert!(rig.gate.stderr().contains("\"DEBUG\""), "the gate says too little: {}", rig.gate.stderr());
    assert_eq!(rig.gate.leak(), None);
}

async fn walk(rig: &Rig, account: &Account) {
    let bearer = account.authorization();
    let basic = format!("Basic {}", STANDARD.encode(&account.bearer));
    let protocols = format!(
        "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.{}",
        URL_SAFE_NO_PAD.encode(&account.bearer)
    );
    let bad = format!("Bearer {}:{IN_A_BAD_TOKEN}", account.token_name);
    let in_query = format!("/api/v1/pods?access_token={}", account.bearer);
    let exec = format!("/api/v1/namespaces/default/pods/p/exec?command=login&command={IN_A_COMMAND}");
    let websocket = ("Sec-WebSocket-Protocol", protocols.as_str());
    let requests: &[(&str, &[(&str, &str)])] = &[
        ("/api/v1/secrets", &[("Authorization", &bearer), ("X-Vault-Token", IN_A_HEADER)]),
        ("/api/v1/secrets", &[("Authorization", &basic), ("Cookie", IN_A_HEADER)]),
        ("/api/v1/secrets", &[("Authorization", &bad)]),
        ("/api/v1/secrets", &[("Authorization", &bearer), ("Authorization", &basic)]),
        ("/api/v1/secrets", &[("Authorization", &account.bearer)]),
        ("/api/v1/secrets", &[("Authorization", &bearer), ("Impersonate-User", IN_A_HEADER)]),
        ("/api/v1/secrets", &[("Cookie", &account.bearer)]),
        (&in_query, &[]),
        (&in_query, &[("Authorization", &bearer)]),
        (&exec, &[("Authorization", &bearer)]),
        (&exec, &[websocket]),
        ("/v3/tokens", &[("Authorization", &bearer)]),
        ("/v3/tokens/token-other", &[("Authorization", &bad)]),
        ("/v3/users", &[("Authorization", &basic)]),
    ];
    for (target, lines) in requests {
        for (method, body) in [("GET", ""), ("POST", IN_A_BODY)] {
            rig.http1().await.request(method, target, lines, body.as_bytes()).await;
            // An error of the connection leaves its trace as an answer does.
            let _ = rig.http2().await.request(method, target, lines, body.as_bytes()).await;
        }
    }
    for upgrade in ["websocket", "SPDY/3.1"] {
        let lines = [("Connection", "Upgrade"), ("Upgrade", upgrade), websocket];
        rig.http1().await.request("GET", &exec, &lines, b"").await;
    }
    let mut malformed = rig.http1().await;
    malformed.send(format!("GET {in_query} HTTP/1.1\r\nAuthorization: {bearer}\r\n broken\r\n\r\n")).await;
    let _ = malformed.response().await;

    let wrong = serde_json::json!({ "username": "alice", "password": format!("{}x", account.password) });
    let login = "/v3-public/localProviders/local?action=login";
    rig.http1()
        .await
        .request("POST", login, &[("Content-Type", "application/json")], wrong.to_string().as_bytes())
        .await;
    let token = format!("/v3/tokens/{}", account.token_name);
    rig.api("GET", &token, &account.bearer, &Value::Null).await;
    rig.api("DELETE", &token, &account.bearer, &Value::Null).await;
    rig.http1().await.request("GET", "/api/v1/secrets", &[("Authorization", &bearer)], b"").await;
}
