//! An answer that upstream cuts short must look cut to the client: half a list that seems whole deletes things.

use std::sync::Arc;

use h2::Reason;
use tokio::sync::Notify;

use crate::support::gate::Settings;
use crate::support::rig::Rig;
use crate::support::stub::{Answer, Cut, Framing, Reply, send_data};
use crate::support::within;

const TARGET: &str = "/api/v1/pods?limit=500";
const LENGTH: usize = 6_000;

#[tokio::test]
async fn an_answer_cut_over_upstream_http1_is_aborted_towards_the_client() {
    cut(&["http/1.1"]).await;
}

#[tokio::test]
async fn an_answer_cut_over_upstream_http2_is_aborted_towards_the_client() {
    cut(&["h2", "http/1.1"]).await;
}

async fn cut(alpn: &[&str]) {
    let rig = Rig::with(alpn, &Settings::default()).await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    for framing in [Framing::Length, Framing::Chunked] {
        for offset in (0..LENGTH).step_by(1024).chain([LENGTH - 1, LENGTH]) {
            for cut in [Cut::Connection(offset), Cut::Orderly(offset)] {
                // A body with a length that is all there is whole, however the connection ends.
                if framing == Framing::Length && offset == LENGTH {
                    continue;
                }
                let case = format!("{framing:?}, {cut:?}");
                rig.stub.answer(Reply::new(200, vec![b'x'; LENGTH]).framing(framing).cut(cut));
                let mut http1 = rig.http1().await;
                http1
                    .send(format!(
                        "GET {TARGET} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"
                    ))
                    .await;
                // No answer at all is a broken one as well.
                if let Ok(response) = http1.response().await {
                    assert_eq!(response.status, 200, "{case}");
                    assert!(response.broken.is_some(), "{case}: HTTP/1.1 {} bytes", response.body.len());
                    assert!(response.body.len() <= offset, "{case}");
                }
                match rig.http2().await.request("GET", TARGET, &lines, b"").await {
                    Ok(response) => {
                        assert!(response.broken.is_some(), "{case}: HTTP/2 {}", response.body.len());
                    }
                    Err(error) => assert!(error.is_reset() || error.is_go_away(), "{case}: {error}"),
                }
            }
        }
    }
}

/// A cluster that thinks better of an answer says so by a reset; only one without an error may follow a whole answer
/// (RFC 9113, 8.1).
#[tokio::test]
async fn an_answer_that_the_cluster_cancels_is_broken_off_and_not_ended() {
    let rig = Rig::with(&["h2", "http/1.1"], &Settings::default()).await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::ENHANCE_YOUR_CALM] {
        let has_come = Arc::new(Notify::new());
        let may_end = Arc::clone(&has_come);
        rig.stub.answer_with(move |_| {
            let may_end = Arc::clone(&may_end);
            Answer::http2(async move |mut stream| {
                let response = http::Response::builder().status(200).body(()).unwrap();
                let Ok(mut sender) = stream.respond.send_response(response, false) else { return };
                send_data(&mut sender, &[b'x'; LENGTH], false).await;
                may_end.notified().await;
                sender.send_reset(reason);
            })
        });
        let client = rig.http2().await;
        let (answer, _) = client.start("GET", TARGET, &lines, true).await.unwrap();
        let mut body = within("the head of an answer", answer).await.unwrap().into_body();
        assert!(within("the first data", body.data()).await.is_some_and(|data| data.is_ok()));
        has_come.notify_one();
        let end = within("the end", async {
            loop {
                match body.data().await {
                    Some(Ok(_)) => {}
                    end => break end,
                }
            }
        });
        assert!(end.await.is_some_and(|end| end.is_err()), "{reason}: it seems whole");
    }
}

#[tokio::test]
async fn an_answer_without_a_head_is_502_and_is_not_asked_for_twice() {
    let rig = Rig::start_http1().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [("authorization", authorization.as_str())];
    for bytes in
        ["", "HTTP/1.1 200 OK\r\nContent-", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
    {
        rig.stub.forget();
        rig.stub.answer_with(move |_| {
            Answer::http1(async move |mut connection| {
                connection.send(bytes.as_bytes()).await;
            })
        });
        let mut client = rig.http1().await;
        let response = client.request("POST", TARGET, &lines, b"{}").await;
        assert!(matches!(response.status, 502 | 503), "{bytes:?}: {}", response.text());
        assert_eq!(rig.stub.seen().len(), 1, "a request with a body is sent once: {bytes:?}");
    }
}
