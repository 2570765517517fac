//! What holds for many operations and is said once: parameters by the schemas, refusals, credentials.

use utoipa::Modify;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema as ApiSchema, SchemaFormat, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, KnownFormat, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder,
};

use crate::api::schema::{AUTH_PROVIDER, Filter, SCHEMAS, Schema};
use crate::store::MAX_PAGE;

/// Completes the description.
pub(super) struct Complete;

impl Modify for Complete {
    fn modify(&self, description: &mut OpenApi) {
        let components = description.components.get_or_insert_with(Components::new);
        for (name, scheme) in [(BEARER, HttpAuthScheme::Bearer), (BASIC, HttpAuthScheme::Basic)] {
            components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
        }
        for (path, item) in &mut description.paths.paths {
            complete_item(path, item);
        }
    }
}

fn complete_item(path: &str, item: &mut PathItem) {
    let is_public = PUBLIC.iter().any(|public| path.starts_with(public));
    let is_one = path.ends_with("/{id}");
    let collection = path.trim_end_matches("/{id}");
    let schema = SCHEMAS.iter().copied().chain([&AUTH_PROVIDER]).find(|schema| schema.path() == collection);
    let PathItem { get, put, post, delete, .. } = item;
    let operations = [(true, &mut *get), (false, put), (false, &mut *post), (false, &mut *delete)];
    for (is_read, operation) in
        operations.into_iter().filter_map(|(is_read, slot)| Some((is_read, slot.as_mut()?)))
    {
        if is_one {
            add_parameter(operation, in_path("id"));
            refuse(operation, &["404"]);
        }
        let with_body = operation.request_body.is_some();
        refuse(operation, if with_body { &["413", "415", "422"] } else { &[] });
        refuse(operation, if is_public { &[] } else { &["401", "403"] });
        refuse(operation, &["400", "500", "503"]);
        let by = |name: &str| SecurityRequirement::new(name, [""; 0]);
        operation.security = Some(if is_public { Vec::new() } else { vec![by(BEARER), by(BASIC)] });
        if path == "/v3/settings/{id}" && is_read {
            // One of them is for everybody.
            operation.security.get_or_insert_default().push(SecurityRequirement::default());
        }
    }
    if path == LOGIN
        && let Some(post) = post
    {
        add_parameter(post, action(&["login"], true));
        refuse(post, &["404"]);
    }
    if path == CLUSTER
        && let Some(delete) = delete
    {
        let dry_run = ObjectBuilder::new().schema_type(Type::Boolean);
        add_parameter(delete, in_query("dryRun", dry_run, "Nothing is deleted, only looked at"));
        refuse(delete, &["422"]);
    }
    if let Some(schema) = schema {
        complete_resource(schema, is_one, get.as_mut(), post.as_mut());
        // A collection is deleted, and many of it are changed, by its filters.
        for operation in
            [&mut *delete, post].into_iter().flatten().filter(|_| !is_one && schema.id == "token")
        {
            schema.filters.iter().map(filter_of_change).for_each(|each| add_parameter(operation, each));
            let dry_run = ObjectBuilder::new().schema_type(Type::Boolean);
            add_parameter(operation, in_query("dryRun", dry_run, "Nothing is done, only counted"));
            refuse(operation, &["422"]);
        }
    }
}

fn complete_resource(
    schema: &Schema,
    is_one: bool,
    get: Option<&mut Operation>,
    post: Option<&mut Operation>,
) {
    if let Some(get) = get.filter(|_| !is_one) {
        list_parameters(schema).for_each(|parameter| add_parameter(get, parameter));
        refuse(get, &["422"]);
    }
    if let Some(post) = post {
        let needs_body = schema.id == "user" || schema.id == "setting";
        if let Some(RefOr::T(body)) = post.request_body.as_mut().filter(|_| !needs_body) {
            body.required = Some(Required::False);
        }
        let actions = if is_one { schema.resource_actions } else { schema.collection_actions };
        if !actions.is_empty() {
            let names: Vec<_> = actions.iter().map(|action| action.name).collect();
            // Where nothing is made, every request is an action.
            add_parameter(post, action(&names, is_one || schema.id == "setting"));
            refuse(post, &["404", "422"]);
        }
    }
}

/// What says which part of a list is wanted; each may be empty, as a filter may.
fn list_parameters(schema: &Schema) -> impl Iterator<Item = Parameter> {
    let sorts = [schema.sorts, &[""]].concat();
    let sort = (!schema.sorts.is_empty()).then(|| in_query("sort", any_of(&sorts), "What it is sorted by"));
    let order = in_query("order", any_of(&["asc", "desc", ""]), "In which direction it is sorted");
    let marker = in_query("marker", ObjectBuilder::new().schema_type(Type::String), "Where it begins");
    let number = || ObjectBuilder::new().schema_type(Type::Integer);
    let limit = OneOfBuilder::new().item(number().minimum(Some(1))).item(number().enum_values(Some([-1])));
    let limit = limit.item(any_of(&[""]));
    let limit =
        in_query("limit", limit, &format!("How many there are in a page, up to {MAX_PAGE}; -1 is as many"));
    let paging = sort.into_iter().chain([order, limit, marker]);
    schema.filters.iter().map(filter).chain(paging)
}

/// A filter of a list, which may be empty: that is none, as forms send those that were left empty.
fn filter(filter: &Filter) -> Parameter {
    let schema = OneOfBuilder::new().item(value(filter)).item(any_of(&[""]));
    let schema: RefOr<ApiSchema> = if filter.kind == "string" { value(filter).into() } else { schema.into() };
    in_query(filter.name, schema, "Those of which this holds")
}

/// A filter of a change of many, which must say something.
fn filter_of_change(filter: &Filter) -> Parameter {
    let schema = value(filter);
    let schema = if filter.kind == "string" { schema.min_length(Some(1)) } else { schema };
    in_query(filter.name, schema, "Those of which this holds")
}

fn value(filter: &Filter) -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    match filter.kind {
        "boolean" => ObjectBuilder::new().schema_type(Type::Boolean),
        "date" => text.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
        "enum" => any_of(filter.options),
        _ => text,
    }
}

fn action(names: &[&str], required: bool) -> Parameter {
    let mut parameter = in_query("action", any_of(names), "What is to be done");
    parameter.required = if required { Required::True } else { Required::False };
    parameter
}

fn any_of(texts: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(texts.iter().map(ToString::to_string)))
}

fn in_query(name: &str, schema: impl Into<RefOr<ApiSchema>>, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn in_path(name: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(text))
        .build()
}

fn add_parameter(operation: &mut Operation, parameter: Parameter) {
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
}

/// Adds refusals, where the handler does not document the status itself.
fn refuse(operation: &mut Operation, statuses: &[&str]) {
    for status in statuses {
        operation
            .responses
            .responses
            .entry((*status).to_owned())
            .or_insert_with(|| RefOr::T(refusal(status)));
    }
}

fn refusal(status: &str) -> Response {
    let meaning = match status {
        "400" => "The request can't be told, such as one with two credentials",
        "401" => "There is no credential, or not a good one",
        "403" => "The caller may not do this",
        "404" => "There is none that the caller may know of",
        "413" => "The body is too long",
        "415" => "The body is not JSON",
        "422" => "A parameter or a field is not as it must be",
        "503" => "A part of the server can't be reached now, or has too much to do; try again",
        _ => "The server failed",
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
    ResponseBuilder::new().description(meaning).content("application/json", content).build()
}

/// Where one logs in with an action.
const LOGIN: &str = "/v3-public/localProviders/local";

/// Of which one is asked what its deletion would cut.
const CLUSTER: &str = "/v3/clusters/{id}";

/// What needs no credential.
const PUBLIC: &[&str] = &["/ping", "/v3-public", "/v1-public", "/v3/openapi.json"];

const BEARER: &str = "bearer";
const BASIC: &str = "basic";
