//! Thousands of watches at once through one gate, on few connections to a real apiserver.

use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::task::JoinSet;

use crate::real_gate::{RealGate, succeed};
use crate::support::wire::Http2;
use crate::support::within;

const CONNECTIONS: usize = 40;
const WATCHES: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_thousand_watches_and_other_requests_share_few_connections() {
    let gate = RealGate::start().await;
    // Of many users, as it is in life: the apiserver queues the requests of each one apart.
    let namespace = &gate.user("many").await.namespace;
    let target = format!("/api/v1/namespaces/{namespace}/configmaps");
    let mut watchers = JoinSet::new();
    let mut authorizations = Vec::new();
    for number in 0..CONNECTIONS {
        let account = gate.account(&format!("many-{number}"), &["watchers"]).await;
        authorizations.push(account.authorization());
    }
    let binding = ["create", "rolebinding", "may-watch", "--clusterrole=view", "--group=watchers"];
    succeed(gate.cluster.kubectl().args(binding).args(["--namespace", namespace]));

    let (tell, told) = tokio::sync::watch::channel(false);
    let (seen, mut open) = tokio::sync::mpsc::channel(CONNECTIONS * WATCHES);
    for authorization in &authorizations {
        let client = Http2::connect(&gate.gate.endpoint).await;
        for _ in 0..WATCHES {
            let (client, authorization) = (client.clone(), authorization.clone());
            let (target, seen, told) = (format!("{target}?watch=true"), seen.clone(), told.clone());
            watchers.spawn(async move { watch(&client, &target, &authorization, &seen, told).await });
        }
    }
    for number in 0..CONNECTIONS * WATCHES {
        within(&format!("watch {number} to begin"), open.recv()).await.unwrap();
    }
    others_are_served(&gate, &target, &authorizations).await;
    let connections = upstream_connections(&gate).await;
    assert!(connections < 80, "{connections} connections to the apiserver");

    succeed(gate.cluster.kubectl().args(["create", "configmap", ANNOUNCED, "--namespace", namespace]));
    for number in 0..CONNECTIONS * WATCHES {
        within(&format!("watch {number} to tell of the change"), open.recv()).await.unwrap();
    }
    tell.send(true).unwrap();
    while let Some(ended) = watchers.join_next().await {
        ended.unwrap();
    }
    gate.gate
        .wait_until("free of streams", async || metric(&gate, "portcullis_open_streams").await == 0)
        .await;
    let deadline = Instant::now() + Duration::from_mins(1);
    // What is left idles until it is used again or its time is over; a few, not one for every eighty watches.
    while upstream_connections(&gate).await > 8 {
        assert!(Instant::now() < deadline, "{} connections are left", upstream_connections(&gate).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Opens a watch, says when it has begun and when it tells of the announced object, and holds it until told.
async fn watch(
    client: &Http2,
    target: &str,
    authorization: &str,
    seen: &tokio::sync::mpsc::Sender<()>,
    mut told: tokio::sync::watch::Receiver<bool>,
) {
    let lines = [("authorization", authorization)];
    let (response, _body) = client.start("GET", target, &lines, true).await.unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let mut text = Vec::new();
    for expected in ["kube-root-ca.crt", ANNOUNCED] {
        while !String::from_utf8_lossy(&text).contains(expected) {
            let data = body.data().await.expect("a watch ended").unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            text.extend_from_slice(&data);
        }
        seen.send(()).await.unwrap();
    }
    told.wait_for(|over| *over).await.unwrap();
}

/// Two hundred at once while the watches are open.
async fn others_are_served(gate: &RealGate, target: &str, authorizations: &[String]) {
    let mut requests = JoinSet::new();
    for authorization in authorizations {
        let client = Http2::connect(&gate.gate.endpoint).await;
        for _ in 0..200 / authorizations.len() {
            let (client, target, authorization) = (client.clone(), target.to_owned(), authorization.clone());
            requests.spawn(async move {
                let lines = [("authorization", authorization.as_str())];
                let response = client.request("GET", &target, &lines, b"").await.unwrap();
                assert_eq!(response.status, 200, "{}", response.text());
            });
        }
    }
    while let Some(request) = requests.join_next().await {
        request.unwrap();
    }
}

async fn upstream_connections(gate: &RealGate) -> u64 {
    metric(gate, "portcullis_upstream_connections").await
}

/// The sum of all series of a metric.
async fn metric(gate: &RealGate, name: &str) -> u64 {
    let (_, text) = gate.gate.admin_request("/metrics").await;
    let series = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

const ANNOUNCED: &str = "announced";
