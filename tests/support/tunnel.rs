//! Tunnels through a gate to a stub, each with a token of its own that a test can end.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Notify;

use super::gate::Settings;
use super::message::Broken;
use super::rig::{Account, Rig};
use super::stub::{Answer, Stub};
use super::wire::Http1;
use super::within;

/// A gate before a stub, and a user whose tokens come and go.
pub(crate) struct Scene {
    pub(crate) rig: Rig,
    pub(crate) account: Account,
    /// Where the tunnels end.
    stub: Stub,
}

/// An open tunnel with a token of its own.
pub(crate) struct Tunnel<'s> {
    rig: &'s Rig,
    stub: &'s Stub,
    pub(crate) client: Option<Http1>,
    pub(crate) token: String,
    /// Lets the server say the rest.
    pub(crate) go_on: Arc<Notify>,
    /// The connection at the stub that became this tunnel.
    connection: usize,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let settings = Settings { log_level: "info", ..Settings::default() };
        Self::of(Rig::with(&["h2", "http/1.1"], &settings).await).await
    }

    /// With a gate of the test's own.
    pub(crate) async fn of(rig: Rig) -> Self {
        let stub = rig.stub.clone();
        Self::to(rig, stub).await
    }

    /// With tunnels to another stub than the default cluster's.
    pub(crate) async fn to(rig: Rig, stub: Stub) -> Self {
        let account = rig.account("alice", &["dev"]).await;
        Self { rig, account, stub }
    }

    /// The server switches, says `first`, and `then` when it is told to go on.
    pub(crate) fn say(&self, head: String, first: &[u8], then: &[u8]) -> Arc<Notify> {
        let go_on = Arc::new(Notify::new());
        let (told, first, then) = (Arc::clone(&go_on), first.to_owned(), then.to_owned());
        self.stub.answer_with(move |_| {
            let (head, first, then, told) = (head.clone(), first.clone(), then.clone(), Arc::clone(&told));
            Answer::http1(async move |mut connection| {
                connection.send(&[head.as_bytes(), &first].concat()).await;
                if !then.is_empty() {
                    told.notified().await;
                    connection.send(&then).await;
                }
                connection.drain().await;
            })
        });
        go_on
    }

    /// A WebSocket on which the server has said `first`, and the client has heard it.
    pub(crate) async fn websocket(
        &self,
        target: &str,
        subprotocol: &str,
        first: &[u8],
        then: &[u8],
    ) -> Tunnel<'_> {
        let go_on = self.say(switching("websocket", subprotocol), first, then);
        let mut tunnel = self.tunnel(target, "websocket", subprotocol).await;
        tunnel.go_on = go_on;
        tunnel.heard(first).await;
        tunnel
    }

    pub(crate) async fn spdy(&self, target: &str, first: &[u8]) -> Tunnel<'_> {
        self.say(switching("SPDY/3.1", ""), first, b"");
        let mut tunnel = self.tunnel(target, "SPDY/3.1", "").await;
        tunnel.heard(first).await;
        tunnel
    }

    pub(crate) async fn tunnel(&self, target: &str, upgrade: &str, subprotocol: &str) -> Tunnel<'_> {
        let (name, bearer) = self.rig.token(&self.account.bearer, 0).await;
        self.open(&name, &bearer, target, upgrade, subprotocol).await
    }

    pub(crate) async fn open(
        &self,
        name: &str,
        bearer: &str,
        target: &str,
        upgrade: &str,
        subprotocol: &str,
    ) -> Tunnel<'_> {
        let authorization = format!("Bearer {bearer}");
        let mut lines =
            vec![("Authorization", authorization.as_str()), ("Connection", "Upgrade"), ("Upgrade", upgrade)];
        if !subprotocol.is_empty() {
            lines.push(("Sec-WebSocket-Protocol", subprotocol));
        }
        let mut client = self.rig.http1().await;
        let response = client.request("GET", target, &lines, b"").await;
        assert_eq!(response.status, 101, "{}", response.text());
        let (rig, stub, client, go_on) = (&self.rig, &self.stub, Some(client), Arc::default());
        let connection = stub.seen().last().unwrap().connection;
        Tunnel { rig, stub, client, token: name.to_owned(), go_on, connection }
    }
}

impl Tunnel<'_> {
    /// Deletes the token. When that is acknowledged, its streams have been told.
    pub(crate) async fn delete(&self) {
        assert_eq!(self.asked(self.rig.admin(), "DELETE", "/v3/tokens/TOKEN", &Value::Null).await, 204);
    }

    /// What is answered to `caller`.
    pub(crate) async fn asked(&self, caller: &str, method: &str, path: &str, body: &Value) -> u16 {
        let path = path.replace("TOKEN", &self.token);
        self.rig.api(method, &path, caller, body).await.status
    }

    pub(crate) async fn heard(&mut self, first: &[u8]) {
        let reader = &mut self.client.as_mut().unwrap().reader;
        let heard = within("the server's first bytes", reader.exactly(first.len())).await;
        assert!(heard.unwrap() == first);
    }

    /// What the client hears from here, and how it ends.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, Broken) {
        within("the end of the tunnel", self.client.as_mut().unwrap().reader.rest()).await
    }

    pub(crate) async fn closed_upstream(&self) {
        let is_closed = |stub: &Stub| stub.connections()[self.connection].is_closed();
        self.stub.until("the end of the upstream side", is_closed).await;
    }

    /// The Status of its token's deletion.
    pub(crate) fn status(&self) -> String {
        status(401, "Unauthorized", &format!("token {} was deleted", self.token))
    }

    pub(crate) fn policy_violation(&self) -> Vec<u8> {
        close(&format!("token {} was deleted", self.token))
    }
}

/// A Status as the gate writes it.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> String {
    format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\
         \"message\":\"{message}\",\"reason\":\"{reason}\",\"code\":{code}}}"
    )
}

/// What the end of a command is told on its error channel, and the close that makes client-go show it.
pub(crate) fn last_words(status: &str) -> Vec<u8> {
    [frame(0x82, &[b"\x03", status.as_bytes()].concat()), frame(0x88, &1000_u16.to_be_bytes())].concat()
}

/// The close frame for who has done something wrong.
pub(crate) fn close(reason: &str) -> Vec<u8> {
    close_with(1008, reason)
}

pub(crate) fn close_with(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

pub(crate) fn switching(protocol: &str, subprotocol: &str) -> String {
    let subprotocol = match subprotocol {
        "" => String::new(),
        some => format!("Sec-WebSocket-Protocol: {some}\r\n"),
    };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{subprotocol}\r\n"
    )
}

/// A frame of a server.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(length.try_into().unwrap()),
        length @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}
