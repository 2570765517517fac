//! How the gate stops: nothing that is under way is lost, and nothing new is begun.

use nix::sys::signal::Signal;

use crate::support::gate::Settings;
use crate::support::rig::{Account, Rig};
use crate::support::stub::{Answer, Reply};
use crate::support::wire::Http1;
use crate::support::within;

const TARGET: &str = "/api/v1/pods";

#[tokio::test]
async fn a_request_that_is_under_way_is_finished_and_then_the_gate_ends_well() {
    let mut rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let (go, mut client) = half_answered(&rig, &account).await;
    let idle = rig.http1().await;

    rig.gate.signal(Signal::SIGTERM);
    rig.gate.wait_until("draining", async || rig.gate.admin_request("/readyz").await.0 == 503).await;
    go.notify_one();
    let (rest, _) = within("the rest of the answer", client.reader.rest()).await;
    assert!(rest.ends_with(b"second half"), "{}", String::from_utf8_lossy(&rest));
    drop(idle);
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let (_go, mut client) = half_answered(&rig, &account).await;
    rig.gate.signal(Signal::SIGTERM);
    rig.gate.wait_until("draining", async || rig.gate.admin_request("/readyz").await.0 == 503).await;
    rig.gate.signal(Signal::SIGTERM);
    assert!(rig.gate.exit_code().await.is_some());
    within("the end of the connection", client.reader.rest()).await;
}

#[tokio::test]
async fn what_takes_too_long_is_cut_at_the_drain_timeout() {
    let settings = Settings { limits: vec![("drainTimeout", "1s")], ..Settings::default() };
    let mut rig = Rig::with(&["http/1.1"], &settings).await;
    let account = rig.account("alice", &[]).await;
    let (_go, mut client) = half_answered(&rig, &account).await;
    rig.gate.signal(Signal::SIGTERM);
    let (rest, _) = within("the end of the connection", client.reader.rest()).await;
    assert!(!rest.ends_with(b"second half"));
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

#[tokio::test]
async fn over_http2_no_request_is_lost() {
    let mut rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let client = rig.http2().await;
    assert_eq!(client.request("GET", TARGET, &lines, b"").await.unwrap().status, 200);
    rig.gate.signal(Signal::SIGTERM);
    // Until the client has heard of the end its requests are served; from then on it makes none here.
    while let Ok(response) = client.request("GET", TARGET, &lines, b"").await {
        assert_eq!((response.status, response.broken), (200, None));
    }
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_restarted_gate_knows_its_users_tokens_and_certificate() {
    let mut rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    let authorization = account.authorization();
    let before = rig.gate.endpoint.ca_pem.clone();
    rig.gate.signal(Signal::SIGTERM);
    assert_eq!(rig.gate.exit_code().await, Some(0));
    rig.gate.restart().await;
    assert_eq!(rig.gate.endpoint.ca_pem, before);
    rig.stub.forget();
    let lines = [("Authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    crate::support::expect::exactly(&rig.stub.only(), &account, rig.stub.port, &[]);
}

/// A request whose answer is half sent; the other half follows when told.
async fn half_answered(rig: &Rig, account: &Account) -> (std::sync::Arc<tokio::sync::Notify>, Http1) {
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let wait = std::sync::Arc::clone(&go);
    rig.stub.answer_with(move |_| {
        let wait = std::sync::Arc::clone(&wait);
        Answer::http1(async move |mut connection| {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\nfirst half").await;
            wait.notified().await;
            connection.send(b"second half").await;
            connection.drain().await;
        })
    });
    let mut client = rig.http1().await;
    let authorization = account.authorization();
    client.send(format!("GET {TARGET} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n")).await;
    let head = within("a head", client.reader.head()).await.unwrap().unwrap();
    assert!(head.first_line.contains("200"));
    rig.stub.answer(Reply::json(200, "{}"));
    (go, client)
}
