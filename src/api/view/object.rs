//! The page of one resource, and the questions it asks before it does what can't be undone.

use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::collection::sent;
use super::form::{Button, Form, Given, Purpose, inner};
use super::page::{
    Notice, ObjectPage, Progress, Question, QuestionPage, Row, Visitor, plural_label, see_other,
};
use super::resource::{Place, Refused, link};
use super::settings;
use super::text::{Cell, Link, text};
use crate::api::schema::{self, Field, Schema};

pub(super) fn page(
    visitor: &Visitor,
    place: &Place,
    json: &Value,
    notice: Option<Notice>,
    refused: Option<Refused<'_>>,
) -> ObjectPage {
    let schema = place.schema.filter(|_| place.is_one);
    let (buttons, acting) = actions(schema, json, place, refused);
    let forms = edit(schema, json, place, refused).into_iter().chain(acting).collect();
    ObjectPage {
        frame: visitor.frame(&place.path, title(json), notice),
        path: place.path.clone(),
        above: above(place),
        notes: notes(json),
        progress: progress(json),
        buttons,
        questions: questions(json),
        forms,
        rows: rows(schema, json),
        json: serde_json::to_string_pretty(json).unwrap_or_default(),
    }
}

/// Asks whether it is really to be done. There is no page for a question that the resource does not allow.
pub(super) fn question(
    visitor: &Visitor,
    place: &Place,
    json: &Value,
    what: &str,
    consequences: Option<String>,
) -> Response {
    let Some(question) = questions(json).into_iter().find(|question| question.value == what) else {
        return see_other(&place.path);
    };
    let id = text(json.get("id").unwrap_or(&Value::Null));
    let (method, hidden, texts, label) = if what == "delete" {
        let texts = deletion(json, &id).into_iter().chain(consequences).collect();
        (Some("DELETE"), Vec::new(), texts, "Yes, delete")
    } else {
        let hidden = vec![("value", "true".to_owned())];
        (
            Some("PUT"),
            hidden,
            SWITCHING.iter().map(|text| (*text).to_owned()).collect(),
            "Yes, switch it on for good",
        )
    };
    let form = Form {
        action: place.path.clone(),
        method,
        hidden,
        danger: true,
        cancel: Some(place.path.clone()),
        ..Form::default()
    };
    let frame = visitor.frame(&place.path, format!("{} {id}?", question.label), None);
    let form = Some(form.button(label));
    visitor.show(StatusCode::OK, &QuestionPage { frame, texts, names: Vec::new(), form, back: None })
}

/// The fields of a resource in the order of its schema, then the others it has.
pub(super) fn rows(schema: Option<&Schema>, json: &Value) -> Vec<Row> {
    let Some(object) = json.as_object() else { return Vec::new() };
    let fields = schema.map(|schema| schema.fields).unwrap_or_default();
    let known = fields.iter().flat_map(|field| match (inner(field), object.get(field.name)) {
        (_, None) => Vec::new(),
        (Some(inner), Some(value @ Value::Object(_))) => inner
            .iter()
            .filter_map(|part| row(part, format!("{}.{}", field.name, part.name), value))
            .collect(),
        (..) => row(field, field.name.to_owned(), json).into_iter().collect(),
    });
    let unknown = object.iter().filter(|(name, value)| {
        !fields.iter().any(|field| field.name == name.as_str())
            && !PLUMBING.contains(&name.as_str())
            && !value.is_object()
    });
    let unknown = unknown.map(|(name, value)| Row { name: name.clone(), cell: Cell::of(None, name, value) });
    let links = object.get("links").and_then(Value::as_object).filter(|_| fields.is_empty());
    let links = links.into_iter().flatten().filter_map(|(name, url)| {
        let href = super::text::local(url.as_str()?)?;
        Some(Row { name: name.clone(), cell: Cell::link(href.clone(), href) })
    });
    known.chain(unknown).chain(links).collect()
}

/// A field of `object` under this name, if it has it.
fn row(field: &Field, name: String, object: &Value) -> Option<Row> {
    let cell = Cell::of(Some(field), field.name, object.get(field.name)?);
    Some(Row { name, cell: cell.or("none") })
}

fn title(json: &Value) -> String {
    let word = |name| json.get(name).map(text).unwrap_or_default();
    let name = [word("username"), word("name")].into_iter().find(|name| !name.is_empty());
    format!("{} {}", word("type"), name.unwrap_or_else(|| word("id")))
}

fn above(place: &Place) -> Option<Link> {
    let plural = place.collection.rsplit('/').next().filter(|plural| !plural.is_empty() && place.is_one)?;
    Some(Link {
        href: place.collection.clone(),
        label: format!("All {}", plural_label(plural).to_lowercase()),
    })
}

fn edit(
    schema: Option<&'static Schema>,
    json: &Value,
    place: &Place,
    refused: Option<Refused<'_>>,
) -> Vec<Form> {
    let editable = schema.filter(|schema| link(json, "links", "update").is_some() && schema.id != "feature");
    let Some(schema) = editable else { return Vec::new() };
    let given = Given { data: sent(refused, "edit"), object: Some(json) };
    let Some(mut form) = Form::of(Purpose::Update, "edit", schema.fields, given) else { return Vec::new() };
    if schema.id == "setting" {
        for input in &mut form.inputs {
            settings::suit(input, json);
            input.hint = settings::hint(json);
        }
    }
    let put = |form| Form { action: place.path.clone(), method: Some("PUT"), ..form };
    let edit = Form { title: "Edit".to_owned(), open: form.open || schema.id == "setting", ..put(form) };
    let mut forms = vec![edit.button("Save")];
    if schema.id == "setting" && json.get("customized") == Some(&Value::Bool(true)) {
        let reset = Form {
            title: "Reset".to_owned(),
            hidden: vec![("value", String::new())],
            ..put(Form::default())
        };
        forms.push(reset.button("Back to the default"));
    }
    forms
}

/// Actions that need to know nothing more, as buttons, and the others as forms.
fn actions(
    schema: Option<&'static Schema>,
    json: &Value,
    place: &Place,
    refused: Option<Refused<'_>>,
) -> (Vec<Form>, Vec<Form>) {
    let offered = schema.map(|schema| schema.resource_actions).unwrap_or_default();
    let offered = offered.iter().filter(|action| link(json, "actions", action.name).is_some());
    let (mut buttons, mut forms) = (Vec::new(), Vec::new());
    for action in offered {
        let target = format!("{}?action={}", place.path, action.name);
        let fields = action.input.and_then(schema::find).map(|input| input.fields).unwrap_or_default();
        let given = Given { data: sent(refused, action.name), object: None };
        let label = action_label(action.name);
        match Form::of(Purpose::Create, action.name, fields, given) {
            None => buttons.push(Form { action: target, ..Form::default() }.button(label)),
            Some(form) => {
                let form = Form { title: label.clone(), action: target, ..form };
                forms.push(if action.name == "generateKubeconfig" {
                    kubeconfig(form)
                } else {
                    form.button(label)
                });
            }
        }
    }
    (buttons, forms)
}

/// A kubeconfig can be read on a page or kept as a file.
pub(super) fn kubeconfig(mut form: Form) -> Form {
    form.open = true;
    form.buttons.push(Button { label: "Show a kubeconfig".to_owned(), value: "page" });
    form.buttons.push(Button { label: "Download a kubeconfig".to_owned(), value: "file" });
    form
}

fn action_label(name: &str) -> String {
    match name {
        "generateKubeconfig" => "Kubeconfig".to_owned(),
        "setpassword" => "Set the password".to_owned(),
        "renewLease" => "Renew the lease".to_owned(),
        other => plural_label(other),
    }
}

fn questions(json: &Value) -> Vec<Question> {
    let is = |name: &str, value: bool| json.get(name) == Some(&Value::Bool(value));
    let switchable = json.get("type").is_some_and(|kind| kind == "feature")
        && link(json, "links", "update").is_some()
        && is("value", false)
        && !is("locked", true);
    let switch = switchable.then(|| Question { value: "switch", label: "Switch on".to_owned() });
    // A session is ended by logging out: the API refuses to delete the one it is asked with.
    let removable = link(json, "links", "remove").is_some() && !is("current", true);
    let delete = removable.then(|| Question { value: "delete", label: "Delete".to_owned() });
    switch.into_iter().chain(delete).collect()
}

fn deletion(json: &Value, id: &str) -> Vec<String> {
    let what = match json.get("type").and_then(Value::as_str) {
        Some("token") => {
            "Whatever presents this token is refused from then on, and its open connections are cut."
        }
        Some("cluster") => {
            "Requests for this cluster are refused from then on, and its open connections are cut."
        }
        Some("user") => {
            "All tokens of this user are deleted as well, and what presents them is refused from then on."
        }
        _ => "",
    };
    let of = ["description", "username", "name"].into_iter().find_map(|name| json.get(name)).map(text);
    let of = of.filter(|text| !text.is_empty() && text != id);
    let name = of.map_or_else(|| id.to_owned(), |of| format!("{id} ({of})"));
    [format!("{name} is deleted. This can't be undone."), what.to_owned()]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect()
}

fn notes(json: &Value) -> Vec<String> {
    let is = |name: &str, value: &str| json.get(name).is_some_and(|own| own == value);
    let mut notes = Vec::new();
    if is("type", "setting") && is("source", "env") {
        notes.push("The server's environment sets this. It can't be changed here.".to_owned());
    }
    if is("type", "cluster") && is("source", "configured") {
        notes.push(
            "The server's configuration says that this cluster is there. It can't be changed here."
                .to_owned(),
        );
    }
    let trouble = json.get("transitioningMessage").map(text).filter(|text| !text.is_empty());
    notes.extend(trouble.map(|text| format!("This cluster can't be used: {text}.")));
    if is("type", "token") && json.get("current") == Some(&Value::Bool(true)) {
        notes.push("This is the session you are looking through. Log out to end it.".to_owned());
    }
    if is("type", "feature") {
        let status =
            |name: &str| json.get("status").and_then(|status| status.get(name)).map(text).unwrap_or_default();
        let lines = [("State", "state"), ("Backup", "backup"), ("Error", "error")];
        let lines = lines.map(|(label, name)| (label, status(name)));
        notes.extend(
            lines
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .map(|(label, text)| format!("{label}: {text}")),
        );
    }
    notes
}

fn progress(json: &Value) -> Option<Progress> {
    let status = json.get("status")?;
    let state = status.get("state")?.as_str().filter(|state| !matches!(*state, "on" | "off"))?;
    let number = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
    let total = number("total").max(1);
    Some(Progress {
        label: format!("{state}: {} of {}", number("done"), number("total")),
        done: number("done").min(total),
        total,
    })
}

/// What the question before the switch says.
const SWITCHING: [&str; 3] = [
    "Switching token-hashing on can't be undone: it can't be switched off again, by nobody.",
    "A backup is written first. Then the key of every token is replaced by its hash, after which no key can be read \
     from the store or its files any more.",
    "Tokens that clients hold keep working.",
];

const PLUMBING: &[&str] = &["type", "baseType", "links", "actions"];
