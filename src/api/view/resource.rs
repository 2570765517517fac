//! GET with a browser: an answer of the API as a page.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, Method, StatusCode, Uri};
use serde_json::Value;

use super::page::{AgainPage, Notice, Visitor, see_other};
use super::sent::FormData;
use super::text::{Link, local, schema_of};
use super::{Reply, View, api_query, collection, object, own_parameter, target};
use crate::api::error::ApiError;
use crate::api::schema::Schema;
use crate::api::session;

/// What a path below `/v3` names.
pub(super) struct Place {
    /// The path itself.
    pub(super) path: String,
    /// The path of the collection it is in, or is.
    pub(super) collection: String,
    /// The schema of its resources, if it has one.
    pub(super) schema: Option<&'static Schema>,
    /// Whether it is one resource and not a collection.
    pub(super) is_one: bool,
}

impl Place {
    pub(super) fn of(path: &str) -> Self {
        let mut segments = path.trim_start_matches("/v3").trim_start_matches('/').splitn(2, '/');
        let plural = segments.next().unwrap_or_default();
        let is_one = segments.next().is_some_and(|id| !id.is_empty());
        let collection = format!("/v3/{plural}");
        Self { path: path.to_owned(), collection, schema: schema_of(plural), is_one }
    }
}

/// What was just tried and refused by a form: shown again on the page it came from.
#[derive(Clone, Copy)]
pub(super) struct Refused<'a> {
    pub(super) status: StatusCode,
    pub(super) message: &'a str,
    pub(super) data: &'a FormData,
    /// `create`, `edit` or the name of an action.
    pub(super) form: &'a str,
}

pub(super) async fn show(view: &View, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    if let Err(error) = session::admit(&mut parts) {
        return error.into_response();
    }
    match Visitor::of(&view.api, &parts).await {
        Ok(visitor) => show_to(view, &parts, &visitor, None).await.unwrap_or_else(ApiError::into_response),
        Err(error) => error.into_response(),
    }
}

/// The page of `parts`' path; `refused` is what a form on it has come to.
pub(super) async fn show_to(
    view: &View,
    parts: &Parts,
    visitor: &Visitor,
    refused: Option<Refused<'_>>,
) -> Result<Response, ApiError> {
    let place = Place::of(parts.uri.path());
    let mut query = if refused.is_some() { Vec::new() } else { api_query(&parts.uri) };
    if place.schema.is_some() && !place.is_one && !query.iter().any(|(name, _)| name == "limit") {
        query.push(("limit".to_owned(), ROWS.to_owned()));
    }
    let reply = view.ask(parts, Method::GET, &target(&place.path, &query), None).await?;
    if reply.status == StatusCode::UNAUTHORIZED && !parts.headers.contains_key(AUTHORIZATION) {
        return Ok(log_in_first(parts, visitor));
    }
    let notice = refused.map(|refused| Notice { text: refused.message.to_owned(), bad: true });
    let notice = notice.or_else(|| done(&parts.uri));
    let Some(json) = reply.json() else { return Ok(passed_on(reply)) };
    let status = refused.map_or(reply.status, |refused| refused.status);
    Ok(match json.get("type").and_then(Value::as_str) {
        Some("error") => refusal(visitor, &parts.uri, &reply, back(&place)),
        Some("collection") => {
            let filters = api_query(&parts.uri);
            visitor.show(status, &collection::page(visitor, &place, &json, &filters, notice, refused))
        }
        _ => match own_parameter(&parts.uri, "_confirm").filter(|_| refused.is_none()) {
            Some(what) => {
                let consequences = consequences(view, parts, &place, &what).await?;
                object::question(visitor, &place, &json, &what, consequences)
            }
            None => visitor.show(status, &object::page(visitor, &place, &json, notice, refused)),
        },
    })
}

/// What the deletion of a cluster would cut, in words.
async fn consequences(
    view: &View,
    parts: &Parts,
    place: &Place,
    what: &str,
) -> Result<Option<String>, ApiError> {
    if what != "delete" || place.schema.is_none_or(|schema| schema.id != "cluster") {
        return Ok(None);
    }
    let asked = target(&place.path, &[("dryRun".to_owned(), "true".to_owned())]);
    let reply = view.ask(parts, Method::DELETE, &asked, None).await?;
    let Some(json) = reply.json() else { return Ok(None) };
    let number = |name: &str| json.get(name).and_then(Value::as_u64);
    let found = number("openStreams").zip(number("scopedTokens"));
    Ok(found.map(|(streams, tokens)| {
        format!(
            "Open streams that are cut: {streams}. Tokens that are good for this cluster alone: {tokens}."
        )
    }))
}

/// A refusal of the API as a page.
pub(super) fn refusal(visitor: &Visitor, uri: &Uri, reply: &Reply, back: Option<Link>) -> Response {
    let mut response = visitor.say(uri, reply.status, reply.message(), back);
    if let Some(seconds) = reply.headers.get(RETRY_AFTER) {
        response.headers_mut().insert(RETRY_AFTER, seconds.clone());
    }
    response
}

/// The way back from a page that says only that something did not work.
pub(super) fn back(place: &Place) -> Option<Link> {
    let plural = place.schema?.plural;
    Some(Link { href: place.collection.clone(), label: super::page::plural_label(plural) })
}

/// Sends somebody who is not logged in to do that. A link on another site comes without our cookies, which are
/// `SameSite=Strict`, and nothing can be told from that: such a visitor comes again first, this time from us.
pub(super) fn log_in_first(parts: &Parts, visitor: &Visitor) -> Response {
    let here = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |target| target.as_str());
    if comes_from_elsewhere(parts) {
        return visitor.show(StatusCode::OK, &AgainPage { here: here.to_owned() });
    }
    see_other(&login_path(here))
}

/// The way to the login that leads back to `here`.
pub(super) fn login_path(here: &str) -> String {
    format!(
        "/ui/login?{}",
        form_urlencoded::Serializer::new(String::new()).append_pair("next", here).finish()
    )
}

/// Whether this is a visit from another site, which has not brought the session's cookie.
pub(super) fn comes_from_elsewhere(parts: &Parts) -> bool {
    let site = parts.headers.get(HeaderName::from_static("sec-fetch-site"));
    let elsewhere = site.is_some_and(|site| site == "cross-site" || site == "same-site");
    elsewhere && !session::is_by_cookie(&parts.headers)
}

/// The path of a link that an object has.
pub(super) fn link(json: &Value, group: &str, name: &str) -> Option<String> {
    local(json.get(group)?.get(name)?.as_str()?)
}

fn done(uri: &Uri) -> Option<Notice> {
    let text = match own_parameter(uri, "_done")?.as_str() {
        "created" => "Created.",
        "changed" => "Changed.",
        "deleted" => "Deleted.",
        "done" => "Done.",
        "unchanged" => "There was nothing to change.",
        _ => return None,
    };
    Some(Notice { text: text.to_owned(), bad: false })
}

fn passed_on(reply: Reply) -> Response {
    let mut response = Response::new(reply.body.into());
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

/// How many rows a page has unless the address says otherwise.
const ROWS: &str = "100";
