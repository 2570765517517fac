//! Thousands of streams at once. An apiserver allows a hundred on a connection; a proxy that keeps one connection to it
//! falls silent at the hundred and first.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::support::gate::Settings;
use crate::support::rig::Rig;
use crate::support::stub::{Answer, Reply, send_data};
use crate::support::wire::Http2;
use crate::support::within;

const WATCHES: usize = 4_000;
const ON_A_CONNECTION: usize = 100;
const OTHERS: usize = 200;
const EVENT: &[u8] = b"{\"type\":\"BOOKMARK\"}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_thousand_watches_and_two_hundred_requests_are_all_served() {
    let rig = Arc::new(
        Rig::with(&["h2", "http/1.1"], &Settings { log_level: "info", ..Settings::default() }).await,
    );
    let account = rig.account("alice", &[]).await;
    let authorization: Arc<str> = account.authorization().into();
    rig.stub.answer_with(|seen| {
        if !seen.target.contains("watch=true") {
            return Reply::json(200, "{}").into();
        }
        Answer::http2(async |mut stream| {
            let response = http::Response::builder().status(200).body(()).unwrap();
            let Ok(mut sender) = stream.respond.send_response(response, false) else { return };
            send_data(&mut sender, EVENT, false).await;
            // Until the client leaves.
            let _ = std::future::poll_fn(|context| sender.poll_reset(context)).await;
        })
    });
    let mut watches = JoinSet::new();
    for _ in 0..WATCHES / ON_A_CONNECTION {
        let client = rig.http2().await;
        for _ in 0..ON_A_CONNECTION {
            watches.spawn(watch(client.clone(), Arc::clone(&authorization)));
        }
    }
    let mut others = JoinSet::new();
    let client = rig.http2().await;
    for _ in 0..OTHERS {
        let (client, authorization) = (client.clone(), Arc::clone(&authorization));
        others.spawn(async move {
            let lines = [("authorization", &*authorization)];
            client.request("GET", "/api/v1/pods", &lines, b"").await.unwrap().status
        });
    }
    assert!(others.join_all().await.into_iter().all(|status| status == 200));
    let open = watches.join_all().await;
    assert_eq!(open.len(), WATCHES);

    let (_, metrics) = rig.gate.admin_request("/metrics").await;
    assert!(metrics.contains(&format!("portcullis_open_streams{{kind=\"watch\"}} {WATCHES}\n")), "{metrics}");
    let connections = rig.stub.connections();
    let open_upstream = connections.iter().filter(|connection| !connection.is_closed()).count();
    assert!(open_upstream < 80, "{open_upstream} connections upstream");

    drop(open);
    rig.gate
        .wait_until("rid of the watches", async || {
            rig.gate.admin_request("/metrics").await.1.contains("portcullis_open_streams{kind=\"watch\"} 0\n")
        })
        .await;
}

/// Opens a watch, waits for its first event, and gives it back open.
async fn watch(client: Http2, authorization: Arc<str>) -> h2::RecvStream {
    let lines = [("authorization", &*authorization)];
    let (response, _) = client.start("GET", "/api/v1/pods?watch=true", &lines, true).await.unwrap();
    let response = within("the head of a watch", response).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let event = within("an event", body.data()).await.unwrap().unwrap();
    assert_eq!(&event[..], EVENT);
    body.flow_control().release_capacity(event.len()).unwrap();
    body
}
