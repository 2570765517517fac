//! Requests that are not what a proxy of an API should carry: they end here.

use crate::support::expect;
use crate::support::message::text;
use crate::support::rig::Rig;
use crate::support::stub::Reply;
use crate::support::wire::{Outcome, RawHttp2};
use crate::support::within;

#[tokio::test]
async fn connect_trace_and_unknown_methods_are_refused() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let targets = [
        ("CONNECT", "gate.example:443"),
        ("CONNECT", "/api/v1/pods"),
        ("TRACE", "/api/v1/pods"),
        ("TRACK", "/api/v1/pods"),
        ("PRI", "/api/v1/pods"),
        ("PRI", "*"),
        ("get", "/api/v1/pods"),
        ("PROPFIND", "/api/v1/pods"),
        ("OPTIONS", "*"),
    ];
    for (method, target) in targets {
        let mut client = rig.http1().await;
        client
            .send(format!(
                "{method} {target} HTTP/1.1\r\nHost: gate.example\r\nAuthorization: {authorization}\r\n\r\n"
            ))
            .await;
        let status = client.response().await.map_or(400, |response| response.status);
        assert!(matches!(status, 400 | 404 | 405 | 501), "{method} {target}: {status}");
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn connect_and_trace_are_refused_over_http2() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let with_authorization = |fields: &[(&'static str, &'static str)]| {
        let mut fields: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        fields.push(("authorization".to_owned(), authorization.clone()));
        fields
    };
    let request = |method| {
        [(":method", method), (":scheme", "https"), (":path", "/api/v1/pods"), (":authority", "gate.example")]
    };
    let attempts = [
        with_authorization(&[(":method", "CONNECT"), (":authority", "gate.example:443")]),
        with_authorization(&[&request("CONNECT")[..], &[(":protocol", "websocket")]].concat()),
        with_authorization(&request("TRACE")),
        with_authorization(&request("PROPFIND")),
    ];
    for fields in attempts {
        let mut client = RawHttp2::connect(&rig.gate.endpoint).await;
        let bytes: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        client.headers(1, &bytes, true).await;
        let outcome = client.outcome(1).await;
        let refused =
            matches!(outcome, Outcome::Answered(400 | 405 | 501) | Outcome::Reset(_) | Outcome::GoneAway(_));
        assert!(refused, "{fields:?}: {outcome:?}");
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn an_upgrade_to_clear_text_http2_is_served_without_the_upgrade_or_refused() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let lines = [
        ("Authorization", authorization.as_str()),
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
    ];
    let response = rig.http1().await.request("GET", "/api/v1/pods", &lines, b"").await;
    assert!(matches!(response.status, 200 | 400 | 403), "{}", response.status);
    for seen in rig.stub.seen() {
        expect::exactly(&seen, &account, rig.stub.port, &[]);
    }
}

#[tokio::test]
async fn no_redirect_of_the_apiserver_is_followed() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("https://127.0.0.1:{}/", elsewhere.local_addr().unwrap().port());
    for status in [301, 302, 303, 307, 308] {
        rig.stub.answer(Reply::new(status, "moved").header("location", &location));
        let lines = [("Authorization", authorization.as_str())];
        let response = rig.http1().await.request("GET", "/api/v1/pods", &lines, b"").await;
        assert!(response.status == status || response.status == 502, "{}", response.status);
        let upgrade = [lines[0], ("Connection", "Upgrade"), ("Upgrade", "websocket")];
        let target = "/api/v1/namespaces/default/pods/p/exec?command=sh";
        let response = rig.http1().await.request("GET", target, &upgrade, b"").await;
        assert_eq!(response.status, 502, "a redirect is no answer to an upgrade");
        assert_eq!(response.header("location"), None);
    }
    assert_eq!(rig.stub.seen().len(), 10, "each request is sent once");
    let visit = tokio::time::timeout(std::time::Duration::from_millis(100), elsewhere.accept()).await;
    assert!(visit.is_err(), "somebody followed a redirect");
}

#[tokio::test]
async fn http_0_9_and_a_second_preface_get_no_service() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let authorization = account.authorization();
    for message in [
        "GET /api/v1/pods\r\n\r\n".to_owned(),
        "GET /api/v1/pods\r\n".to_owned(),
        format!("GET /api/v1/pods HTTP/1.32\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"),
        format!("GET /api/v1/pods HTTP/3.0\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let mut client = rig.http1().await;
        client.send(&message).await;
        // Half a line is no request yet: ending it is what makes the server decide.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut client.reader.stream).await;
        let (answer, _) = within("the gate to close", client.reader.rest()).await;
        let answer = text(&answer);
        assert!(
            answer.is_empty() || answer.contains(" 400 ") || answer.contains(" 505 "),
            "{message:?}: {answer:?}"
        );
    }
    assert_eq!(rig.stub.seen().len(), 0);
}
