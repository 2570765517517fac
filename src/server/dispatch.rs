//! Where a request goes: to a cluster, or to our own API.

use std::sync::Arc;

use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;

use crate::api::{self, Authentication, Service};
use crate::authn::{AuthnError, CachedToken, CachedUser, Place, Presented, Scope};
use crate::authority::{Caller, network};
use crate::proxy::{self, Client, Gate, GateBody, ProxyError};
use crate::telemetry::RequestRecord;
use crate::token::TokenKind;
use crate::upstream::RequestBody;

/// What one worker serves.
pub(super) struct Dispatch {
    /// The way to the clusters.
    pub(super) gate: Gate,
    /// Our own API.
    pub(super) api: Service,
    /// Where the API's work is done, so that it holds up no request to a cluster.
    pub(super) control: Handle,
}

/// Serves one request. The raw path decides; nothing is decoded before. `/` alone has two owners.
pub(super) async fn dispatch(
    dispatch: &Dispatch,
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> Response<GateBody> {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    if api::owns(uri.path()) || api::is_visit(method, uri, headers) {
        Box::pin(serve_api(dispatch, client, request)).await
    } else {
        proxy::handle(&dispatch.gate, client, request).await
    }
}

/// A request to our API passes the same checks of its form, and its caller the same authentication, as one to a cluster.
async fn serve_api(dispatch: &Dispatch, client: &Client, request: Request<Incoming>) -> Response<GateBody> {
    let gate = &dispatch.gate;
    let (method, uri, headers, version) =
        (request.method(), request.uri(), request.headers(), request.version());
    let mut record = RequestRecord::open(&gate.telemetry, client.address, method, uri, version);
    let limits = gate.limits.current();
    if let Err(error) = proxy::check_form(&request, client, &limits) {
        return in_words_of_api(&proxy::refuse(gate, error, client, version, record));
    }
    let mut caller = authenticate(gate, client, uri.path(), headers, &mut record).await;
    match admit(gate, client, caller.as_ref(), &mut record).await {
        Ok(false) => {}
        // It waited, and may have been revoked meanwhile.
        Ok(true) => caller = authenticate(gate, client, uri.path(), headers, &mut record).await,
        Err(error) => return in_words_of_api(&proxy::refuse(gate, error, client, version, record)),
    }
    let is_stranger = matches!(caller, Some(Authentication::Failed(StatusCode::UNAUTHORIZED)));
    let is_confined = matches!(caller, Some(Authentication::Itself(_)));
    let (parts, incoming) = request.into_parts();
    // Anybody may begin a login: a body that is not finished must not hold its place for longer than another.
    let (body, received) = RequestBody::of(incoming, limits.body_idle_timeout);
    record.count_received(received);
    let request = Request::from_parts(parts, body);
    let (api, address) = (dispatch.api.clone(), client.address);
    let served = dispatch.control.spawn(async move { api.serve(request, caller, address).await });
    let mut response = served.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the API failed");
        Service::failure()
    });
    record.set_code(response.status());
    record.add_bytes_sent(response.body().size_hint().exact().unwrap_or(0));
    if is_confined && response.status() == StatusCode::FORBIDDEN {
        record.set_reason("cluster_alone");
    }
    if is_stranger && response.status() == StatusCode::UNAUTHORIZED {
        client.end_after(version, response.headers_mut());
    }
    response.map(GateBody::Other)
}

/// A refusal by the same checks, as the API says it.
fn in_words_of_api(refused: &Response<GateBody>) -> Response<GateBody> {
    let mut response = Service::refusal(refused.status()).map(GateBody::Other);
    for name in [CONNECTION, RETRY_AFTER] {
        if let Some(value) = refused.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// Finds the request a place among those of its user, or of its address if it has none. Says whether it had to wait.
async fn admit(
    gate: &Gate,
    client: &Client,
    caller: Option<&Authentication>,
    record: &mut RequestRecord,
) -> Result<bool, ProxyError> {
    match caller {
        Some(
            Authentication::Caller(caller) | Authentication::Session(caller) | Authentication::Itself(caller),
        ) => gate.admit(&caller.name, false, record).await,
        Some(Authentication::Failed(_)) | None => {
            gate.admit(&network(client.address.ip()), false, record).await
        }
    }
}

/// What the request's credential is worth. No credential is not an error here: logging in needs none. One in a header
/// wins over a cookie, and only a session is good as a cookie: no other token was given to a browser to keep.
async fn authenticate(
    gate: &Gate,
    client: &Client,
    path: &str,
    headers: &HeaderMap,
    record: &mut RequestRecord,
) -> Option<Authentication> {
    let (presented, by_cookie) = match Presented::from_headers(headers) {
        Err(AuthnError::NoCredential) => {
            (Presented::from_cookies(&api::session_cookies(path, headers)), true)
        }
        presented => (presented, false),
    };
    let checked = match presented.and_then(Presented::into_token) {
        Err(AuthnError::NoCredential) => return None,
        Err(error) => Err(error),
        Ok(presented) => {
            record.set_token(presented.name());
            gate.authenticator.authenticate(presented, client.origin(headers), Place::Api).await
        }
    };
    Some(match checked {
        Ok(scope) => {
            record.set_user(&scope.user().name);
            worth(scope, by_cookie, client, record)
        }
        Err(error) => {
            record.set_reason(error.result().as_str());
            Authentication::Failed(error.status())
        }
    })
}

/// What the API makes of a token that is good for `scope`.
fn worth(scope: Scope, by_cookie: bool, client: &Client, record: &mut RequestRecord) -> Authentication {
    match scope {
        Scope::User(authenticated) if !by_cookie => {
            Authentication::Caller(caller(authenticated.user(), authenticated.token(), client))
        }
        Scope::User(authenticated) if authenticated.token().record.kind == TokenKind::Session => {
            Authentication::Session(caller(authenticated.user(), authenticated.token(), client))
        }
        Scope::Itself(confined) if !by_cookie => {
            Authentication::Itself(caller(confined.user(), confined.token(), client))
        }
        Scope::User(_) | Scope::Itself(_) => {
            record.set_reason("no_session");
            Authentication::Failed(StatusCode::UNAUTHORIZED)
        }
        Scope::Metrics(_) => {
            record.set_reason(ProxyError::MetricsAlone.reason());
            Authentication::Failed(StatusCode::FORBIDDEN)
        }
    }
}

fn caller(user: &CachedUser, token: &CachedToken, client: &Client) -> Caller {
    Caller {
        id: user.id.clone(),
        name: user.name.clone(),
        token: token.record.name.clone(),
        client: client.address.ip(),
    }
}
