//! Connections that stop being HTTP: exec, attach, cp and port-forward, over WebSocket or SPDY. Only a 101 from the
//! cluster opens a tunnel; until then nothing but the request's head goes upstream. When its stream is cut, a tunnel ends
//! on both sides within [`FRAME_PATIENCE`] and [`GOODBYE_PATIENCE`], whatever either of them does.

mod sides;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, copy_bidirectional_with_sizes};
use tokio::time::timeout;

use super::body::GateBody;
use super::websocket::{ErrorChannel, Frames, Goodbye};
use super::{Client, ProxyError};
use crate::streams::{Cut, Guard, StreamKind};
use crate::telemetry::RequestRecord;
use crate::upstream::{Answerer, Class, ResponseBody, Upgrade, Upstream, UpstreamRequest, sanitize_response};
use sides::{ClientSide, ClusterSide, Ending};

/// Bytes in flight each way of a tunnel.
const BUFFER_BYTES: usize = 16 << 10;
/// How long a tunnel that is cut waits for the end of a frame of the cluster's.
const FRAME_PATIENCE: Duration = Duration::from_millis(500);
/// How long it then tries to get rid of what it has to say.
const GOODBYE_PATIENCE: Duration = Duration::from_millis(400);
/// For how long what a client still sends is read after its end. A socket that is closed before that resets the
/// connection, and the client may lose what it was told.
const LINGER: Duration = Duration::from_secs(1);

/// A tunnel whose cluster side is open.
pub(super) struct Tunnel {
    response: Response<GateBody>,
    protocol: Protocol,
    client: OnUpgrade,
    upstream: OnUpgrade,
}

/// What is spoken in a tunnel, as far as it matters at its end.
#[derive(Clone, Copy)]
enum Protocol {
    /// Has no word for the reason of an end.
    Spdy,
    WebSocket(Option<ErrorChannel>),
}

/// What a cluster made of a request to upgrade.
pub(super) enum UpgradeAnswer {
    Tunnel(Tunnel),
    /// An error, to be relayed; the connection it came on is not used again.
    Refused(Response<ResponseBody>),
}

/// Asks the cluster to upgrade, which it has to answer within `limit`.
pub(super) async fn open(
    upstream: &Upstream,
    request: Box<UpstreamRequest>,
    answerer: Answerer,
    upgrade: Upgrade,
    client: OnUpgrade,
    limit: Duration,
) -> Result<UpgradeAnswer, ProxyError> {
    let answer = timeout(limit, upstream.send(request, Class::Tunnel, answerer)).await;
    let mut response = answer.map_err(|_| ProxyError::UpgradeTimeout)??;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        return Ok(UpgradeAnswer::Refused(response));
    }
    // Anything below 400 that is not the switch that was asked for is neither: a redirect least of all, which would
    // send the client, or our credential, to a place of the cluster's choice (CVE-2018-1002105, CVE-2022-3172).
    if status != StatusCode::SWITCHING_PROTOCOLS || !upgrade.is_accepted_by(response.headers()) {
        return Err(ProxyError::UpgradeMismatch);
    }
    let upstream = hyper::upgrade::on(&mut response);
    let protocol = Protocol::of(upgrade, response.headers());
    let mut headers = std::mem::take(response.headers_mut());
    sanitize_response(&mut headers);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(upgrade.token()));
    let mut response = Response::new(GateBody::Full(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    Ok(UpgradeAnswer::Tunnel(Tunnel { response, protocol, client, upstream }))
}

impl Tunnel {
    /// The 101 for the client. From the moment it is sent, bytes are copied both ways until both sides have ended.
    pub(super) fn start(
        self,
        client: Arc<Client>,
        mut record: RequestRecord,
        stream: Guard,
    ) -> Response<GateBody> {
        client.messages.becomes_tunnel();
        record.set_code(StatusCode::SWITCHING_PROTOCOLS);
        record.mark_upgraded();
        tokio::spawn(async move {
            // Its place among the connections, until it is gone.
            let _client = client;
            run(self.client, self.upstream, self.protocol, stream, record).await;
        });
        self.response
    }
}

impl Protocol {
    fn of(upgrade: Upgrade, answered: &HeaderMap) -> Self {
        let subprotocol = answered.get(SEC_WEBSOCKET_PROTOCOL);
        match upgrade {
            Upgrade::Spdy => Self::Spdy,
            Upgrade::WebSocket => Self::WebSocket(subprotocol.and_then(|it| ErrorChannel::of(it.as_bytes()))),
        }
    }

    fn frames(self) -> Option<Frames> {
        matches!(self, Self::WebSocket(_)).then(Frames::new)
    }

    /// What the client is told when its stream is cut.
    fn goodbye(self, stream: &Guard, cut: Cut) -> Option<Goodbye> {
        let Self::WebSocket(channel) = self else { return None };
        // Channels of a port-forward go by the same names and are pairs of data and error, one a port.
        let is_command = matches!(stream.entry().kind(), StreamKind::Exec | StreamKind::Attach);
        Some(Goodbye::new(channel.filter(|_| is_command), cut.status(), &stream.explain(cut)))
    }
}

async fn run(
    client: OnUpgrade,
    upstream: OnUpgrade,
    protocol: Protocol,
    stream: Guard,
    mut record: RequestRecord,
) {
    let (client, upstream) = match tokio::try_join!(client, upstream) {
        Ok(sides) => sides,
        Err(error) => {
            tracing::debug!(%error, "a tunnel was not opened");
            record.set_reason("tunnel_not_opened");
            return;
        }
    };
    let left = copy(client, upstream, protocol, stream, &mut record).await;
    drop(record);
    if let Some(client) = left {
        linger(client).await;
    }
}

/// Copies until both sides have ended, or the stream is cut; then the client's connection is given back if its end was
/// sent. A side that ends its half is ended towards the other; the other half goes on (port-forward relies on it).
async fn copy(
    client: Upgraded,
    upstream: Upgraded,
    protocol: Protocol,
    mut stream: Guard,
    record: &mut RequestRecord,
) -> Option<TokioIo<Upgraded>> {
    let ending = Ending::of(&stream);
    let mut client = ClientSide::new(TokioIo::new(client), &ending);
    let mut upstream = ClusterSide::new(TokioIo::new(upstream), &ending, protocol.frames());
    let (copied, cut) = {
        let both = copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES);
        let mut both = pin!(both);
        tokio::select! {
            biased;
            cut = stream.cut() => {
                ending.begin(protocol.goodbye(&stream, cut));
                let mut copied = timeout(FRAME_PATIENCE, &mut both).await.ok();
                if copied.is_none() {
                    ending.hurry();
                    copied = timeout(GOODBYE_PATIENCE, both).await.ok();
                }
                (copied, Some(cut))
            }
            copied = &mut both => (Some(copied), None),
        }
    };
    record.add_bytes_received(upstream.written);
    record.add_bytes_sent(upstream.read);
    match (cut, copied) {
        (Some(cut), copied) => {
            record.set_reason(cut.reason.as_str());
            copied.is_some_and(|copied| copied.is_ok()).then(|| client.into_inner())
        }
        (None, Some(Err(error))) if !is_departure(&error) => {
            tracing::debug!(%error, "a tunnel broke off");
            record.set_reason("tunnel_broke_off");
            None
        }
        (None, _) => None,
    }
}

/// Reads what the client had on its way when its side was ended.
async fn linger(mut client: impl AsyncRead + Unpin) {
    let _ = timeout(LINGER, tokio::io::copy(&mut client, &mut tokio::io::sink())).await;
}

/// Whether a side has just gone, as kubectl does at the end of a command: without a goodbye on TLS or TCP.
fn is_departure(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
