//! The network between the gate and its upstream fails in each phase of a request's life: what the client is told, and
//! that nothing is done twice.

use std::time::{Duration, Instant};

use crate::support::chaos::{Chaos, Fault, Phase};
use crate::support::expect;
use crate::support::gate::Settings;
use crate::support::rig::{Account, Rig, kubeconfig};
use crate::support::stub::{Answer, OWN_CREDENTIAL, Reply, Stub, send_data};
use crate::support::wire::{Http1, Response, response_of};
use crate::support::within;

const TARGET: &str = "/api/v1/pods";
const EXEC: &str = "/api/v1/namespaces/default/pods/p/exec?command=sh";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const BOTH: [&[&str]; 2] = [&["h2", "http/1.1"], &["http/1.1"]];
/// Those that the kernel of the gate hears of.
const LOUD: [Fault; 3] = [Fault::Reset, Fault::End, Fault::Garbage];

#[tokio::test]
async fn a_connection_that_fails_while_it_is_made_is_503_and_nothing_is_sent() {
    for alpn in BOTH {
        let broken = Broken::start(alpn).await;
        for phase in [Phase::Connect, Phase::Handshake] {
            for fault in LOUD.into_iter().chain([Fault::Silence]) {
                broken.chaos.at(phase, fault);
                broken.chaos.now(Fault::Reset);
                for (method, body) in [("GET", ""), ("POST", "{}")] {
                    let response = broken.request(method, body).await;
                    assert_eq!(response.status, 503, "{phase:?} {fault:?} {method}: {}", response.text());
                    expect::status(&response, 503, "ServiceUnavailable");
                    assert!(response.header("retry-after").is_some());
                }
                assert_eq!(broken.rig.stub.seen().len(), 0);
                broken.chaos.heal();
                let healed = Instant::now();
                let gate = &broken.rig.gate;
                gate.wait_until("serving", async || broken.request("GET", "").await.status == 200).await;
                assert!(healed.elapsed() < Duration::from_secs(2), "{phase:?} {fault:?}");
                broken.rig.stub.forget();
            }
        }
    }
}

#[tokio::test]
async fn an_exchange_that_breaks_before_its_answer_is_502_and_not_repeated_and_readers_may_come_back() {
    for alpn in BOTH {
        let broken = Broken::start(alpn).await;
        broken.rig.stub.answer_with(|_| Answer::Silence);
        for fault in LOUD {
            for (method, body) in [("GET", ""), ("DELETE", ""), ("POST", "{}"), ("PATCH", "{}")] {
                broken.rig.stub.forget();
                let (response, ()) = tokio::join!(broken.request(method, body), async {
                    broken.rig.stub.request(1).await;
                    broken.chaos.now(fault);
                });
                assert_eq!(response.status, 502, "{fault:?} {method}: {}", response.text());
                expect::status(&response, 502, "ServiceUnavailable");
                // client-go takes it as leave to send the same again, whatever it is.
                assert_eq!(response.header("retry-after").is_some(), method == "GET", "{fault:?} {method}");
                assert_eq!(broken.rig.stub.seen().len(), 1, "{fault:?} {method} was sent twice");
            }
        }
    }
}

#[tokio::test]
async fn an_upgrade_that_breaks_before_its_answer_is_502_and_not_repeated_by_anybody() {
    let broken = Broken::start(BOTH[0]).await;
    broken.rig.stub.answer_with(|_| Answer::Silence);
    for fault in LOUD {
        broken.rig.stub.forget();
        let mut client = broken.upgrade().await;
        broken.rig.stub.request(1).await;
        broken.chaos.now(fault);
        let response = client.response().await.unwrap();
        expect::status(&response, 502, "ServiceUnavailable");
        // It begins with a GET and runs a command.
        assert_eq!(response.header("retry-after"), None, "{fault:?}");
        assert_eq!(broken.rig.stub.seen().len(), 1, "{fault:?} was sent twice");
    }
}

#[tokio::test]
async fn an_upload_that_breaks_is_502_and_is_not_repeated() {
    for alpn in BOTH {
        let broken = Broken::start(alpn).await;
        for fault in LOUD {
            broken.rig.stub.forget();
            let client = broken.rig.http2().await;
            let authorization = broken.account.authorization();
            let lines = [("authorization", authorization.as_str())];
            let (response, mut sender) = client.start("POST", TARGET, &lines, false).await.unwrap();
            send_data(&mut sender, b"{\"half\":", false).await;
            broken.rig.stub.request(1).await;
            broken.chaos.now(fault);
            let response = response_of(response).await.unwrap();
            assert_eq!(response.status, 502, "{fault:?}: {}", response.text());
            assert_eq!(broken.rig.stub.seen().len(), 1, "{fault:?} was sent twice");
        }
    }
}

#[tokio::test]
async fn a_list_that_breaks_off_is_aborted_and_a_watch_can_be_opened_again_at_once() {
    let broken = Broken::start(BOTH[0]).await;
    broken.rig.stub.answer_with(|_| {
        Answer::http2(async |mut stream| {
            let response = http::Response::builder().status(200).body(()).unwrap();
            let Ok(mut sender) = stream.respond.send_response(response, false) else { return };
            send_data(&mut sender, b"{\"items\":[", false).await;
            let _ = std::future::poll_fn(|context| sender.poll_reset(context)).await;
        })
    });
    for fault in LOUD {
        for target in [TARGET, "/api/v1/pods?watch=true"] {
            let mut body = broken.open(target).await;
            broken.chaos.now(fault);
            let end = within("the end of an answer", async { body.data().await }).await;
            assert!(end.is_some_and(|data| data.is_err()), "{fault:?} {target}: it seems whole");
        }
    }
    drop(broken.open("/api/v1/pods?watch=true").await);
}

#[tokio::test]
async fn a_tunnel_that_breaks_is_closed_within_two_seconds() {
    let broken = Broken::start(BOTH[0]).await;
    broken.rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(&[SWITCHING, b"hello"].concat()).await;
            connection.drain().await;
        })
    });
    for fault in LOUD {
        let mut client = broken.upgrade().await;
        assert_eq!(client.response().await.unwrap().status, 101);
        assert_eq!(within("the first bytes", client.reader.exactly(5)).await.unwrap(), b"hello");
        let broke = Instant::now();
        broken.chaos.now(fault);
        within("the end of the tunnel", client.reader.rest()).await;
        assert!(broke.elapsed() < Duration::from_secs(2), "{fault:?}: {:?}", broke.elapsed());
    }
}

#[tokio::test]
async fn an_upgrade_that_is_never_answered_is_504_at_its_limit() {
    let broken = Broken::start(BOTH[0]).await;
    broken.rig.stub.answer_with(|_| Answer::Silence);
    let mut client = broken.upgrade().await;
    let response = client.response().await.unwrap();
    expect::status(&response, 504, "Timeout");
    client.expect_close().await;
    broken
        .rig
        .stub
        .until("the end of the upgrade", |stub| {
            stub.connections().iter().any(|connection| !connection.is_h2 && connection.is_closed())
        })
        .await;
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_given_up_within_thirty_seconds() {
    let broken = Broken::start(BOTH[0]).await;
    broken.rig.stub.answer_with(|seen| {
        if !seen.target.contains("watch=true") {
            return Answer::Silence;
        }
        Answer::http2(async |mut stream| {
            let response = http::Response::builder().status(200).body(()).unwrap();
            let Ok(mut sender) = stream.respond.send_response(response, false) else { return };
            send_data(&mut sender, b"{}\n", false).await;
            let _ = std::future::poll_fn(|context| sender.poll_reset(context)).await;
        })
    });
    let mut watch = broken.open("/api/v1/pods?watch=true").await;
    let client = broken.rig.http2().await;
    let authorization = broken.account.authorization();
    let lines = [("authorization", authorization.as_str())];
    let (waiting, _) = client.start("POST", TARGET, &lines, true).await.unwrap();
    broken.rig.stub.request(2).await;
    let silent = Instant::now();
    broken.chaos.now(Fault::Silence);
    let limit = Duration::from_secs(30);
    let both = async { tokio::join!(watch.data(), waiting) };
    let (event, answer) = tokio::time::timeout(limit, both).await.expect("a silent peer is waited for");
    assert!(event.is_some_and(|data| data.is_err()), "the watch seems whole");
    assert_eq!(answer.unwrap().status(), 502);
    assert_eq!(broken.rig.stub.seen().len(), 2);
    assert!(silent.elapsed() < limit, "{:?}", silent.elapsed());
    // Others are served at once, on another connection.
    broken.rig.stub.answer(Reply::json(200, "{}"));
    assert_eq!(broken.request("GET", "").await.status, 200);
}

/// A gate whose way to its stub can be broken.
struct Broken {
    rig: Rig,
    chaos: Chaos,
    account: Account,
}

impl Broken {
    async fn start(alpn: &[&str]) -> Self {
        let stub = Stub::start(alpn).await;
        let chaos = Chaos::before(stub.port).await;
        let kubeconfig = kubeconfig(&stub, &format!("token: {OWN_CREDENTIAL}"))
            .replace(&format!("127.0.0.1:{}", stub.port), &format!("127.0.0.1:{}", chaos.port));
        let limits = vec![("connectTimeout", "300ms"), ("upgradeTimeout", "2s")];
        let rig = Rig::at(stub, &kubeconfig, &Settings { limits, ..Settings::default() }).await;
        let account = rig.account("alice", &[]).await;
        Self { rig, chaos, account }
    }

    async fn request(&self, method: &str, body: &str) -> Response {
        let authorization = self.account.authorization();
        let lines = [("authorization", authorization.as_str())];
        self.rig.http2().await.request(method, TARGET, &lines, body.as_bytes()).await.unwrap()
    }

    /// An answer that has begun.
    async fn open(&self, target: &str) -> h2::RecvStream {
        let client = self.rig.http2().await;
        let authorization = self.account.authorization();
        let lines = [("authorization", authorization.as_str())];
        let (response, _) = client.start("GET", target, &lines, true).await.unwrap();
        let response = within("the head of an answer", response).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let begun = within("the first data", body.data()).await.unwrap().unwrap();
        body.flow_control().release_capacity(begun.len()).unwrap();
        body
    }

    /// A client that has asked for an upgrade.
    async fn upgrade(&self) -> Http1 {
        let mut client = self.rig.http1().await;
        let authorization = self.account.authorization();
        client
            .send(format!(
                "GET {EXEC} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n\r\n"
            ))
            .await;
        client
    }
}
