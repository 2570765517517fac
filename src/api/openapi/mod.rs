//! `/v3/openapi.json`: the API's description. It is generated from handlers and types when it is tested, and committed: so a
//! change of the API is seen in its diff, and the program has the text and not the code that makes it.

#[cfg(test)]
mod complete;
#[cfg(test)]
mod generated;

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

/// The description. `generated` keeps it equal to what handlers and types say.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// Whether somebody is there.
#[utoipa::path(get, path = "/ping", responses((status = 200, description = "Yes", body = String, content_type = "text/plain")))]
pub(super) async fn ping() -> &'static str {
    "pong"
}

/// This description.
#[utoipa::path(get, path = "/v3/openapi.json", responses((status = 200, description = "An OpenAPI document", body = Object)))]
pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
