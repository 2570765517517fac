//! The page of a collection.

use serde_json::Value;

use super::form::{Form, Given, Input, Purpose};
use super::object::kubeconfig;
use super::page::{CollectionPage, Column, Notice, Visitor, plural_label};
use super::resource::{Place, Refused, link};
use super::sent::FormData;
use super::text::{Cell, Link, local};
use super::{settings, target};
use crate::api::schema::{self, Schema};

pub(super) fn page(
    visitor: &Visitor,
    place: &Place,
    json: &Value,
    query: &[(String, String)],
    notice: Option<Notice>,
    refused: Option<Refused<'_>>,
) -> CollectionPage {
    let kind = json.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    let plural = place.collection.rsplit('/').next().unwrap_or_default();
    let schema = place.schema;
    let shown =
        |name: &str| schema.is_some_and(|schema| schema.filters.iter().any(|filter| filter.name == name));
    let filtered = query.iter().any(|(name, _)| shown(name));
    let empty = Vec::new();
    let data = json.get("data").and_then(Value::as_array).unwrap_or(&empty);
    let names = column_names(kind, data);
    CollectionPage {
        frame: visitor.frame(&place.path, plural_label(plural), notice),
        about: schema.map(|schema| schema.description).unwrap_or_default(),
        path: place.path.clone(),
        forms: forms(schema, json, place, refused),
        filters: filters(schema, query),
        filtered,
        bulk: bulk(schema, json, place, query, filtered),
        rows: data.iter().map(|object| row(schema, &names, object)).collect(),
        columns: names.into_iter().map(|name| column(json, name)).collect(),
        total: json.get("pagination").and_then(|pagination| pagination.get("total")?.as_u64()),
        pages: pages(json, query),
        raw: target(&place.path, &[query, &[("_format".to_owned(), "json".to_owned())]].concat()),
    }
}

/// The form that makes one, and those of the collection's actions.
fn forms(
    schema: Option<&'static Schema>,
    json: &Value,
    place: &Place,
    refused: Option<Refused<'_>>,
) -> Vec<Form> {
    let Some(schema) = schema else { return Vec::new() };
    let given = |form: &str| Given { data: sent(refused, form), object: None };
    let creatable = json.get("createTypes").is_some_and(|types| types.get(schema.id).is_some());
    let create =
        creatable.then(|| Form::of(Purpose::Create, "create", schema.fields, given("create"))).flatten();
    let create = create
        .map(|form| Form { title: "Create".to_owned(), action: place.path.clone(), ..form }.button("Create"));
    let several =
        (schema.id == "setting").then(|| settings::form(place, json, sent(refused, "set"))).flatten();
    let kubeconfigs = (schema.id == "cluster").then(|| kubeconfigs(place, json, refused)).flatten();
    create.into_iter().chain(several).chain(kubeconfigs).collect()
}

/// The form for a kubeconfig with several clusters in it.
fn kubeconfigs(place: &Place, json: &Value, refused: Option<Refused<'_>>) -> Option<Form> {
    const NAME: &str = "generateKubeconfig";
    link(json, "actions", NAME)?;
    let fields = schema::find("generateKubeconfigsInput")?.fields;
    let given = Given { data: sent(refused, NAME), object: None };
    let form = Form::of(Purpose::Create, NAME, fields, given)?;
    let (title, action) = ("Kubeconfig for several".to_owned(), format!("{}?action={NAME}", place.path));
    Some(kubeconfig(Form { title, action, ..form }))
}

/// What was sent by the form of this name, if it was the one that was refused.
pub(super) fn sent<'a>(refused: Option<Refused<'a>>, form: &str) -> Option<&'a FormData> {
    refused.filter(|refused| refused.form == form).map(|refused| refused.data)
}

fn filters(schema: Option<&'static Schema>, query: &[(String, String)]) -> Vec<Input> {
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let filters = schema.map(|schema| schema.filters).unwrap_or_default();
    filters.iter().map(|filter| Input::filter(filter, value(filter.name).unwrap_or_default())).collect()
}

/// What can be done to all that match the filter: first only counted.
fn bulk(
    schema: Option<&Schema>,
    json: &Value,
    place: &Place,
    query: &[(String, String)],
    filtered: bool,
) -> Vec<Form> {
    if !filtered || schema.is_none_or(|schema| schema.id != "token") {
        return Vec::new();
    }
    let query: Vec<_> = query.iter().filter(|(name, _)| !PAGING.contains(&name.as_str())).cloned().collect();
    let ask = |label: &str, method, extra: &[(&str, &str)]| {
        let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let query: Vec<_> = query.iter().cloned().chain(extra).collect();
        Form { action: target(&place.path, &query), method, danger: true, ..Form::default() }.button(label)
    };
    let mut forms = vec![ask("Delete all that match", Some("DELETE"), &[("dryRun", "true")])];
    if link(json, "actions", "shorten").is_some() {
        forms.push(ask(
            "Shorten all that match to the maximum",
            None,
            &[("action", "shorten"), ("dryRun", "true")],
        ));
    }
    forms
}

fn column_names(kind: &str, data: &[Value]) -> Vec<String> {
    let known: &[&str] = match kind {
        "token" => &[
            "id",
            "kind",
            "userId",
            "description",
            "enabled",
            "expired",
            "expiresAt",
            "lastUsedAt",
            "created",
        ],
        "user" => &["id", "username", "groups", "admin", "enabled", "created"],
        "cluster" => &["id", "name", "state", "source", "endpoints", "created"],
        "setting" => &["id", "value", "unit", "default", "source"],
        "feature" => &["id", "value", "locked", "description"],
        "auditEvent" => {
            &["id", "created", "action", "outcome", "actor", "token", "user", "client", "message"]
        }
        "schema" => &["id", "pluralName", "description", "collectionMethods", "resourceMethods"],
        _ => &[],
    };
    if !known.is_empty() {
        return known.iter().map(|name| (*name).to_owned()).collect();
    }
    let fields = data.first().and_then(Value::as_object).into_iter().flatten();
    let plain = fields
        .filter(|(name, value)| *name != "id" && !HIDDEN.contains(&name.as_str()) && !value.is_object());
    ["id"].into_iter().map(str::to_owned).chain(plain.map(|(name, _)| name.clone())).collect()
}

fn row(schema: Option<&Schema>, names: &[String], object: &Value) -> Vec<Cell> {
    let cell = |name: &String| {
        let value = object.get(name).unwrap_or(&Value::Null);
        if name == "id"
            && let Some(page) = link(object, "links", "self")
        {
            return Cell::link(value.as_str().unwrap_or_default(), page);
        }
        let field = schema.and_then(|schema| schema.fields.iter().find(|field| field.name == name));
        Cell::of(field, name, value)
    };
    names.iter().map(cell).collect()
}

/// The head of a column: a link if the API can sort by it.
fn column(json: &Value, name: String) -> Column {
    let sort = json.get("sort");
    let text = |key: &str| sort.and_then(|sort| sort.get(key)?.as_str());
    let links = sort.and_then(|sort| sort.get("links"));
    let key = |name: &str| links.is_some_and(|links| links.get(name).is_some()).then(|| name.to_owned());
    // What is called `id` in a resource may be its `name` to the sort.
    let key = key(&name).or_else(|| (name == "id").then(|| key("name")).flatten());
    let Some(key) = key else { return Column { name, href: None, order: None } };
    let descending = text("order") == Some("desc");
    let current = text("name") == Some(key.as_str());
    let reverse = current.then(|| text("reverse")).flatten().and_then(local);
    let href = reverse.or_else(|| links.and_then(|links| local(links.get(&key)?.as_str()?)));
    let order = if descending { "descending" } else { "ascending" };
    Column { name, href, order: current.then_some(order) }
}

fn pages(json: &Value, query: &[(String, String)]) -> Vec<Link> {
    let page =
        |name, label: &str| link(json, "pagination", name).map(|href| Link { href, label: label.to_owned() });
    // On the first page a link to it would lead nowhere.
    let first = query.iter().any(|(name, _)| name == "marker").then(|| page("first", "First page")).flatten();
    first.into_iter().chain(page("next", "Next page")).collect()
}

/// Fields that every resource has and that say nothing to people.
const HIDDEN: &[&str] = &["type", "baseType", "links", "actions", "creatorId", "createdTS"];

/// Parameters that say which part of a list is shown, not what is in it.
const PAGING: &[&str] = &["limit", "marker", "sort", "order"];
