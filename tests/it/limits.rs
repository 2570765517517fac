//! How large a request's head may be: what Kubernetes' clients need passes, and beyond that the answer is a clear 431.

use crate::support::expect;
use crate::support::rig::Rig;

const TARGET: &str = "/api/v1/pods";

#[tokio::test]
async fn five_hundred_fields_pass_and_six_hundred_get_431() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    for (count, expected) in [(500, 200), (600, 431)] {
        rig.stub.forget();
        let names: Vec<String> = (0..count).map(|number| format!("X-Field-{number}")).collect();
        let mut lines: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        lines.push(("Authorization", &authorization));
        let mut client = rig.http1().await;
        assert_eq!(client.request("GET", TARGET, &lines, b"").await.status, expected, "{count}");
        let seen = rig.stub.seen();
        if expected == 200 {
            expect::exactly(&seen[0], &account, rig.stub.port, &lines[..count]);
        } else {
            assert_eq!(seen.len(), 0);
            client.expect_close().await;
        }
    }
}

#[tokio::test]
async fn a_head_of_120_kib_passes_and_one_of_140_kib_gets_431() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    for (kibibytes, expected) in [(120, 200), (140, 431)] {
        let long = "x".repeat(kibibytes << 10);
        for lines in [vec![("X-Long", long.as_str())], vec![("X-Part", &long[..(kibibytes << 10) / 20]); 20]]
        {
            rig.stub.forget();
            let lines: Vec<_> =
                lines.into_iter().chain([("Authorization", authorization.as_str())]).collect();
            let over_http1 = rig.http1().await.request("GET", TARGET, &lines, b"").await;
            assert_eq!(over_http1.status, expected, "HTTP/1.1, {kibibytes} KiB");
            let over_http2 = rig.http2().await.request("GET", TARGET, &lines, b"").await;
            assert_eq!(over_http2.unwrap().status, expected, "HTTP/2, {kibibytes} KiB");
            assert_eq!(rig.stub.seen().len(), if expected == 200 { 2 } else { 0 });
        }
    }
}

#[tokio::test]
async fn a_credential_of_a_mebibyte_gets_431_and_the_gate_lives() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let lines = [("Authorization", format!("Bearer a:{}", "b".repeat(1 << 20)))];
    let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 431);
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
}

#[tokio::test]
async fn an_answers_head_may_be_as_large() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("Authorization", authorization.as_str())];
    let long = "w".repeat(60 << 10);
    rig.stub.answer(crate::support::stub::Reply::json(200, "{}").header("warning", &long));
    let response = rig.http1().await.request("GET", TARGET, &lines, b"").await;
    assert_eq!((response.status, response.header("warning")), (200, Some(long.as_str())));
    let response = rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap();
    assert_eq!((response.status, response.header("warning")), (200, Some(long.as_str())));
}
