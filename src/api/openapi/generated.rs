//! The description as handlers and types have it.

use serde::Serialize as _;
use serde_json::Serializer;
use serde_json::ser::PrettyFormatter;
use utoipa::OpenApi;

use super::complete::Complete;
use super::{__path_document, __path_ping, DOCUMENT};
use crate::api::error::ErrorObject;
use crate::api::{auditevents, clusters, features, login, projects, root, schema, settings, tokens, users};

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
    components(schemas(ErrorObject, clusters::kubeconfig::KubeconfigsRequest, users::ChangePassword)),
    modifiers(&Complete)
)]
struct Description;

#[test]
fn the_committed_description_is_what_the_code_says() {
    let mut described = Vec::new();
    // A line a value shows what changes; no indentation, as the program carries it along.
    let mut writer = Serializer::with_formatter(&mut described, PrettyFormatter::with_indent(b""));
    Description::openapi().serialize(&mut writer).unwrap();
    described.push(b'\n');
    if option_env!("WRITE_OPENAPI").is_some() {
        return std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"), described).unwrap();
    }
    assert!(described == DOCUMENT.as_bytes(), "to write it anew: WRITE_OPENAPI=1 cargo test --lib committed");
}
