//! What every page has: its frame, its templates, and the headers that keep it from being framed, kept or scripted.

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{StatusCode, Uri};

use super::form::{Form, Input, InputKind};
use super::text::{Cell, Link};
use crate::api::error::ApiError;
use crate::api::schema::SCHEMAS;
use crate::api::session::CsrfToken;
use crate::api::{Api, Authentication, Caller};

/// Who looks at a page.
pub(super) struct Visitor {
    /// `None` for somebody who is not logged in.
    pub(super) caller: Option<Caller>,
    administrator: bool,
    csrf: CsrfToken,
    csrf_is_new: bool,
}

/// What is around the content of every page.
pub(super) struct Frame {
    title: String,
    person: Option<String>,
    nav: Vec<NavItem>,
    csrf: String,
    notice: Option<Notice>,
}

struct NavItem {
    label: String,
    href: String,
    current: bool,
}

/// A sentence above everything else.
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) bad: bool,
}

impl Visitor {
    pub(super) async fn of(api: &Api, parts: &Parts) -> Result<Self, ApiError> {
        let caller = match parts.extensions.get() {
            Some(Authentication::Caller(caller)) => Some(caller.clone()),
            _ => None,
        };
        let administrator = match &caller {
            Some(caller) => api.is_administrator(caller).await.unwrap_or(false),
            None => false,
        };
        let known = CsrfToken::of(&parts.headers);
        let csrf_is_new = known.is_none();
        let csrf = known.map_or_else(CsrfToken::generate, Ok)?;
        Ok(Self { caller, administrator, csrf, csrf_is_new })
    }

    /// The frame of a page at `path`.
    pub(super) fn frame(&self, path: &str, title: impl Into<String>, notice: Option<Notice>) -> Frame {
        let collections = SCHEMAS.iter().filter(|schema| !schema.plural.is_empty());
        let shown =
            collections.filter(|schema| schema.plural != "projects" && schema.is_for(self.administrator));
        let item = |plural: &str| {
            let href = format!("/v3/{plural}");
            let rest = path.strip_prefix(&href);
            NavItem {
                label: plural_label(plural),
                current: rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
                href,
            }
        };
        let nav = match &self.caller {
            Some(_) => shown.map(|schema| item(schema.plural)).chain([item("schemas")]).collect(),
            None => Vec::new(),
        };
        Frame {
            title: title.into(),
            person: self.caller.as_ref().map(|caller| caller.name.as_str().to_owned()),
            nav,
            csrf: self.csrf.as_str().to_owned(),
            notice,
        }
    }

    /// A page as an answer.
    pub(super) fn show(&self, status: StatusCode, page: &impl Template) -> Response {
        let Ok(text) = page.render() else {
            return ApiError::of(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        seal(headers);
        if self.csrf_is_new
            && let Err(error) = self.csrf.set(headers)
        {
            return error.into_response();
        }
        response
    }

    /// A page with nothing but a message.
    pub(super) fn say(&self, uri: &Uri, status: StatusCode, text: String, back: Option<Link>) -> Response {
        let title = status.canonical_reason().unwrap_or("Refused");
        let notice = Notice { text, bad: true };
        let frame = self.frame(uri.path(), title, Some(notice));
        self.show(status, &QuestionPage { frame, texts: Vec::new(), names: Vec::new(), form: None, back })
    }
}

/// Sends the browser on, with GET. `path` is ours.
pub(super) fn see_other(path: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(path) else {
        return ApiError::of(StatusCode::INTERNAL_SERVER_ERROR).into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, location);
    seal(response.headers_mut());
    response
}

/// A file that pages use.
pub(super) fn file(content_type: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    seal(response.headers_mut());
    response
}

/// Nothing runs in a page of ours, nobody frames it, and no other site learns its address. With `no-referrer` browsers
/// would send the `Origin` of our own forms as `null`.
pub(super) fn seal(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
}

/// The name of a collection as people write it.
pub(super) fn plural_label(plural: &str) -> String {
    if plural == "auditevents" {
        return "Audit events".to_owned();
    }
    let mut letters = plural.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A collection: forms, filters and a table.
#[derive(Template)]
#[template(path = "collection.html")]
pub(super) struct CollectionPage {
    pub(super) frame: Frame,
    pub(super) about: &'static str,
    pub(super) path: String,
    pub(super) forms: Vec<Form>,
    pub(super) filters: Vec<Input>,
    pub(super) filtered: bool,
    pub(super) bulk: Vec<Form>,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) total: Option<u64>,
    pub(super) pages: Vec<Link>,
    pub(super) raw: String,
}

/// The head of a column; `href` sorts by it.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) href: Option<String>,
    pub(super) order: Option<&'static str>,
}

/// One resource.
#[derive(Template)]
#[template(path = "object.html")]
pub(super) struct ObjectPage {
    pub(super) frame: Frame,
    pub(super) path: String,
    pub(super) above: Option<Link>,
    pub(super) notes: Vec<String>,
    pub(super) progress: Option<Progress>,
    pub(super) buttons: Vec<Form>,
    /// What is asked once more before it is done: each leads to a [`QuestionPage`].
    pub(super) questions: Vec<Question>,
    pub(super) forms: Vec<Form>,
    pub(super) rows: Vec<Row>,
    pub(super) json: String,
}

/// How far something has come.
pub(super) struct Progress {
    pub(super) label: String,
    pub(super) done: u64,
    pub(super) total: u64,
}

/// A button that asks first.
pub(super) struct Question {
    pub(super) value: &'static str,
    pub(super) label: String,
}

/// A field and its value.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) cell: Cell,
}

/// Sentences, and perhaps a form that does what they say.
#[derive(Template)]
#[template(path = "question.html")]
pub(super) struct QuestionPage {
    pub(super) frame: Frame,
    pub(super) texts: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) form: Option<Form>,
    pub(super) back: Option<Link>,
}

/// What is shown once and never again.
#[derive(Template)]
#[template(path = "once.html")]
pub(super) struct OncePage {
    pub(super) frame: Frame,
    pub(super) text: &'static str,
    pub(super) warnings: Vec<String>,
    pub(super) heading: &'static str,
    pub(super) secret: String,
    pub(super) rows: Vec<Row>,
    pub(super) back: Link,
}

/// The way in.
#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct LoginPage {
    pub(super) frame: Frame,
    pub(super) username: String,
    pub(super) next: String,
}

/// One's own password.
#[derive(Template)]
#[template(path = "password.html")]
pub(super) struct PasswordPage {
    pub(super) frame: Frame,
    pub(super) revocations: &'static [Revocation],
    pub(super) revoke: String,
}

/// Which tokens end with a password, in words.
pub(super) struct Revocation {
    pub(super) value: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
}

/// Asks the browser to come again, this time from us.
#[derive(Template)]
#[template(path = "again.html")]
pub(super) struct AgainPage {
    pub(super) here: String,
}

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
