//! An apiserver that goes away and comes back.

use std::time::Duration;

use crate::cluster::{Cluster, Options};
use crate::real_gate::{service_account, settings};
use crate::support::accounts::{self, Account};
use crate::support::expect;
use crate::support::gate::Gate;
use crate::support::wire::Http2;

#[tokio::test]
async fn clients_are_told_to_come_back_while_the_apiserver_is_away() {
    if std::env::var_os("PORTCULLIS_TEST_KUBECONFIG").is_some() {
        // Somebody else's cluster is not to be stopped.
        return;
    }
    let cluster = Cluster::start(&Options { node: false, ..Options::default() }).unwrap();
    let gate = Gate::start(&service_account(&cluster), &settings()).await;
    let admin = accounts::administrator(&gate).await;
    let account = Account::create(&gate, &admin, "patient", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let client = Http2::connect(&gate.endpoint).await;
    let get = async || client.request("GET", "/version", &lines, b"").await.unwrap();
    assert_eq!(get().await.status, 200);

    cluster.stop_apiserver().unwrap();
    // The first one may be on the connection that just broke: whether it was processed nobody knows.
    assert!([502, 503].contains(&get().await.status));
    let refused = get().await;
    expect::status(&refused, 503, "ServiceUnavailable");
    assert!(refused.header("retry-after").is_some());
    let ready = async |code| gate.admin_request("/readyz").await.0 == code;
    gate.wait_until("unready", async || ready(503).await).await;
    assert_eq!(gate.admin_request("/livez").await.0, 200);
    // What is our own still works.
    let (_, bearer) = accounts::token(&gate, &account.bearer, 0).await;

    cluster.start_apiserver().unwrap();
    gate.wait_until("ready again", async || ready(200).await).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while get().await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "ready, and not served");
    }
    let lines = [("authorization", format!("Bearer {bearer}"))];
    let lines = lines.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(client.request("GET", "/version", &lines, b"").await.unwrap().status, 200);
    cluster.stop().unwrap();
}
