//! The walk of one request to a cluster.

mod admission;
mod answer;
mod body;
mod caller;
mod client;
mod error;
mod exchange;
mod impersonation;
mod lottery;
mod message;
mod route;
mod stream;
mod tunnel;
mod warning;
mod websocket;

use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;

pub use admission::{Admission, Admitted, Full, Seat};
use body::Live;
pub use body::{BodyError, GateBody};
pub use client::{Client, MessageCheck};
pub use error::ProxyError;
pub use lottery::Lottery;
use message::check;
pub use message::check_form;
pub use route::Clusters;

use crate::authn::{Authenticator, MetricsReader, ServiceAccounts};
use crate::authz::Impersonation;
use crate::config::{Limits, OwnLimits};
use crate::kube::RequestInfo;
use crate::streams::{Guard, StreamKind};
use crate::telemetry::{EXPOSITION_TYPE, RequestRecord, Telemetry};
use crate::upstream::{AskedImpersonation, RequestBody, SanitizedHeaders, UpstreamRequest, sanitize};
use answer::Answer;
use caller::Leave;
use exchange::{exchange, open_tunnel};
use route::Destination;
use stream::{Enrolment, Framing, LiveBody};
use tunnel::Tunnel;

/// What one worker needs to serve clusters.
pub struct Gate {
    /// Shared by all workers.
    pub authenticator: Arc<Authenticator>,
    /// Shared by all workers.
    pub impersonation: Arc<Impersonation>,
    /// Shared by all workers.
    pub service_accounts: ServiceAccounts,
    /// This worker's own connections.
    pub clusters: Clusters,
    /// The places for requests. Shared by all workers.
    pub admission: Arc<Admission>,
    /// After which requests a client is asked to connect anew.
    pub lottery: Lottery,
    /// What a client may take: this worker's own copy.
    pub limits: OwnLimits,
    /// Shared by all workers.
    pub telemetry: Arc<Telemetry>,
}

/// Serves one request to a cluster. Never fails: what can't be served is answered with a refusal.
pub async fn handle(gate: &Gate, client: &Arc<Client>, request: Request<Incoming>) -> Response<GateBody> {
    let version = request.version();
    let upgrading = version == Version::HTTP_11 && request.headers().contains_key(UPGRADE);
    let mut record =
        RequestRecord::open(&gate.telemetry, client.address, request.method(), request.uri(), version);
    let mut response = match forward(gate, client, request, &mut record).await {
        Ok(Forwarded::Answer(answer, enrolment, stream)) => relay(answer, record, enrolment, stream),
        Ok(Forwarded::Tunnel(tunnel, stream)) => tunnel.start(Arc::clone(client), record, stream),
        Ok(Forwarded::Metrics) => own_metrics(gate, record),
        Err(error) => refuse(gate, error, client, version, record),
    };
    // Who asked for another protocol may be speaking it already: nothing that follows is to be read as HTTP.
    if upgrading && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

enum Forwarded {
    /// With its guard if it lasts.
    Answer(Answer, Enrolment, Option<Guard>),
    Tunnel(Tunnel, Guard),
    /// Our own metrics.
    Metrics,
}

async fn forward(
    gate: &Gate,
    client: &Arc<Client>,
    mut request: Request<Incoming>,
    record: &mut RequestRecord,
) -> Result<Forwarded, ProxyError> {
    let limits = gate.limits.current();
    check(&request, client, &limits)?;
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (parts, incoming) = request.into_parts();
    let destination = gate.clusters.destination(parts.uri.path());
    let info = destination.as_ref().map(|destination| info(&parts.method, &parts.uri, destination));
    if let (Some(destination), Some(info)) = (&destination, &info) {
        record.set_cluster(destination.member().record.id.shared());
        record.set_request_info(info);
    }

    let entered = let_in(gate, &limits, client, &parts, destination.as_ref(), info.as_ref(), record);
    let caller = match entered.await? {
        Leave::Cluster(caller) => caller,
        Leave::Metrics(reader) => return metrics(&parts, &reader),
    };
    let (destination, info) = destination.zip(info).ok_or(ProxyError::UnknownCluster)?;
    let kind = StreamKind::of(&info);
    let (headers, asked) = passing(parts.headers, parts.version, kind)?;
    let mut permit = caller.permit();
    let way = gate.clusters.reach(&destination, &permit).await?;
    let route = way.route(&destination);
    caller.check_cluster(route.upstream.cluster())?;
    if let Some(asked) = asked {
        let cluster = route.upstream.cluster();
        permit = Box::pin(impersonation::permit(gate, permit, &asked, cluster, record)).await?;
    }
    let upgrade = headers.upgrade().copied();
    let (body, received) = RequestBody::of(incoming, limits.body_idle_timeout);
    record.count_received(received);
    let request = UpstreamRequest::impersonating(
        permit,
        route.upstream.cluster().authorization(),
        client.forwarded_for.clone(),
        parts.method.clone(),
        route.target(&parts.uri).ok_or(ProxyError::Ambiguous("no path"))?,
        headers,
        body,
    );
    let enrolment = Enrolment {
        authenticator: Arc::clone(&gate.authenticator),
        caller,
        client: Arc::clone(client),
        cluster: Arc::clone(route.cluster),
        claim: gate.clusters.claim(&way),
        kind,
        has_own_connection: parts.version != Version::HTTP_2,
    };
    let mut forwarded = match upgrade {
        Some(upgrade) => {
            Box::pin(open_tunnel(&limits, enrolment, &route, request, upgrade, on_upgrade, &info)).await?
        }
        None => exchange(enrolment, &route, request, &info).await?,
    };
    if let Forwarded::Answer(answer, enrolment, _) = &mut forwarded {
        enrolment.caller.warn(answer.response.headers_mut(), client);
    }
    Ok(forwarded)
}

/// What of the client's headers goes on, and whom it asks to be.
fn passing(
    headers: HeaderMap,
    version: Version,
    kind: StreamKind,
) -> Result<(SanitizedHeaders, Option<AskedImpersonation>), ProxyError> {
    let (mut headers, asked) = sanitize(headers, version)?;
    if kind.ends_between_parts() {
        headers.decline_codings();
    }
    Ok((headers, asked))
}

/// By whose leave the request is, once there is a place for it.
async fn let_in(
    gate: &Gate,
    limits: &Limits,
    client: &Client,
    parts: &Parts,
    destination: Option<&Destination>,
    info: Option<&RequestInfo<'_>>,
    record: &mut RequestRecord,
) -> Result<Leave, ProxyError> {
    let leave = caller::authenticate(gate, client, parts, destination, record).await?;
    let lasts = info.is_some_and(RequestInfo::is_long_running) || parts.headers.contains_key(UPGRADE);
    // A stream of hours would keep the connection that is to end.
    if parts.version == Version::HTTP_2 && !lasts && gate.lottery.draw(limits.goaway_chance) {
        gate.telemetry.metrics.load.count_goaway();
        client.go_away.notify_one();
    }
    if gate.admit(leave.username(), lasts, record).await? {
        // While it waited its token may have been revoked.
        return caller::authenticate(gate, client, parts, destination, record).await;
    }
    Ok(leave)
}

/// What a token that is good for our metrics alone is answered.
fn metrics(parts: &Parts, _leave: &MetricsReader) -> Result<Forwarded, ProxyError> {
    let is_asked_for = parts.method == Method::GET && parts.uri.path() == METRICS_PATH;
    if is_asked_for { Ok(Forwarded::Metrics) } else { Err(ProxyError::MetricsAlone) }
}

fn relay(
    answer: Answer,
    mut record: RequestRecord,
    enrolment: Enrolment,
    stream: Option<Guard>,
) -> Response<GateBody> {
    let Answer { response, ahead } = answer;
    record.set_code(response.status());
    let Some(stream) = stream else {
        return response.map(|body| GateBody::relayed(ahead, body, record, enrolment));
    };
    let (framing, client) = (Framing::of(enrolment.kind, &response), enrolment.own_connection());
    let live = |body| LiveBody::new(ahead, body, record, stream, framing, client);
    response.map(|body| GateBody::Live(Live(Box::new(live(body)))))
}

fn own_metrics(gate: &Gate, mut record: RequestRecord) -> Response<GateBody> {
    let text = gate.telemetry.exposition();
    record.set_code(StatusCode::OK);
    record.add_bytes_sent(text.len() as u64);
    let mut response = Response::new(GateBody::full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EXPOSITION_TYPE));
    response
}

/// Answers with a refusal, and ends the connection where one more message could not be trusted.
pub fn refuse(
    gate: &Gate,
    error: ProxyError,
    client: &Client,
    version: Version,
    mut record: RequestRecord,
) -> Response<GateBody> {
    error.log();
    // Credentials are counted where they are checked.
    if !matches!(error, ProxyError::Authentication(_)) {
        gate.telemetry.metrics.count_rejection(error.reason());
    }
    record.set_reason(error.reason());
    let mut response = error.into_response();
    record.set_code(response.status());
    record.add_bytes_sent(response.body().size_hint().exact().unwrap_or(0));
    let closing = response.headers().contains_key(CONNECTION);
    // As kube-apiserver does: a stranger gets one request a connection, or floods of streams would be cheap.
    if closing || version == Version::HTTP_2 && response.status() == StatusCode::UNAUTHORIZED {
        client.end_after(version, response.headers_mut());
    }
    response
}

/// What the request asks of its cluster.
fn info<'p>(method: &'p Method, uri: &'p Uri, destination: &Destination) -> RequestInfo<'p> {
    let path = uri.path().get(destination.path_offset()..).unwrap_or("/");
    RequestInfo::of(method, path, uri.query())
}

impl Gate {
    /// Finds a request of `caller` a place, which it has for as long as its record lives. Says whether it had to wait.
    ///
    /// # Errors
    /// Too many are under way.
    pub async fn admit(
        &self,
        caller: &(impl Hash + Display),
        is_long_running: bool,
        record: &mut RequestRecord,
    ) -> Result<bool, ProxyError> {
        let admitted = self.admission.admit(caller, is_long_running).await;
        let overload = if is_long_running { ProxyError::TooManyStreams } else { ProxyError::TooManyRequests };
        let admitted = admitted.map_err(overload)?;
        let is_late = matches!(admitted, Admitted::Late(_));
        record.hold(admitted.seat());
        Ok(is_late)
    }

    /// Counts a credential that was refused before it could be looked up.
    fn count(&self, error: &crate::authn::AuthnError) {
        self.telemetry.metrics.count_authentication(error.result());
    }
}

/// Where a token that may read our metrics finds them. Everybody else's request of this path is the cluster's.
const METRICS_PATH: &str = "/metrics";
