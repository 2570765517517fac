//! Clients of HTTP/2 are asked now and then to connect anew, so that they spread over servers that were added later.

use crate::support::gate::Settings;
use crate::support::rig::Rig;
use crate::support::wire::{Http2, is_unprocessed};

const REQUESTS: usize = 2000;

#[tokio::test]
async fn one_request_in_fifty_moves_its_client_and_none_is_lost() {
    let limits = vec![("goawayChance", "0.02")];
    let settings = Settings { log_level: "info", limits, ..Settings::default() };
    let rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let mut client = rig.http2().await;
    let (mut served, mut connections) = (0, 1);
    while served < REQUESTS {
        match client.request("POST", "/api/v1/pods", &lines, b"{}").await {
            Ok(response) => {
                assert_eq!((response.status, response.broken), (200, None));
                served += 1;
            }
            Err(error) => {
                assert!(is_unprocessed(&error), "{error}");
                client = Http2::connect(&rig.gate.endpoint).await;
                connections += 1;
            }
        }
    }
    assert!((10..=100).contains(&connections), "{connections} connections for {REQUESTS} requests");
    assert!(rig.gate.metric("portcullis_goaways_total").await >= connections - 1);
}

#[tokio::test]
async fn neither_a_watch_nor_a_client_of_a_gate_without_a_chance_is_ever_asked() {
    let watched = Settings { limits: vec![("goawayChance", "0.02")], ..Settings::default() };
    for (settings, target) in [(watched, "/api/v1/pods?watch=true"), (Settings::default(), "/api/v1/pods")] {
        let rig = Rig::with(&["h2", "http/1.1"], &Settings { log_level: "info", ..settings }).await;
        let account = rig.account("alice", &[]).await;
        let authorization = account.authorization();
        let client = rig.http2().await;
        for _ in 0..400 {
            let response = client.request("GET", target, &[("authorization", &authorization)], b"").await;
            assert_eq!(response.unwrap().status, 200);
        }
        assert_eq!(rig.gate.metric("portcullis_goaways_total").await, 0);
    }
}
