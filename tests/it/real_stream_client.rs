//! One stream of any kind, opened by hand, and what its client has to see at its end.

use std::fmt;
use std::time::Duration;

use h2::RecvStream;

use crate::support::message::{Broken, text};
use crate::support::wire::{Endpoint, Http1, Http2};
use crate::support::within;

/// What a stream carries, and by which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Watch { protobuf: bool, http2: bool },
    Log { http2: bool },
    Exec,
    PortForwardWebSocket,
    PortForwardSpdy,
}

/// An open stream from which something has come.
pub(crate) struct Stream {
    kind: Kind,
    way: Way,
}

enum Way {
    /// With the connection, which ends with its last user.
    Http2(RecvStream, #[expect(dead_code, reason = "keeps the connection")] Http2),
    Http1(Box<Http1>),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let http = |http2: &bool| if *http2 { "HTTP/2" } else { "HTTP/1.1" };
        match self {
            Self::Watch { protobuf: false, http2 } => write!(f, "watch, JSON, {}", http(http2)),
            Self::Watch { protobuf: true, http2 } => write!(f, "watch, protobuf, {}", http(http2)),
            Self::Log { http2 } => write!(f, "log, {}", http(http2)),
            Self::Exec => f.write_str("exec, WebSocket"),
            Self::PortForwardWebSocket => f.write_str("port-forward, WebSocket"),
            Self::PortForwardSpdy => f.write_str("port-forward, SPDY"),
        }
    }
}

impl Stream {
    /// Opens it in `namespace`, where a pod `web` runs, and waits for the first bytes from the cluster.
    pub(crate) async fn open(
        kind: Kind,
        endpoint: &Endpoint,
        http2: &Http2,
        namespace: &str,
        bearer: &str,
    ) -> Self {
        let authorization = format!("Bearer {bearer}");
        let target = kind.target(namespace);
        let mut lines = kind.lines();
        lines.push(("authorization", &authorization));
        let way = if kind.is_http2() {
            let (response, _) = http2.start("GET", &target, &lines, true).await.unwrap();
            let response = within("the head of a stream", response).await.unwrap();
            assert_eq!(response.status(), 200, "{kind}");
            let mut body = response.into_body();
            let first = within("the first bytes of a stream", body.data()).await.unwrap().unwrap();
            body.flow_control().release_capacity(first.len()).unwrap();
            Way::Http2(body, http2.clone())
        } else {
            let mut client = Http1::connect(endpoint).await;
            let method = if kind == Kind::PortForwardSpdy { "POST" } else { "GET" };
            let mut head = format!("{method} {target} HTTP/1.1\r\nHost: gate.example\r\n");
            for (name, value) in lines {
                head += &format!("{name}: {value}\r\n");
            }
            client.send(head + "\r\n").await;
            let head = within("the head of a stream", client.reader.head()).await.unwrap().unwrap();
            let expected = if kind.is_tunnel() { " 101 " } else { " 200 " };
            assert!(head.first_line.contains(expected), "{kind}: {head:?}");
            kind.first_bytes(&mut client).await;
            Way::Http1(Box::new(client))
        };
        Self { kind, way }
    }

    /// Waits for its end, which has to be one in order, and to say why where the protocol can.
    pub(crate) async fn end(&mut self, token: &str) {
        let said = text(&within_minutes(self.rest()).await);
        let tells_why = !matches!(self.kind, Kind::Log { .. } | Kind::PortForwardSpdy);
        let end = said.get(said.len().saturating_sub(300)..);
        assert!(said.contains(token) == tells_why, "{} with {token}: {end:?}", self.kind);
    }

    async fn rest(&mut self) -> Vec<u8> {
        match &mut self.way {
            Way::Http2(body, _) => {
                let mut said = Vec::new();
                while let Some(data) = body.data().await {
                    let data = data.expect("END_STREAM, not a reset");
                    body.flow_control().release_capacity(data.len()).unwrap();
                    said.extend_from_slice(&data);
                }
                said
            }
            Way::Http1(client) if self.kind.is_tunnel() => {
                let (said, end) = client.reader.rest().await;
                assert_eq!(end, Broken::Closed, "{}", self.kind);
                said
            }
            Way::Http1(client) => client.reader.chunked().await.expect("a last chunk").0,
        }
    }
}

/// A stream is open until all others are, and then until it is its token's turn.
async fn within_minutes<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(10), future).await.expect("the stream ends")
}

impl Kind {
    fn is_http2(self) -> bool {
        matches!(self, Self::Watch { http2: true, .. } | Self::Log { http2: true })
    }

    fn is_tunnel(self) -> bool {
        matches!(self, Self::Exec | Self::PortForwardWebSocket | Self::PortForwardSpdy)
    }

    fn target(self, namespace: &str) -> String {
        let base = format!("/api/v1/namespaces/{namespace}");
        match self {
            Self::Watch { .. } => format!("{base}/configmaps?watch=true"),
            Self::Log { .. } => format!("{base}/pods/web/log?follow=true"),
            Self::Exec => format!("{base}/pods/web/exec?command=cat&stdin=true&stdout=true"),
            Self::PortForwardWebSocket | Self::PortForwardSpdy => {
                format!("{base}/pods/web/portforward?ports=8080")
            }
        }
    }

    fn lines(self) -> Vec<(&'static str, &'static str)> {
        const WEBSOCKET: [(&str, &str); 4] = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ];
        let mut lines = match self {
            Self::Exec | Self::PortForwardWebSocket => WEBSOCKET.to_vec(),
            Self::PortForwardSpdy => vec![("connection", "Upgrade"), ("upgrade", "SPDY/3.1")],
            Self::Watch { .. } | Self::Log { .. } => Vec::new(),
        };
        lines.extend(match self {
            Self::Watch { protobuf: true, .. } => {
                Some(("accept", "application/vnd.kubernetes.protobuf;stream=watch"))
            }
            Self::Watch { protobuf: false, .. } => Some(("accept", "application/json")),
            Self::Log { .. } => None,
            Self::Exec => Some(("sec-websocket-protocol", "v5.channel.k8s.io")),
            Self::PortForwardWebSocket => Some(("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io")),
            Self::PortForwardSpdy => Some(("x-stream-protocol-version", "portforward.k8s.io")),
        });
        lines
    }

    /// Waits until the stream is known to go all the way.
    async fn first_bytes(self, client: &mut Http1) {
        match self {
            // The first chunk's size.
            Self::Watch { .. } | Self::Log { .. } => {
                let first = within("the first bytes of a stream", client.reader.some()).await;
                client.reader.buffer = first;
            }
            Self::Exec => {
                // "hello" on standard input, masked with zeros, comes back on standard output.
                client.send(b"\x82\x86\0\0\0\0\0hello").await;
                let mut heard = Vec::new();
                while !heard.ends_with(b"\x01hello") {
                    let more = within("the echo of cat", client.reader.some()).await;
                    assert!(!more.is_empty(), "exec ended with {:?}", text(&heard));
                    heard.extend(more);
                }
            }
            // That the apiserver has switched says that the kubelet has.
            Self::PortForwardWebSocket | Self::PortForwardSpdy => {}
        }
    }
}
