//! A client that opens a connection, closes it, and opens the next.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates;
use crate::origin::KILOBYTE;
use crate::part;

/// The word that makes this program the client.
pub(crate) const COMMAND: &str = "handshake-client";

/// How client and server agree on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Group {
    X25519,
    /// Post-quantum. The classic one is offered beside it, as by everybody who offers it.
    X25519MLKEM768,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) address: SocketAddr,
    pub(crate) ca_pem: String,
    pub(crate) group: Group,
    pub(crate) is_resumed: bool,
    /// With it comes a GET on each connection.
    pub(crate) authorization: Option<String>,
    pub(crate) time: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// As negotiated.
    pub(crate) group: Group,
    pub(crate) handshakes: u32,
    /// Those that were not a client's first.
    pub(crate) resumable: u32,
    pub(crate) resumed: u32,
    pub(crate) elapsed: Duration,
}

/// Clients at the same time, each with one connection and with tickets of its own.
const AT_ONCE: u32 = 8;
/// For a connection from its beginning to its end.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn run(arguments: &[String]) {
    part::answer(arguments, async |question: Question| {
        let begun = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..AT_ONCE {
            clients.spawn(client(question.clone(), begun + question.time));
        }
        let seen = clients.join_all().await;
        let sum = |of: fn(&(u32, u32, Group)) -> u32| seen.iter().map(of).sum();
        let handshakes: u32 = sum(|(handshakes, ..)| *handshakes);
        Seen {
            group: seen[0].2,
            handshakes,
            resumable: handshakes - AT_ONCE,
            resumed: sum(|(_, resumed, _)| *resumed),
            elapsed: begun.elapsed(),
        }
    });
}

/// One connection after the other: how many, how many of them were resumed, and with which key exchange.
async fn client(question: Question, end: Instant) -> (u32, u32, Group) {
    let connector = TlsConnector::from(Arc::new(configuration(&question)));
    let (mut handshakes, mut resumed) = (0, 0);
    loop {
        let connection = connection(&question, &connector);
        let (kind, group) = tokio::time::timeout(PATIENCE, connection).await.unwrap().unwrap();
        // An asking back would cost another exchange of messages.
        assert_ne!(kind, HandshakeKind::FullWithHelloRetryRequest);
        handshakes += 1;
        resumed += u32::from(kind == HandshakeKind::Resumed);
        if Instant::now() >= end {
            return (handshakes, resumed, group);
        }
    }
}

async fn connection(question: &Question, connector: &TlsConnector) -> io::Result<(HandshakeKind, Group)> {
    let stream = TcpStream::connect(question.address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, stream).await?;
    let tls = stream.get_ref().1;
    let (kind, group) = (tls.handshake_kind().unwrap(), tls.negotiated_key_exchange_group().unwrap().name());
    let group = if group == kx_group::X25519.name() { Group::X25519 } else { Group::X25519MLKEM768 };
    if let Some(authorization) = &question.authorization {
        get(&mut stream, authorization).await?;
    }
    // It has done its part when it ends the connection as well. It may be gone already.
    let _ = stream.shutdown().await;
    let _ = stream.read(&mut [0; 64]).await;
    Ok((kind, group))
}

async fn get(stream: &mut TlsStream<TcpStream>, authorization: &str) -> io::Result<()> {
    let request = format!(
        "GET {KILOBYTE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

fn configuration(question: &Question) -> ClientConfig {
    let groups: Vec<&'static dyn SupportedKxGroup> = match question.group {
        Group::X25519 => vec![kx_group::X25519],
        Group::X25519MLKEM768 => vec![kx_group::X25519MLKEM768, kx_group::X25519],
    };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(question.ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = CryptoProvider { kx_groups: groups, ..certificates::provider().as_ref().clone() };
    let mut configuration = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !question.is_resumed {
        configuration.resumption = Resumption::disabled();
    }
    configuration
}
