//! Connections that stop being HTTP: exec, attach, cp and port-forward, over WebSocket or SPDY. Only a 101 from the
//! cluster opens a tunnel; until then nothing but the request's head goes upstream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use super::body::GateBody;
use super::counted::Counted;
use super::{Client, ProxyError};
use crate::streams::Guard;
use crate::telemetry::RequestRecord;
use crate::upstream::{Class, ResponseBody, Upgrade, Upstream, UpstreamRequest, sanitize_response};

/// How long a cluster may take to answer an upgrade.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes in flight each way of a tunnel.
const BUFFER_BYTES: usize = 16 << 10;

/// A tunnel whose cluster side is open.
pub(super) struct Tunnel {
    response: Response<GateBody>,
    client: OnUpgrade,
    upstream: OnUpgrade,
}

/// What a cluster made of a request to upgrade.
pub(super) enum UpgradeAnswer {
    Tunnel(Tunnel),
    /// An error, to be relayed; the connection it came on is not used again.
    Refused(Response<ResponseBody>),
}

/// Asks the cluster to upgrade.
pub(super) async fn open(
    upstream: &Upstream,
    request: UpstreamRequest,
    upgrade: Upgrade,
    client: OnUpgrade,
) -> Result<UpgradeAnswer, ProxyError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, upstream.send(request, Class::Tunnel)).await;
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
    let mut headers = std::mem::take(response.headers_mut());
    sanitize_response(&mut headers);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(upgrade.token()));
    let mut response = Response::new(GateBody::Full(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    Ok(UpgradeAnswer::Tunnel(Tunnel { response, client, upstream }))
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
        tokio::spawn(run(self.client, self.upstream, Held { _client: client, _stream: stream, record }));
        self.response
    }
}

/// What lives as long as the tunnel: its place among the connections, its place in the count, its record.
struct Held {
    _client: Arc<Client>,
    _stream: Guard,
    record: RequestRecord,
}

async fn run(client: OnUpgrade, upstream: OnUpgrade, mut held: Held) {
    let (client, upstream) = match tokio::try_join!(client, upstream) {
        Ok(sides) => sides,
        Err(error) => {
            tracing::debug!(%error, "a tunnel was not opened");
            held.record.set_reason("tunnel_not_opened");
            return;
        }
    };
    copy(client, upstream, &mut held.record).await;
}

/// A side that ends its half is ended towards the other; the other half goes on (port-forward relies on it).
async fn copy(client: Upgraded, upstream: Upgraded, record: &mut RequestRecord) {
    let (mut client, mut upstream) = (TokioIo::new(client), Counted::new(TokioIo::new(upstream)));
    let copied = copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES).await;
    record.add_bytes_received(upstream.written);
    record.add_bytes_sent(upstream.read);
    if let Err(error) = copied
        && !is_departure(&error)
    {
        tracing::debug!(%error, "a tunnel broke off");
        record.set_reason("tunnel_broke_off");
    }
}

/// Whether a side has just gone, as kubectl does at the end of a command: without a goodbye on TLS or TCP.
fn is_departure(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
