//! POST with a browser: what a form sends becomes the request to the API that it stands for.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderValue, WARNING};
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::form::{Form, Purpose};
use super::object::rows;
use super::page::{Notice, OncePage, QuestionPage, Visitor, seal, see_other};
use super::resource::{Place, Refused, back, link, login_path, refusal, show_to};
use super::sent::FormData;
use super::settings;
use super::text::{Link, path_of, text};
use super::{Reply, View, api_query, target};
use crate::api::body::form_body;
use crate::api::error::ApiError;
use crate::api::schema::{self, Field};
use crate::api::session;

/// A form as the request it stands for.
struct Order<'a> {
    place: Place,
    method: Method,
    query: Vec<(String, String)>,
    action: Option<String>,
    data: &'a FormData,
}

pub(super) async fn submit(view: &View, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let data = match form_body(&parts.headers, body).await {
        Ok(bytes) => FormData::parse(&bytes),
        Err(error) => return error.into_response(),
    };
    let admitted = session::admit_form(&mut parts, data.get("_csrf"));
    let visitor = match Visitor::of(&view.api, &parts).await {
        Ok(visitor) => visitor,
        Err(error) => return error.into_response(),
    };
    if let Err(error) = admitted {
        return visitor.say(&parts.uri, error.status(), STALE.to_owned(), back(&Place::of(parts.uri.path())));
    }
    carry_out(view, &parts, &visitor, &data).await.unwrap_or_else(ApiError::into_response)
}

async fn carry_out(
    view: &View,
    parts: &Parts,
    visitor: &Visitor,
    data: &FormData,
) -> Result<Response, ApiError> {
    let order = Order::of(parts, data)?;
    let body = match order.body(view, parts).await? {
        Ok(body) => body,
        Err(error) => return refused(view, parts, visitor, &order, error.status(), &error.to_string()).await,
    };
    // A form that changes nothing has nothing to ask for.
    if (order.method == Method::PUT || order.sets_settings())
        && body.as_ref().is_some_and(|body| *body == Value::Object(serde_json::Map::default()))
    {
        return Ok(see_other(&format!("{}?_done=unchanged", order.place.path)));
    }
    let target = target(&order.place.path, &order.query);
    let reply = view.ask(parts, order.method.clone(), &target, body.as_ref()).await?;
    if !reply.status.is_success() {
        return match order.form() {
            _ if reply.status == StatusCode::UNAUTHORIZED => {
                let login = Link { href: login_path(&order.place.path), label: "Log in".to_owned() };
                Ok(refusal(visitor, &parts.uri, &reply, Some(login)))
            }
            "" => Ok(refusal(visitor, &parts.uri, &reply, back(&order.place))),
            _ => refused(view, parts, visitor, &order, reply.status, &reply.message()).await,
        };
    }
    Ok(outcome(visitor, &order, &reply))
}

/// The page the form is on, with what was wrong and what was typed.
async fn refused(
    view: &View,
    parts: &Parts,
    visitor: &Visitor,
    order: &Order<'_>,
    status: StatusCode,
    message: &str,
) -> Result<Response, ApiError> {
    let refused = Refused { status, message, data: order.data, form: order.form() };
    show_to(view, parts, visitor, Some(refused)).await
}

impl<'a> Order<'a> {
    fn of(parts: &Parts, data: &'a FormData) -> Result<Self, ApiError> {
        let method = match data.get("_method") {
            None | Some("POST") => Method::POST,
            Some("PUT") => Method::PUT,
            Some("DELETE") => Method::DELETE,
            Some(_) => return Err(ApiError::of(StatusCode::METHOD_NOT_ALLOWED)),
        };
        let query = api_query(&parts.uri);
        let action = query.iter().find(|(name, _)| name == "action").map(|(_, value)| value.clone());
        Ok(Self { place: Place::of(parts.uri.path()), method, query, action, data })
    }

    /// The JSON the API takes for it; the inner error is about what was typed.
    async fn body(&self, view: &View, parts: &Parts) -> Result<Result<Option<Value>, ApiError>, ApiError> {
        let fields = self.place.schema.map(|schema| schema.fields).unwrap_or_default();
        let json = |purpose, fields: &'static [Field], current: Option<&Value>| {
            self.data.to_json(purpose, fields, current).map(Some)
        };
        if self.method == Method::DELETE {
            return Ok(Ok(None));
        }
        if self.method == Method::PUT {
            let current = view.ask(parts, Method::GET, &self.place.path, None).await?.json();
            return Ok(json(Purpose::Update, fields, current.as_ref()));
        }
        if self.sets_settings() {
            let current =
                view.ask(parts, Method::GET, &self.place.path, None).await?.json().unwrap_or_default();
            return Ok(Ok(Some(settings::changes(self.data, &current).unwrap_or_else(|| json!({})))));
        }
        let Some(action) = &self.action else { return Ok(json(Purpose::Create, fields, None)) };
        let input = self.input(action);
        Ok(if input.is_empty() { Ok(None) } else { json(Purpose::Create, input, None) })
    }

    fn sets_settings(&self) -> bool {
        self.action.as_deref() == Some("set")
            && self.place.schema.is_some_and(|schema| schema.id == "setting")
    }

    fn makes_kubeconfigs(&self) -> bool {
        self.action.as_deref() == Some("generateKubeconfig")
    }

    /// The fields that an action takes.
    fn input(&self, name: &str) -> &'static [Field] {
        let Some(schema) = self.place.schema else { return &[] };
        let actions = if self.place.is_one { schema.resource_actions } else { schema.collection_actions };
        let input = actions.iter().find(|action| action.name == name).and_then(|action| action.input);
        input.and_then(schema::find).map(|input| input.fields).unwrap_or_default()
    }

    /// Which form of its page it is; empty for one that is on a page of its own.
    fn form(&self) -> &str {
        match (&self.action, &self.method) {
            (Some(action), _) if self.place.is_one || self.sets_settings() || self.makes_kubeconfigs() => {
                action
            }
            (None, &Method::POST) => "create",
            (None, &Method::PUT) => "edit",
            _ => "",
        }
    }
}

/// What follows on success: mostly the page of what was changed. What is shown only once is shown at once, on the
/// answer itself, and so in no address and no history.
fn outcome(visitor: &Visitor, order: &Order<'_>, reply: &Reply) -> Response {
    let json = reply.json().unwrap_or_default();
    let path = &order.place.path;
    match json.get("type").and_then(Value::as_str) {
        Some("token") if json.get("token").is_some_and(Value::is_string) => {
            visitor.show(reply.status, &new_token(visitor, path, &json, &reply.headers))
        }
        Some("generateKubeConfigOutput") if order.data.get("_as") == Some("file") => {
            kubeconfig_file(order, &json)
        }
        Some("generateKubeConfigOutput") => visitor.show(reply.status, &kubeconfig(visitor, order, &json)),
        Some("clusterTestOutput") => visitor.show(reply.status, &verdict(visitor, order, &json)),
        Some("bulkResult") => visitor.show(reply.status, &bulk(visitor, order, &json)),
        _ if order.method == Method::DELETE => {
            see_other(&format!("{}?_done=deleted", order.place.collection))
        }
        _ if order.method == Method::PUT => see_other(&format!("{path}?_done=changed")),
        _ if order.action.is_some() => see_other(&format!("{path}?_done=done")),
        _ => {
            let created = link(&json, "links", "self").unwrap_or_else(|| path.clone());
            see_other(&format!("{created}?_done=created"))
        }
    }
}

fn new_token(visitor: &Visitor, path: &str, json: &Value, headers: &HeaderMap) -> OncePage {
    let id = json.get("id").map(text).unwrap_or_default();
    let schema = schema::find("token");
    let rows = rows(schema, json).into_iter().filter(|row| ROWS_OF_A_NEW_TOKEN.contains(&row.name.as_str()));
    OncePage {
        frame: visitor.frame(path, "A new token", None),
        text: "This is the only time the token is shown. Keep it where secrets are kept: the server has only its hash.",
        warnings: warnings(headers),
        heading: "Token",
        secret: json.get("token").map(text).unwrap_or_default(),
        rows: rows.collect(),
        back: Link { href: path_of("tokens", &id), label: format!("I have kept it: on to {id}") },
    }
}

fn kubeconfig(visitor: &Visitor, order: &Order<'_>, json: &Value) -> OncePage {
    OncePage {
        frame: visitor.frame(&order.place.path, "Kubeconfig", None),
        text: "Save this as a file that only you can read, and name it in KUBECONFIG. It is shown only this once.",
        warnings: Vec::new(),
        heading: "Kubeconfig",
        secret: json.get("config").map(text).unwrap_or_default(),
        rows: rows(schema::find("generateKubeConfigOutput"), json)
            .into_iter()
            .filter(|row| row.name == "tokenName")
            .collect(),
        back: Link { href: order.place.path.clone(), label: "Back to where it was made".to_owned() },
    }
}

fn kubeconfig_file(order: &Order<'_>, json: &Value) -> Response {
    let mut response = json.get("config").map(text).unwrap_or_default().into_response();
    let headers = response.headers_mut();
    seal(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
    let id = order.place.path.rsplit('/').next().unwrap_or_default();
    let name: String =
        id.chars().filter(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(*letter)).collect();
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{name}.yaml\"")) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    response
}

/// Whether the server can use a cluster.
fn verdict(visitor: &Visitor, order: &Order<'_>, json: &Value) -> QuestionPage {
    let usable = json.get("usable") == Some(&Value::Bool(true));
    let said = if usable { "The server can use this cluster." } else { "The server can't use this cluster." };
    let notice = Notice { text: said.to_owned(), bad: !usable };
    let path = &order.place.path;
    QuestionPage {
        frame: visitor.frame(path, "Test", Some(notice)),
        texts: vec![json.get("message").map(text).unwrap_or_default()],
        names: Vec::new(),
        form: None,
        back: Some(Link { href: path.clone(), label: "Back to the cluster".to_owned() }),
    }
}

/// How many tokens an order is about, or was.
fn bulk(visitor: &Visitor, order: &Order<'_>, json: &Value) -> QuestionPage {
    let count = json.get("count").and_then(Value::as_u64).unwrap_or(0);
    let names: Vec<_> = json.get("names").and_then(Value::as_array).into_iter().flatten().map(text).collect();
    let tokens = if count == 1 { "token" } else { "tokens" };
    let is_deletion = order.method == Method::DELETE;
    let done = if is_deletion { "deleted" } else { "shortened" };
    let asks = json.get("dryRun") == Some(&Value::Bool(true)) && count > 0;
    let mut texts = vec![if asks {
        format!("{count} {tokens} would be {done}.")
    } else {
        format!("{count} {tokens} {done}.")
    }];
    if u64::try_from(names.len()).is_ok_and(|named| named < count) {
        texts.push("The first of them:".to_owned());
    }
    let query: Vec<_> = order.query.iter().filter(|(name, _)| name != "dryRun").cloned().collect();
    let form = Form {
        action: target(&order.place.path, &query),
        method: is_deletion.then_some("DELETE"),
        danger: true,
        cancel: Some(order.place.path.clone()),
        ..Form::default()
    };
    let label = if is_deletion { "Yes, delete them" } else { "Yes, shorten them" };
    let title = if is_deletion { "Delete tokens" } else { "Shorten tokens" };
    let back = (!asks).then(|| back(&order.place)).flatten();
    let notice = (!asks).then(|| Notice { text: "Done.".to_owned(), bad: false });
    QuestionPage {
        frame: visitor.frame(
            &order.place.path,
            if asks { format!("{title}?") } else { title.to_owned() },
            notice,
        ),
        texts,
        names,
        form: asks.then(|| form.button(label)),
        back,
    }
}

/// The texts of the API's warnings (RFC 7234, 5.5): `299 - "text"`.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(WARNING).iter().filter_map(|line| line.to_str().ok());
    let texts = lines
        .filter_map(|line| Some(line.split_once('"')?.1.trim_end().strip_suffix('"')?.replace("\\\"", "\"")));
    texts.collect()
}

const STALE: &str = "This form is too old, or it was not sent by a page of this server. Load the page again and repeat what you did.";

const ROWS_OF_A_NEW_TOKEN: &[&str] = &["id", "kind", "userId", "description", "ttl", "expiresAt"];
