//! Whoever does not read makes the other side wait; the gate's memory does not grow for it.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::gate::Settings;
use crate::support::rig::{Account, Rig};
use crate::support::stub::Answer;

const MEBIBYTE: usize = 1 << 20;
/// What sockets and windows on the way may hold, in the kernel and in the gate.
const TOLERANCE_KIB: u64 = 24 << 10;

#[tokio::test]
async fn a_tunnel_whose_server_does_not_read_holds_its_client_back() {
    let (rig, account) = quiet().await;
    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection
                .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
                .await;
            std::future::pending::<()>().await;
        })
    });
    let authorization = account.authorization();
    let mut client = rig.http1().await;
    let lines =
        [("Authorization", authorization.as_str()), ("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")];
    let target = "/api/v1/namespaces/default/pods/p/portforward";
    assert_eq!(client.request("POST", target, &lines, b"").await.status, 101);
    let before = rig.gate.resident_kib();
    let sent = push(&mut client.reader.stream).await;
    assert!(sent < 64 * MEBIBYTE, "{sent} bytes went where nobody reads");
    let grown = rig.gate.resident_kib().saturating_sub(before);
    assert!(grown < TOLERANCE_KIB, "the gate grew by {grown} KiB");
}

#[tokio::test]
async fn an_upload_whose_server_does_not_read_holds_its_client_back() {
    let (rig, account) = quiet().await;
    rig.stub.answer_with(|_| {
        Answer::http2(async |stream| {
            // Held, not read: its window is not opened again.
            let _held = stream;
            std::future::pending::<()>().await;
        })
    });
    let authorization = account.authorization();
    let mut client = rig.http1().await;
    client
        .send(format!(
            "POST /api/v1/pods HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\nContent-Length: {}\r\n\r\n",
            1 << 30
        ))
        .await;
    rig.stub.request(1).await;
    let before = rig.gate.resident_kib();
    let sent = push(&mut client.reader.stream).await;
    assert!(sent < 64 * MEBIBYTE, "{sent} bytes went where nobody reads");
    let grown = rig.gate.resident_kib().saturating_sub(before);
    assert!(grown < TOLERANCE_KIB, "the gate grew by {grown} KiB");
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_read_is_not_fetched() {
    let rig = Rig::with(&["http/1.1"], &Settings { log_level: "info", ..Settings::default() }).await;
    let account = rig.account("alice", &[]).await;
    let (count, mut sent) = tokio::sync::watch::channel(0);
    rig.stub.answer_with(move |_| {
        let count = count.clone();
        Answer::http1(async move |mut connection| {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await;
            for _ in 0..1024 {
                connection.send(&vec![b'x'; MEBIBYTE]).await;
                count.send_modify(|sent| *sent += MEBIBYTE);
            }
        })
    });
    let authorization = account.authorization();
    let mut client = rig.http1().await;
    let before = rig.gate.resident_kib();
    client
        .send(format!("GET /api/v1/pods HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"))
        .await;
    rig.stub.request(1).await;
    // It is over when nothing has moved for a while.
    while tokio::time::timeout(Duration::from_millis(500), sent.changed()).await.is_ok() {}
    assert!(*sent.borrow() < 64 * MEBIBYTE, "{} bytes went where nobody reads", *sent.borrow());
    let grown = rig.gate.resident_kib().saturating_sub(before);
    assert!(grown < TOLERANCE_KIB, "the gate grew by {grown} KiB");
}

async fn quiet() -> (Rig, Account) {
    let rig = Rig::with(&["h2", "http/1.1"], &Settings { log_level: "info", ..Settings::default() }).await;
    let account = rig.account("alice", &[]).await;
    (rig, account)
}

/// Writes until nothing has moved for a while, or 64 MiB; says how much went.
async fn push(stream: &mut (impl AsyncWriteExt + Unpin)) -> usize {
    let block = vec![b'x'; 64 << 10];
    let mut sent = 0;
    while sent < 64 * MEBIBYTE {
        let Ok(written) = tokio::time::timeout(Duration::from_millis(500), stream.write(&block)).await else {
            break;
        };
        sent += written.unwrap();
    }
    sent
}
