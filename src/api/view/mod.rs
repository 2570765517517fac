//! Pages: every resource of the API for people with a browser, without a script.
//!
//! The API below stays JSON alone. Who asks for HTML gets the JSON rendered ([`resource`]), and what a form sends
//! becomes the JSON request that it stands for ([`submit`]). So a page can do nothing that the API does not allow.

mod collection;
mod entrance;
mod form;
mod object;
mod page;
mod resource;
mod sent;
mod settings;
mod submit;
#[cfg(test)]
mod tests;
mod text;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::error::ApiError;
use super::{Api, session};

/// The pages in front of the API.
#[derive(Clone)]
struct View {
    api: Api,
    json: Router,
}

/// The pages, and behind them `json`, which answers everybody who asks for no page.
pub(super) fn router(api: Api, json: Router) -> Router {
    Router::new()
        .route("/", get(entrance::home))
        .route("/ui", get(entrance::home))
        .route("/ui/", get(entrance::home))
        .route("/ui/login", get(entrance::show_login).post(entrance::log_in))
        .route("/ui/logout", post(entrance::log_out))
        .route("/ui/password", get(entrance::show_password).post(entrance::change_password))
        .route(
            "/ui/style.css",
            get(async || page::file("text/css; charset=utf-8", include_str!("style.css"))),
        )
        .route("/ui/icon.svg", get(async || page::file("image/svg+xml", include_str!("icon.svg"))))
        .fallback(browse)
        .method_not_allowed_fallback(entrance::refuse_method)
        .with_state(View { api, json })
}

async fn browse(State(view): State<View>, request: Request) -> Response {
    if !wants_page(request.uri(), request.headers()) {
        return view.pass(request).await;
    }
    match *request.method() {
        Method::GET | Method::HEAD => resource::show(&view, request).await,
        Method::POST => submit::submit(&view, request).await,
        _ => view.pass(request).await,
    }
}

/// An answer of the API, read to its end.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    /// `None` if it is not JSON.
    fn json(&self) -> Option<Value> {
        self.headers.get(CONTENT_TYPE).filter(|kind| kind.as_bytes().starts_with(b"application/json"))?;
        serde_json::from_slice(&self.body).ok()
    }

    /// What an error says, for people.
    fn message(&self) -> String {
        let message = self.json().and_then(|error| Some(error.get("message")?.as_str()?.to_owned()));
        let mut message = message.unwrap_or_else(|| self.status.to_string());
        if let Some(first) = message.get(..1).map(str::to_uppercase) {
            message.replace_range(..1, &first);
        }
        message + "."
    }
}

impl View {
    /// The API's own answer.
    async fn pass(&self, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        if let Err(error) = session::admit(&mut parts) {
            return error.into_response();
        }
        let logs_out = parts.method == Method::POST
            && parts.uri.path() == "/v3/tokens"
            && own_parameter(&parts.uri, "action").is_some_and(|action| action == "logout");
        let response = self.json.clone().oneshot(Request::from_parts(parts, body)).await;
        let mut response = response.unwrap_or_else(|never| match never {});
        if logs_out
            && response.status().is_success()
            && let Err(error) = session::end(response.headers_mut())
        {
            return error.into_response();
        }
        response
    }

    /// Asks the API what the visitor with the request `parts` wants of it.
    async fn ask(
        &self,
        parts: &Parts,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Reply, ApiError> {
        let failed = || ApiError::of(StatusCode::INTERNAL_SERVER_ERROR);
        let mut uri = parts.uri.clone().into_parts();
        uri.path_and_query = Some(target.parse().map_err(|_| ApiError::of(StatusCode::BAD_REQUEST))?);
        let mut request = Request::new(body.map_or_else(Body::empty, |body| Body::from(body.to_string())));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| failed())?;
        let headers = request.headers_mut();
        headers.extend(
            [HOST, USER_AGENT]
                .into_iter()
                .filter_map(|name| Some((name.clone(), parts.headers.get(&name)?.clone()))),
        );
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let extensions = request.extensions_mut();
        extensions.extend(parts.extensions.clone());
        let response = self.json.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|_| failed())?.to_bytes();
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }
}

/// Whether the client would rather have a page than JSON: a browser that follows a link would, a program would not.
fn wants_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let format = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .find(|(name, _)| name == "_format")
        .map(|(_, value)| value.into_owned());
    let path = uri.path();
    let below =
        |root| path.strip_prefix(root).is_some_and(|rest: &str| rest.is_empty() || rest.starts_with('/'));
    // What describes the API to programs is no page.
    let may_be_page = (below("/v3") || below("/ui")) && path != "/v3/openapi.json";
    if !may_be_page || format.is_some_and(|format| format != "html") {
        return false;
    }
    accepts_html(headers)
}

/// Whether HTML is liked better than JSON.
pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<_> = lines.flat_map(|line| line.split(',')).map(media_range).collect();
    let best = |kind: &str| {
        let found = ranges.iter().enumerate().find(|(_, (name, _))| name.eq_ignore_ascii_case(kind));
        found.map(|(place, (_, quality))| (*quality, std::cmp::Reverse(place)))
    };
    best("text/html").is_some_and(|html| html.0 > 0 && Some(html) > best("application/json"))
}

/// A media range of `Accept` and its quality in thousandths (RFC 9110, 12.4.2).
fn media_range(range: &str) -> (&str, u32) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f64>().ok());
    // A quality is between 0 and 1; `as` keeps what isn't in bounds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    (name, (quality.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32)
}

/// The query without what is ours alone (`_confirm`, `_done`) and without filters that were left empty.
fn api_query(uri: &Uri) -> Vec<(String, String)> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned();
    pairs.filter(|(name, value)| !name.starts_with('_') && !value.is_empty()).collect()
}

/// A path with a query.
fn target(path: &str, query: &[(String, String)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish())
}

/// A parameter of ours.
fn own_parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
