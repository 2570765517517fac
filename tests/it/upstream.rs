//! Faults of the upstream side: what the client is told, and what is tried again.

use crate::support::directory::Directory;
use crate::support::expect;
use crate::support::gate::{Gate, Settings};
use crate::support::rig::{Rig, kubeconfig, login};
use crate::support::stub::{Answer, OWN_CREDENTIAL, Reply, Stub};
use crate::support::wire::{Http1, Response, response_of};

const TARGET: &str = "/api/v1/pods";

#[tokio::test]
async fn a_goaway_costs_no_request() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    // Each answer tells the gate to leave this connection.
    rig.stub.answer_with(|_| {
        Answer::http2(async |mut stream| {
            stream.go_away();
            let response = http::Response::builder().status(200).body(()).unwrap();
            let _ = stream.respond.send_response(response, true);
        })
    });
    let client = rig.http2().await;
    for _ in 0..50 {
        assert_eq!(client.request("GET", TARGET, &lines, b"").await.unwrap().status, 200);
    }
    let seen = rig.stub.seen();
    assert_eq!(seen.len(), 50);
    assert!(
        seen.last().unwrap().connection > seen[0].connection,
        "a connection that said GOAWAY was used on"
    );
}

#[tokio::test]
async fn a_refused_stream_is_tried_once_more_if_the_request_has_no_body() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let refusals = std::sync::Arc::new(std::sync::atomic::AtomicI32::new(1));
    let left = std::sync::Arc::clone(&refusals);
    rig.stub.answer_with(move |_| {
        if left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) > 0 {
            Answer::http2(async |mut stream| stream.refuse())
        } else {
            Reply::json(200, "{}").into()
        }
    });
    let response = rig.http1().await.request("GET", TARGET, &lines, b"").await;
    assert_eq!((response.status, rig.stub.seen().len()), (200, 2));

    refusals.store(i32::MAX, std::sync::atomic::Ordering::SeqCst);
    rig.stub.forget();
    unavailable(&rig.http1().await.request("GET", TARGET, &lines, b"").await);
    assert!(rig.stub.seen().len() <= 2, "tried {} times", rig.stub.seen().len());

    rig.stub.forget();
    unavailable(&rig.http1().await.request("POST", TARGET, &lines, b"{}").await);
    assert_eq!(rig.stub.seen().len(), 1, "a request with a body is sent once");
}

#[tokio::test]
async fn an_answer_before_the_body_leaves_no_connection_that_is_out_of_step() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
            connection.drain().await;
        })
    });
    let mut client = rig.http1().await;
    client
        .send(format!(
            "POST {TARGET} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\nContent-Length: 100\r\n\r\n{{"
        ))
        .await;
    assert_eq!(client.response().await.unwrap().status, 413);
    rig.stub.answer(Reply::json(200, "{}"));
    for _ in 0..5 {
        assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    }
    let seen = rig.stub.seen();
    assert_eq!(seen.len(), 6);
    assert!(seen[1..].iter().all(|later| later.connection != seen[0].connection), "{seen:#?}");
}

#[tokio::test]
async fn our_own_credential_refused_is_503_and_never_the_clients_401() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    rig.stub.accept_only("Bearer another");
    let over_http1 = rig.http1().await.request("GET", TARGET, &lines, b"").await;
    let over_http2 = rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap();
    let upgrade = [lines[0], ("connection", "Upgrade"), ("upgrade", "websocket")];
    let target = "/api/v1/namespaces/default/pods/p/exec?command=sh";
    let upgraded = rig.http1().await.request("GET", target, &upgrade, b"").await;
    for response in [over_http1, over_http2, upgraded] {
        unavailable(&response);
        assert_eq!(response.header("www-authenticate"), None);
        assert!(!response.text().contains("system:serviceaccount"), "{}", response.text());
    }
    rig.gate.wait_until("unready", async || rig.gate.admin_request("/readyz").await.0 == 503).await;
    assert_eq!(rig.gate.admin_request("/livez").await.0, 200);
}

#[tokio::test]
async fn our_own_credential_is_read_again_from_its_file() {
    let directory = Directory::new();
    let file = directory.path().join("token");
    std::fs::write(&file, OWN_CREDENTIAL).unwrap();
    let stub = Stub::start(&["h2", "http/1.1"]).await;
    let user = format!("tokenFile: '{}'", file.display());
    let rig = Rig::in_front_of(stub, &user, &Settings::default()).await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    // The cluster gives out a new credential and then stops taking the old one.
    std::fs::write(&file, "renewed-credential").unwrap();
    rig.gate.keep_secret("renewed-credential");
    rig.stub.accept_only("Bearer renewed-credential");
    rig.gate
        .wait_until("using the new credential", async || {
            let response = rig.http1().await.request("GET", TARGET, &lines, b"").await;
            assert!(matches!(response.status, 200 | 503), "{}", response.text());
            response.status == 200
        })
        .await;
}

#[tokio::test]
async fn without_an_apiserver_the_gate_lives_is_not_ready_and_says_503() {
    let stub = Stub::start(&["h2"]).await;
    let kubeconfig = kubeconfig(&stub, &format!("token: {OWN_CREDENTIAL}"));
    // Nobody listens there: the port is bound, so that no other test gets it, and not listening.
    let nowhere = tokio::net::TcpSocket::new_v4().unwrap();
    nowhere.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = nowhere.local_addr().unwrap().port();
    let kubeconfig = kubeconfig.replace(&format!("127.0.0.1:{}", stub.port), &format!("127.0.0.1:{port}"));
    let gate = Gate::start_unready(&kubeconfig, &Settings::default()).await;
    assert_eq!(gate.admin_request("/livez").await.0, 200);
    assert_eq!(gate.admin_request("/readyz").await.0, 503);
    let password = std::fs::read_to_string(gate.data_directory().join("admin-password")).unwrap();
    let admin = login(&gate, "admin", password.trim()).await;
    let authorization = format!("Bearer {admin}");
    let mut client = Http1::connect(&gate.endpoint).await;
    unavailable(&client.request("GET", TARGET, &[("Authorization", &authorization)], b"").await);
    expect::unauthorized(&client.request("GET", TARGET, &[("Authorization", "Bearer a:b")], b"").await);
}

#[tokio::test]
async fn while_the_apiserver_is_away_clients_are_told_to_come_back_and_then_served() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let client = rig.http2().await;
    assert_eq!(client.request("GET", TARGET, &lines, b"").await.unwrap().status, 200);

    // One request is under way when it goes: whether it was done nobody knows, so it is not sent again.
    rig.stub.answer_with(|_| Answer::Silence);
    let (under_way, _) = client.start("DELETE", TARGET, &lines, true).await.unwrap();
    rig.stub.request(2).await;
    rig.stub.stop().await;
    let cut = response_of(under_way).await.unwrap();
    assert_eq!(cut.status, 502);
    expect::status(&cut, 502, "ServiceUnavailable");
    for _ in 0..20 {
        unavailable(&client.request("GET", TARGET, &lines, b"").await.unwrap());
    }
    assert_eq!(rig.stub.seen().len(), 2);

    rig.stub.answer(Reply::json(200, "{}"));
    rig.stub.resume().await;
    let back = std::time::Instant::now();
    rig.gate
        .wait_until("serving again", async || {
            client.request("GET", TARGET, &lines, b"").await.unwrap().status == 200
        })
        .await;
    assert!(back.elapsed() < std::time::Duration::from_secs(2), "{:?}", back.elapsed());
}

/// 502 or 503 as a `Status`; 503 says when to come back.
fn unavailable(response: &Response) {
    assert!(matches!(response.status, 502 | 503), "{} {}", response.status, response.text());
    expect::status(response, response.status, "ServiceUnavailable");
    if response.status == 503 {
        let seconds =
            response.header("retry-after").unwrap_or_else(|| panic!("no Retry-After: {response:?}"));
        assert!(seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{seconds}");
    }
}
