//! The proxies that are measured beside each other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::load::{Protocol, Target};
use crate::origin::Origin;
use crate::process::{PROXY, Place, Running, free_address};
use crate::product::Product;
use crate::relay;

/// A proxy by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Portcullis,
    Relay,
    Nginx,
    Haproxy,
    Envoy,
    Go,
}

/// One that runs.
pub(crate) struct Proxy {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
    pub(crate) process: Running,
    /// What a client presents to it.
    pub(crate) authorization: String,
}

impl Proxy {
    pub(crate) fn target(&self) -> Target<'_> {
        Target { name: self.peer.name(), address: self.address, authorization: &self.authorization }
    }
}

impl Peer {
    pub(crate) const ALL: [Self; 6] =
        [Self::Portcullis, Self::Relay, Self::Nginx, Self::Haproxy, Self::Envoy, Self::Go];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Portcullis => "portcullis",
            Self::Relay => "TLS relay",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Go => "Go ReverseProxy",
        }
    }

    /// Its file; nothing for what is a part of the bench.
    pub(crate) fn program(self, place: &Place) -> Option<PathBuf> {
        let installed = match self {
            Self::Portcullis => return Some(env!("CARGO_BIN_EXE_portcullis").into()),
            Self::Relay => return None,
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Go => "reverse-proxy",
        };
        Some(place.program(installed))
    }

    /// Whether it speaks these protocols to clients and to the origin.
    pub(crate) fn speaks(self, client: Protocol, upstream: Protocol) -> bool {
        match self {
            Self::Relay => client == upstream,
            // Of this line no proxying over HTTP/2.
            Self::Nginx => upstream == Protocol::Http1,
            _ => true,
        }
    }

    /// Every one that can relay between these protocols, ourselves first.
    pub(crate) fn start_all(
        place: &Place,
        origin: &Origin,
        client: Protocol,
        upstream: Protocol,
    ) -> Vec<Proxy> {
        let able = Self::ALL.into_iter().filter(|peer| peer.speaks(client, upstream));
        able.map(|peer| peer.start(place, origin, upstream)).collect()
    }

    pub(crate) fn start(self, place: &Place, origin: &Origin, upstream: Protocol) -> Proxy {
        let at = if upstream == Protocol::Http2 { origin.http2 } else { origin.http1 };
        self.start_before(place, at, upstream)
    }

    /// Before whatever listens at `at`.
    pub(crate) fn start_before(self, place: &Place, at: SocketAddr, upstream: Protocol) -> Proxy {
        if self == Self::Portcullis {
            return Product::start(place, at).into_proxy();
        }
        let address = free_address();
        let command = self.command(place, address, at, upstream);
        let process = Running::start(place, PROXY, &command, address);
        Proxy { peer: self, address, process, authorization: "Bearer token-bench:of-the-client".to_owned() }
    }

    fn command(self, place: &Place, listen: SocketAddr, origin: SocketAddr, upstream: Protocol) -> Command {
        let (listen_text, origin_text) = (listen.to_string(), origin.to_string());
        let file = |name: &str| place.directory().join(name).to_str().unwrap().to_owned();
        let configuration = |template: &str, more: &[(&str, &str)]| {
            let common = [("LISTEN", listen_text.as_str()), ("ORIGIN", origin_text.as_str())];
            let values: Vec<_> = common.iter().chain(more).copied().collect();
            place.configuration(template, &format!("{}-{template}", listen.port()), &values)
        };
        match self {
            Self::Portcullis => unreachable!("has a start of its own"),
            Self::Relay => relay::command(place, listen, origin, upstream.alpn()),
            Self::Nginx => {
                let mut command = place.command("nginx");
                command.arg("-c").arg(configuration("nginx.conf", &[])).arg("-p").arg(place.directory());
                command
            }
            Self::Haproxy => {
                let mut command = place.command("haproxy");
                command.args(["-db", "-f"]).arg(configuration("haproxy.cfg", &[("ALPN", upstream.alpn())]));
                command
            }
            Self::Envoy => {
                let (port, origin_port) = (listen.port().to_string(), origin.port().to_string());
                let options = match upstream {
                    Protocol::Http1 => "http_protocol_options",
                    Protocol::Http2 => "http2_protocol_options",
                };
                let values = [
                    ("PORT", port.as_str()),
                    ("ORIGIN_PORT", origin_port.as_str()),
                    ("PROTOCOL_OPTIONS", options),
                    ("ALPN", upstream.alpn()),
                ];
                let mut command = place.command("envoy");
                command.args(["--concurrency", "1", "--log-level", "error", "--disable-hot-restart", "-c"]);
                command.arg(configuration("envoy.yaml", &values));
                command
            }
            Self::Go => {
                let mut command = place.command("reverse-proxy");
                command.args([
                    "-listen",
                    &listen_text,
                    "-origin",
                    &format!("https://127.0.0.1:{}", origin.port()),
                ]);
                command.args(["-certificate", &file("server.crt"), "-key", &file("server.key")]);
                let upstream = if upstream == Protocol::Http2 { "h2" } else { "h1" };
                command.args(["-ca", &file("ca.crt"), "-upstream", upstream]);
                command.env("GOMAXPROCS", "1").env("TOKEN", "token-bench:of-the-client");
                command.env("CREDENTIAL", place.credential());
                command
            }
        }
    }
}
