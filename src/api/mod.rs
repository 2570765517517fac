//! The management API: tokens, users, logins and kubeconfigs, in the shapes of Rancher's API.
//!
//! The server decides by [`owns`] on the raw path, authenticates the bearer, and hands the request with the outcome to
//! the [`Service`]. Every rule is the authority's; here is only how it is asked and how it answers. For browsers the same
//! resources are pages ([`view`]); their cookie counts only where [`session`] lets it.

mod auditevents;
mod body;
mod clusters;
mod collection;
mod error;
mod features;
mod login;
mod openapi;
mod projects;
mod query;
mod request;
mod root;
mod schema;
mod service;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;
mod users;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, StatusCode, Uri};

pub use service::{ApiBody, Service};
pub use session::session_cookies;

use crate::authority::{Authority, AuthorityError, Caller};
use crate::identity::ClusterId;
use crate::streams::Registry;
use crate::user::UserRecord;
use error::ApiError;
use request::Links;

/// What the API says about this server.
#[derive(Debug, Clone)]
pub struct Info {
    /// How clients reach us, as it is written into kubeconfigs.
    pub server_url: String,
    /// The PEM certificates that clients need to trust us; `None` if they do anyway.
    pub certificate_authority: Option<String>,
}

/// What the gate found out about a request's credential. A request without it counts as one without a credential.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// A good one.
    Caller(Caller),
    /// A good one in a browser's cookie. It is nobody's until its request is checked.
    Session(Caller),
    /// A good one that is for a cluster alone: it may ask about itself and delete itself, and nothing else.
    Itself(Caller),
    /// Not a good one (401), not one that can be told (400), or trouble of ours (500, 503). What needs no credential
    /// is answered all the same.
    Failed(StatusCode),
}

/// The client's address, for limits and the audit log.
#[derive(Debug, Clone, Copy)]
struct ClientAddress(SocketAddr);

#[derive(Clone)]
struct Api {
    authority: Arc<Authority>,
    streams: Registry,
}

/// Whether this raw path, before any decoding, is the API's and not a cluster's.
pub fn owns(path: &str) -> bool {
    let below =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    ["/v3", "/ui", "/v3-public", "/v1-public"].into_iter().any(below)
        || ["/ping", "/v1", "/v1/", "/v1/logout"].contains(&path)
}

/// Whether this is a browser without a credential at the front door. The cluster, whose path it is, would refuse it; the
/// pages show it the way in.
pub fn is_visit(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let bare = !headers.contains_key(AUTHORIZATION) && !headers.contains_key(SEC_WEBSOCKET_PROTOCOL);
    method == Method::GET && uri.path() == "/" && bare && view::accepts_html(headers)
}

impl Api {
    /// Whether the caller is an administrator now.
    async fn is_administrator(&self, caller: &Caller) -> Result<bool, ApiError> {
        Ok(self.own_user(caller).await?.admin)
    }

    /// How many streams are open to a cluster.
    fn open_streams_of_cluster(&self, id: &ClusterId) -> usize {
        self.streams.count_of_cluster(id.as_str())
    }

    /// The caller's user as it is now.
    async fn own_user(&self, caller: &Caller) -> Result<UserRecord, ApiError> {
        match self.authority.user(caller, &caller.id).await {
            // Deleted since the request was authenticated.
            Err(AuthorityError::NotFound) => Err(AuthorityError::CallerGone.into()),
            answer => Ok(answer?),
        }
    }
}

/// The paths and who answers them.
fn router(authority: Arc<Authority>, streams: Registry) -> Router {
    let one_token = get(tokens::actions::show)
        .put(tokens::actions::update)
        .post(tokens::actions::act)
        .delete(tokens::actions::delete);
    let one_cluster = get(clusters::show).put(clusters::update).post(clusters::act).delete(clusters::delete);
    let api = Api { authority, streams };
    let json = Router::new()
        .route("/ping", get(openapi::ping))
        .route("/v3", get(root::root))
        .route("/v3/", get(root::root))
        .route("/v3/schemas", get(schema::list))
        .route("/v3/schemas/{id}", get(schema::show))
        .route("/v3/tokens", get(tokens::list).post(tokens::post).delete(tokens::bulk::delete))
        .route("/v3/tokens/{id}", one_token)
        .route("/v3/users", get(users::list).post(users::post))
        .route("/v3/users/{id}", get(users::show).put(users::update).post(users::act).delete(users::delete))
        .route("/v3/settings", get(settings::list).post(settings::set_many))
        .route("/v3/settings/{id}", get(settings::show).put(settings::set))
        .route("/v3/features", get(features::list))
        .route("/v3/features/{id}", get(features::show).put(features::set))
        .route("/v3/auditevents", get(auditevents::list))
        .route("/v3/clusters", get(clusters::list).post(clusters::post))
        .route("/v3/clusters/", get(clusters::list))
        .route("/v3/clusters/{id}", one_cluster)
        .route("/v3/projects", get(projects::list))
        .route("/v3/projects/", get(projects::list))
        .route("/v3/projects/{id}", get(projects::show))
        .route("/v3/openapi.json", get(openapi::document))
        .route("/v1", get(root::v1_root))
        .route("/v1/", get(root::v1_root))
        .route("/v1/logout", post(tokens::log_out))
        .route("/v3-public/localProviders/local", post(login::v3))
        .route("/v3-public/authProviders", get(login::providers))
        .route("/v1-public/login", post(login::v1))
        .route("/v1-public/authproviders", get(login::v1_providers))
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::of(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(api.clone());
    view::router(api.clone(), json).layer(from_fn_with_state(api, with_common_headers))
}

/// A refusal in the API's shape, for what the server refuses before the API is asked.
fn refusal(status: StatusCode) -> Response<Body> {
    let mut response = ApiError::of(status).into_response();
    protect(response.headers_mut());
    response
}

async fn with_common_headers(State(_): State<Api>, links: Links, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    protect(response.headers_mut());
    if let Ok(schemas) = HeaderValue::try_from(links.to("/v3/schemas")) {
        response.headers_mut().insert(X_API_SCHEMAS, schemas);
    }
    response
}

/// Answers carry keys and name people: nothing on the way may keep them or take them for a page.
fn protect(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Rancher's clients take a server without this header for something else.
const X_API_SCHEMAS: HeaderName = HeaderName::from_static("x-api-schemas");
