//! An open tunnel: every byte, in order, both ways, and each direction ends by itself.

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::gate::Settings;
use crate::support::report;
use crate::support::rig::{Account, Rig};
use crate::support::stub::Answer;
use crate::support::wire::Http1;
use crate::support::within;

const TARGET: &str = "/api/v1/namespaces/default/pods/p/portforward";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";
const MEBIBYTE: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_each_way_arrive_unchanged() {
    const SIZE: usize = 64 * MEBIBYTE;
    let rig = Rig::with(&["h2", "http/1.1"], &Settings { log_level: "info", ..Settings::default() }).await;
    let account = rig.account("alice", &[]).await;
    let (digests, mut digest) = tokio::sync::mpsc::unbounded_channel();
    rig.stub.answer_with(move |_| {
        let digests = digests.clone();
        Answer::http1(async move |mut connection| {
            connection.send(SWITCHING).await;
            // One direction after the other from here; both at once from the client's side.
            for block in 0..64 {
                connection.send(&noise(block)).await;
            }
            let received = connection.receive_exactly(SIZE).await;
            digests.send(Sha256::digest(&received).to_vec()).unwrap();
            connection.drain().await;
        })
    });
    let client = tunnel(&rig, &account).await;
    let mut early = client.reader.buffer;
    let (mut read, mut write) = tokio::io::split(client.reader.stream);
    let upload = tokio::spawn(async move {
        let mut hash = Sha256::new();
        for block in 64..128 {
            let bytes = noise(block);
            hash.update(&bytes);
            write.write_all(&bytes).await.unwrap();
        }
        write.flush().await.unwrap();
        (hash.finalize().to_vec(), write)
    });
    let mut expected = Sha256::new();
    (0..64).for_each(|block| expected.update(noise(block)));
    let mut hash = Sha256::new();
    hash.update(&early);
    let mut left = SIZE - early.len();
    early.resize(64 << 10, 0);
    while left > 0 {
        let limit = left.min(early.len());
        let length = within("bytes of the server", read.read(&mut early[..limit])).await.unwrap();
        assert_ne!(length, 0, "the tunnel ended {left} bytes early");
        hash.update(&early[..length]);
        left -= length;
    }
    assert!(hash.finalize() == expected.finalize(), "bytes of the server differ");
    let (sent, _write) = upload.await.unwrap();
    let arrived = within("bytes of the client", digest.recv()).await.unwrap();
    assert!(sent == arrived, "bytes of the client differ");
}

#[tokio::test]
async fn a_thousand_servers_that_speak_first_are_all_heard() {
    let rig = Rig::with(&["h2", "http/1.1"], &Settings { log_level: "info", ..Settings::default() }).await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(&[SWITCHING, b"\x80\x03\x00\x04 the server's first frame"].concat()).await;
            connection.drain().await;
        })
    });
    for run in 0..1_000 {
        let mut client = tunnel(&rig, &account).await;
        let first = within("the server's first frame", client.reader.exactly(29)).await;
        assert_eq!(first.unwrap(), b"\x80\x03\x00\x04 the server's first frame", "run {run}");
    }
}

#[tokio::test]
async fn the_end_of_the_clients_direction_leaves_the_other_open() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(SWITCHING).await;
            let mut received = Vec::new();
            loop {
                let bytes = connection.receive().await;
                if bytes.is_empty() {
                    break;
                }
                received.extend(bytes);
            }
            connection.send(&[b"after the end: ", received.as_slice()].concat()).await;
            connection.finish().await;
        })
    });
    let mut client = tunnel(&rig, &account).await;
    client.send(b"last words").await;
    client.reader.stream.shutdown().await.unwrap();
    let (rest, _) = within("the answer after the end", client.reader.rest()).await;
    assert_eq!(rest, b"after the end: last words");
}

#[tokio::test]
async fn the_end_of_the_servers_direction_leaves_the_other_open() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(SWITCHING).await;
            connection.send(b"nothing more from here").await;
            connection.finish().await;
            connection.drain().await;
        })
    });
    let mut client = tunnel(&rig, &account).await;
    let (said, _) = within("the server's end", client.reader.rest()).await;
    assert_eq!(said, b"nothing more from here");
    client.send(b"still here").await;
    client.reader.stream.shutdown().await.unwrap();
    rig.stub
        .until("the client's words", |stub| {
            stub.connections().iter().any(|connection| connection.received().ends_with(b"\r\n\r\nstill here"))
        })
        .await;
}

#[tokio::test]
async fn single_bytes_are_passed_on_at_once() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(SWITCHING).await;
            loop {
                let byte = connection.receive_exactly(1).await;
                if byte.is_empty() {
                    return;
                }
                connection.send(&byte).await;
            }
        })
    });
    let mut client = tunnel(&rig, &account).await;
    for byte in (0..=255_u8).chain(0..=255) {
        client.send([byte]).await;
        assert_eq!(within("the echo", client.reader.exactly(1)).await.unwrap(), [byte]);
    }
}

#[tokio::test]
async fn when_one_side_breaks_the_other_is_closed() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    rig.stub.answer_with(|_| Answer::http1(async |mut connection| connection.send(SWITCHING).await));
    let mut client = tunnel(&rig, &account).await;
    within("the end of the tunnel", client.reader.rest()).await;

    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(SWITCHING).await;
            connection.drain().await;
        })
    });
    let before = rig.stub.connections().len();
    drop(tunnel(&rig, &account).await);
    rig.stub
        .until("the end of the upstream side", |stub| {
            stub.connections().get(before).is_some_and(|connection| connection.is_closed())
        })
        .await;
}

#[tokio::test]
async fn a_stalled_tunnel_holds_little_memory() {
    const TUNNELS: u64 = 200;
    let rig = Rig::with(&["h2", "http/1.1"], &Settings { log_level: "info", ..Settings::default() }).await;
    let account = rig.account("alice", &[]).await;
    let flood = noise(1);
    rig.stub.answer_with(move |_| {
        let flood = flood.clone();
        Answer::http1(async move |mut connection| {
            connection.send(SWITCHING).await;
            // More than all buffers on the way hold.
            for _ in 0..16 {
                connection.send(&flood).await;
            }
        })
    });
    let before = rig.gate.resident_kib();
    let mut clients = Vec::new();
    for _ in 0..TUNNELS {
        let mut client = tunnel(&rig, &account).await;
        within("the first bytes", client.reader.exactly(1)).await.unwrap();
        clients.push(client);
    }
    let each = rig.gate.resident_kib().saturating_sub(before) / TUNNELS;
    assert!(each <= 256, "{each} KiB each");
    let figures = json!({
        "command": "cargo test --test it a_stalled_tunnel_holds_little_memory",
        "tunnels whose client does not read": TUNNELS,
        "KiB of resident memory each": each,
    });
    report::write("tunnel-memory", &figures);
}

async fn tunnel(rig: &Rig, account: &Account) -> Http1 {
    let authorization = account.authorization();
    let mut client = rig.http1().await;
    let lines = [
        ("Authorization", authorization.as_str()),
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", "portforward.k8s.io"),
    ];
    let response = client.request("POST", TARGET, &lines, b"").await;
    assert_eq!(response.status, 101, "{}", response.text());
    client
}

/// A mebibyte of bytes that look random and depend on `block` alone.
fn noise(block: u64) -> Vec<u8> {
    let mut state = block.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(MEBIBYTE);
    while bytes.len() < MEBIBYTE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}
