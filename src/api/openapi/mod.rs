//! `/v3/openapi.json`: the API's description, generated from its handlers and types.

mod complete;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use utoipa::OpenApi;

use super::error::ErrorObject;
use super::{auditevents, clusters, features, login, projects, root, schema, settings, tokens, users};
use complete::Complete;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis",
        description = "Tokens, users and kubeconfigs, in the shapes of Rancher's API",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        ping,
        document,
        root::root,
        root::v1_root,
        schema::list,
        schema::show,
        tokens::list,
        tokens::post,
        tokens::bulk::delete,
        tokens::actions::show,
        tokens::actions::update,
        tokens::actions::act,
        tokens::actions::delete,
        tokens::log_out,
        users::list,
        users::post,
        users::show,
        users::update,
        users::act,
        users::delete,
        settings::list,
        settings::set_many,
        settings::show,
        settings::set,
        features::list,
        features::show,
        features::set,
        auditevents::list,
        clusters::list,
        clusters::post,
        clusters::show,
        clusters::update,
        clusters::act,
        clusters::delete,
        projects::list,
        projects::show,
        login::providers,
        login::v1_providers,
        login::v3,
        login::v1,
    ),
    components(schemas(ErrorObject, clusters::KubeconfigsRequest, users::ChangePassword)),
    modifiers(&Complete)
)]
struct Description;

/// Whether somebody is there.
#[utoipa::path(get, path = "/ping", responses((status = 200, description = "Yes", body = String, content_type = "text/plain")))]
pub(super) async fn ping() -> &'static str {
    "pong"
}

/// This description.
#[utoipa::path(get, path = "/v3/openapi.json", responses((status = 200, description = "An OpenAPI document", body = Object)))]
pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    Description::openapi().to_json().expect("a description is plain data, which JSON can write")
});
