//! The floor: takes TLS off and puts it on again, and looks at nothing.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates;
use crate::process::Place;

/// The word that makes this program the relay.
pub(crate) const COMMAND: &str = "relay";

/// How it is started.
pub(crate) fn command(place: &Place, listen: SocketAddr, origin: SocketAddr, protocol: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([COMMAND, &listen.to_string(), &origin.to_string(), protocol]).arg(place.directory());
    command
}

/// Relays until it is killed.
pub(crate) fn run(arguments: &[String]) {
    let [listen, origin, protocol, directory] = arguments else { panic!("relay: {arguments:?}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(relay(listen.parse().unwrap(), origin.parse().unwrap(), protocol, directory));
}

/// Takes TLS of a server that speaks `protocols`, with the certificate in `directory`.
pub(crate) fn acceptor(directory: &str, protocols: &[&str]) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(format!("{directory}/server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{directory}/server.key")).unwrap();
    let mut server = rustls::ServerConfig::builder_with_provider(certificates::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    server.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(server))
}

async fn relay(listen: SocketAddr, origin: SocketAddr, protocol: &str, directory: &str) {
    let ca = std::fs::read(format!("{directory}/ca.crt")).unwrap();
    let acceptor = acceptor(directory, &[protocol]);
    let connector = TlsConnector::from(certificates::client(&ca, &[protocol]));
    let listener = TcpListener::bind(listen).await.unwrap();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (acceptor, connector) = (acceptor.clone(), connector.clone());
        tokio::spawn(async move {
            client.set_nodelay(true).ok()?;
            let mut client = acceptor.accept(client).await.ok()?;
            let tcp = TcpStream::connect(origin).await.ok()?;
            tcp.set_nodelay(true).ok()?;
            let name = ServerName::try_from("localhost").ok()?;
            let mut server = connector.connect(name, tcp).await.ok()?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()
        });
    }
}
