//! What is asked for is what arrives: a target goes upstream byte by byte as it came, or not at all.

use crate::support::expect;
use crate::support::gate::Settings;
use crate::support::rig::{Account, Rig, kubeconfig};
use crate::support::stub::{OWN_CREDENTIAL, Stub};
use crate::support::wire::{Outcome, RawHttp2};

const TARGETS: &[&str] = &[
    "/",
    "/api",
    "/api/",
    "//api",
    "/./api",
    "/api/../version",
    "/..;/api",
    "/api/v1/namespaces/default/pods/../secrets",
    "/api/v1/namespaces/default/pods/..%2fsecrets",
    "/api/v1/%2e%2e/secrets",
    "/%2e%2e%2fapi",
    "/api%2fv1",
    "/api%2Fv1",
    "/api%5cv1",
    "/api/v1/pods%00",
    "/api/v1/pods%0d%0aX:%20y",
    "/api/v1/pods?",
    "/api/v1/pods?a=b&a=c;d",
    "/api/v1/pods?labelSelector=a%3Db%2Cc+in+%28d%29",
    "/api/v1/pods?x=/v3/tokens",
    "/api/v1/pods?x=%",
    "/api/v1/pods?x=%zz",
    "/api/v1/pods/%zz",
    "/api/v1/pods/a:b@c!$&'()*+,;=~-._",
    "/api/v1/namespaces/default/services/https:web:443/proxy/a//b/../c",
    "/api/v1/namespaces/default/pods/a/proxy/v3/tokens",
    "/healthz",
    "/healthz/../api",
    "/healthz%2f..%2fapi",
    "/healthz?x=/api",
    "/readyz",
    "/livez/ping",
    "/metrics",
    "/v3x",
    "/v3%2ftokens",
    "/%76%33/tokens",
    "/V3/tokens",
    "//v3/tokens",
    "/./v3/tokens",
    "/api/../v3/tokens",
    "/uix",
    "/pingx",
    "/k8s",
    "/apis/apps/v1/deployments?limit=500&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ",
];

/// Targets with characters that must not stand in one unescaped, and of which some server makes something else.
const NOT_TARGETS: &[&str] = &[
    "/api/v1/pods/\u{e4}",
    "/api/v1/pods\\x",
    "/api\\..\\v3",
    "/api/v1/pods?x=\\",
    "/api/v1/pods#fragment",
    "/api/v1/pods?x#/../y",
    "/api/v1/pods\u{7f}",
    "api/v1/pods",
    "*",
    "",
];

#[tokio::test]
async fn a_target_arrives_byte_by_byte_or_is_refused_over_http1() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    for target in TARGETS {
        rig.stub.forget();
        assert_eq!(rig.http1().await.request("GET", target, &lines, b"").await.status, 200, "{target}");
        assert_eq!(rig.stub.only().target, *target);
        expect::exactly(&rig.stub.only(), &account, rig.stub.port, &[]);
    }
    rig.stub.forget();
    for target in NOT_TARGETS {
        assert_eq!(rig.http1().await.request("GET", target, &lines, b"").await.status, 400, "{target}");
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn a_target_arrives_byte_by_byte_or_is_refused_over_http2() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    for target in TARGETS {
        rig.stub.forget();
        assert_eq!(over_http2(&rig, &account, target).await, Outcome::Answered(200), "{target}");
        assert_eq!(rig.stub.only().target, *target);
    }
    rig.stub.forget();
    for target in NOT_TARGETS.iter().filter(|target| !target.contains('#')) {
        let outcome = over_http2(&rig, &account, target).await;
        let is_refused = matches!(outcome, Outcome::Answered(400) | Outcome::Reset(_) | Outcome::GoneAway(_));
        assert!(is_refused, "{target}: {outcome:?}");
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn over_http2_a_fragment_is_dropped_before_anything_is_decided() {
    // The HTTP library drops it before it shows us the path. So no decision is made on a path with it; what is decided
    // on is what arrives.
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    for target in NOT_TARGETS.iter().filter(|target| target.contains('#')) {
        rig.stub.forget();
        assert_eq!(over_http2(&rig, &account, target).await, Outcome::Answered(200), "{target}");
        assert_eq!(Some(rig.stub.only().target.as_str()), target.split('#').next());
    }
}

async fn over_http2(rig: &Rig, account: &Account, target: &str) -> Outcome {
    let mut client = RawHttp2::connect(&rig.gate.endpoint).await;
    let authorization = account.authorization();
    let fields: [(&[u8], &[u8]); 5] = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", target.as_bytes()),
        (b":authority", b"gate.example"),
        (b"authorization", authorization.as_bytes()),
    ];
    client.headers(1, &fields, true).await;
    client.outcome(1).await
}

#[tokio::test]
async fn a_cluster_is_named_by_the_raw_path_and_the_rest_is_its_own() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    for (target, arrives) in [
        ("/k8s/clusters/local/api/v1/pods?a=%2f", "/api/v1/pods?a=%2f"),
        ("/k8s/clusters/local//api/../%2e%2e/x", "//api/../%2e%2e/x"),
        ("/k8s/clusters/local/", "/"),
        ("/k8s/clusters/local/k8s/clusters/other/api", "/k8s/clusters/other/api"),
        ("/k8s/clusters/local/v3/tokens", "/v3/tokens"),
    ] {
        rig.stub.forget();
        assert_eq!(rig.http1().await.request("GET", target, &lines, b"").await.status, 200, "{target}");
        assert_eq!(rig.stub.only().target, arrives);
        expect::exactly(&rig.stub.only(), &account, rig.stub.port, &[]);
    }
    rig.stub.forget();
    for target in [
        "/k8s/clusters/other/api",
        "/k8s/clusters/LOCAL/api",
        "/k8s/clusters/loca%6c/api",
        "/k8s/clusters//api",
    ] {
        let response = rig.http1().await.request("GET", target, &lines, b"").await;
        expect::status(&response, 404, "NotFound");
        let response = rig.http1().await.request("GET", target, &[], b"").await;
        expect::unauthorized(&response);
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn a_path_in_the_clusters_url_goes_before_that_of_the_request() {
    let stub = Stub::start(&["h2", "http/1.1"]).await;
    let url = format!("https://127.0.0.1:{}", stub.port);
    let kubeconfig =
        kubeconfig(&stub, &format!("token: {OWN_CREDENTIAL}")).replace(&url, &format!("{url}/clusters/c-1/"));
    let rig = Rig::at(stub, &kubeconfig, &Settings::default()).await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    for target in ["/api/v1/pods?a=b", "//api/..", "/"] {
        rig.stub.forget();
        assert_eq!(rig.http1().await.request("GET", target, &lines, b"").await.status, 200, "{target}");
        assert_eq!(rig.stub.only().target, format!("/clusters/c-1{target}"));
    }
}

#[tokio::test]
async fn without_a_credential_no_target_is_served_but_those_meant_for_everybody() {
    let rig = Rig::start().await;
    for target in TARGETS {
        let response = rig.http1().await.request("GET", target, &[], b"").await;
        assert!(matches!(response.status, 400 | 401 | 404), "{target}: {}", response.status);
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn whom_a_request_is_addressed_to_does_not_choose_the_upstream() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = format!("127.0.0.1:{}", elsewhere.local_addr().unwrap().port());
    let messages = [
        (400, format!("GET https://{other}/api/v1/pods HTTP/1.1\r\nHost: {other}\r\n")),
        (400, format!("GET https://{other}/api/v1/pods HTTP/1.1\r\nHost: gate.example\r\n")),
        (400, format!("GET http://{other}/api/v1/pods HTTP/1.1\r\nHost: {other}\r\n")),
        (200, format!("GET /api/v1/pods HTTP/1.1\r\nHost: {other}\r\nX-Forwarded-Host: {other}\r\n")),
        (
            200,
            format!(
                "GET /api/v1/pods HTTP/1.1\r\nHost: gate.example\r\nX-Original-URL: https://{other}/\r\n"
            ),
        ),
    ];
    for (status, message) in messages {
        rig.stub.forget();
        let mut client = rig.http1().await;
        client.send(format!("{message}Authorization: {authorization}\r\n\r\n")).await;
        assert_eq!(client.response().await.unwrap().status, status, "{message}");
        assert_eq!(rig.stub.seen().len(), usize::from(status == 200));
    }
    let visit = tokio::time::timeout(std::time::Duration::from_millis(100), elsewhere.accept()).await;
    assert!(visit.is_err(), "the client chose where a request goes");
}
