//! The ways to the apiserver that are compared.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::client::Client;
use super::upstream::{ITEMS, LIST, OBJECT, Upstream};
use crate::load::{Protocol, Target};
use crate::peers::{Peer, Proxy};
use crate::process::Place;

/// Where the direct one stands among all.
pub(super) const DIRECT: usize = 1;

/// The proxies that can carry a credential for the cluster and a user to impersonate, or what the client presents.
const PEERS: [Peer; 3] = [Peer::Relay, Peer::Haproxy, Peer::Go];

/// One of them.
pub(super) struct Way {
    address: SocketAddr,
    authorization: String,
    /// None for the direct one.
    proxy: Option<Proxy>,
}

impl Way {
    /// All of them, ourselves first.
    ///
    /// # Panics
    /// When one leads to something else than the others.
    pub(super) fn all(place: &Place, upstream: &Upstream, protocol: Protocol) -> Vec<Self> {
        let mut ways =
            vec![Self::through(Peer::Portcullis, place, upstream, protocol), Self::direct(upstream)];
        ways.extend(PEERS.into_iter().map(|peer| Self::through(peer, place, upstream, protocol)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for way in &ways {
            runtime.block_on(way.check(place, protocol));
        }
        ways
    }

    pub(super) fn direct(upstream: &Upstream) -> Self {
        Self { address: upstream.address, authorization: upstream.authorization.clone(), proxy: None }
    }

    /// All speak HTTP/2 to the apiserver; the relay speaks what the client speaks.
    fn through(peer: Peer, place: &Place, upstream: &Upstream, protocol: Protocol) -> Self {
        let spoken = if peer == Peer::Relay { protocol } else { Protocol::Http2 };
        let proxy = peer.start_before(place, upstream.address, spoken);
        let authorization =
            if peer == Peer::Relay { &upstream.authorization } else { &proxy.authorization }.clone();
        Self { address: proxy.address, authorization, proxy: Some(proxy) }
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target { name: self.name(), address: self.address, authorization: &self.authorization }
    }

    /// Of the proxy so far.
    pub(super) fn cpu(&self) -> Option<Duration> {
        self.proxy.as_ref().map(|proxy| proxy.process.cpu())
    }

    fn name(&self) -> &'static str {
        self.proxy.as_ref().map_or("direct", |proxy| proxy.peer.name())
    }

    async fn check(&self, place: &Place, protocol: Protocol) {
        let mut client = Client::connect(place, &self.target(), protocol).await;
        let object = client.ask(Method::GET, OBJECT, String::new()).await;
        let object: Value = serde_json::from_slice(&object).unwrap();
        assert_eq!(object["kind"], "ConfigMap", "{}", self.name());
        let list = client.ask(Method::GET, LIST, String::new()).await;
        assert!((1_100_000..1_300_000).contains(&list.len()), "{}: {} bytes", self.name(), list.len());
        let list: Value = serde_json::from_slice(&list).unwrap();
        // Kubernetes puts one of its own into every namespace.
        let items = list["items"].as_array().map_or(0, Vec::len);
        assert!(items == ITEMS || items == ITEMS + 1, "{}: {items} items", self.name());
    }
}

pub(super) fn names(ways: &[Way]) -> Vec<&'static str> {
    ways.iter().map(Way::name).collect()
}
