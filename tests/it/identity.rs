//! Whom the apiserver sees: exactly the account that was authenticated, whatever else the client sent.

use crate::support::expect;
use crate::support::rig::Rig;
use crate::support::stub::{Answer, Reply};

const TARGET: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn upstream_http1_gets_exactly_our_headers_and_those_that_may_pass() {
    exact_headers(&["http/1.1"]).await;
}

#[tokio::test]
async fn upstream_http2_gets_exactly_our_headers_and_those_that_may_pass() {
    exact_headers(&["h2", "http/1.1"]).await;
}

async fn exact_headers(alpn: &[&str]) {
    let rig = Rig::with(alpn, &crate::support::gate::Settings::default()).await;
    let account = rig.account("alice", &["dev", "ops"]).await;
    let authorization = account.authorization();
    let passed = [
        ("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io, application/json"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "kubectl/v1.37.2 (linux/amd64) kubernetes/abc"),
        ("Kubectl-Command", "kubectl get"),
        ("Kubectl-Session", "ef7b4b2c"),
    ];
    let dropped = [
        ("Authorization", authorization.as_str()),
        ("Cookie", "R_SESS=token-a:b"),
        ("Cookie", "other=1"),
        ("Proxy-Authorization", "Basic x"),
        ("Forwarded", "for=10.0.0.1"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Uri", "/evil"),
    ];
    let lines: Vec<_> = passed.into_iter().chain(dropped).collect();
    let hop_by_hop = [("Connection", "keep-alive, X-Hop"), ("Keep-Alive", "timeout=5"), ("X-Hop", "1")];
    let http1: Vec<_> = lines.iter().copied().chain(hop_by_hop).collect();
    assert_eq!(rig.http1().await.request("GET", TARGET, &http1, b"").await.status, 200);
    let seen = rig.stub.only();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", TARGET));
    expect::exactly(&seen, &account, rig.stub.port, &passed);

    rig.stub.forget();
    assert_eq!(rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap().status, 200);
    expect::exactly(&rig.stub.only(), &account, rig.stub.port, &passed);
}

#[tokio::test]
async fn odd_but_legal_names_arrive_unchanged_one_line_a_group() {
    let rig = Rig::start_http1().await;
    let groups = ["a,b", "a b", "ä", "oidc:team/sub", "a:b:c", "\u{1f600}"];
    let account = rig.account("oidc:älice@example.com", &groups).await;
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    expect::exactly(&rig.stub.only(), &account, rig.stub.port, &[]);
}

#[tokio::test]
async fn a_user_without_groups_is_still_authenticated() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    rig.http1().await.request("GET", TARGET, &[("Authorization", &authorization)], b"").await;
    expect::exactly(&rig.stub.only(), &account, rig.stub.port, &[]);
    assert_eq!(rig.stub.only().values("impersonate-group"), ["system:authenticated"]);
}

#[tokio::test]
async fn five_hundred_groups_arrive_as_five_hundred_lines() {
    let rig = Rig::start().await;
    let groups: Vec<String> =
        (0..500).map(|number| format!("department-with-a-long-name-{number:04}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let account = rig.account("alice", &groups).await;
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    assert_eq!(rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap().status, 200);
    for seen in rig.stub.seen() {
        expect::exactly(&seen, &account, rig.stub.port, &[]);
    }
}

#[tokio::test]
async fn an_upgrade_carries_the_same_identity_and_no_token_in_its_protocols() {
    use base64::Engine;
    let rig = Rig::start().await;
    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection
                .send(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n",
                )
                .await;
            connection.drain().await;
        })
    });
    let account = rig.account("alice", &["dev"]).await;
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&account.bearer);
    let protocols =
        format!("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{token}, v4.channel.k8s.io");
    let websocket = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let lines: Vec<_> =
        websocket.into_iter().chain([("Sec-WebSocket-Protocol", protocols.as_str())]).collect();
    let target = "/api/v1/namespaces/default/pods/p/exec?command=sh&stdin=true";
    let response = rig.http1().await.request("GET", target, &lines, b"").await;
    assert_eq!(response.status, 101);
    assert_eq!(response.header("sec-websocket-protocol"), Some("v5.channel.k8s.io"));
    let passed = [("Sec-WebSocket-Protocol", "v5.channel.k8s.io, v4.channel.k8s.io")];
    let passed: Vec<_> = websocket.into_iter().chain(passed).collect();
    expect::exactly(&rig.stub.only(), &account, rig.stub.port, &passed);
}

#[tokio::test]
async fn what_upstream_sets_as_a_cookie_does_not_reach_the_client() {
    let rig = Rig::start().await;
    rig.stub.answer(Reply::json(200, "{}").header("set-cookie", "a=b").header("x-kept", "1"));
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let response = rig.http1().await.request("GET", TARGET, &[("Authorization", &authorization)], b"").await;
    assert_eq!((response.header("set-cookie"), response.header("x-kept")), (None, Some("1")));
}
