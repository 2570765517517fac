//! `/ui`: logging in and out, and one's own password.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::page::{AgainPage, LoginPage, Notice, PasswordPage, Revocation, Visitor, see_other};
use super::resource::{comes_from_elsewhere, log_in_first, refusal};
use super::sent::FormData;
use super::text::Link;
use super::{View, own_parameter};
use crate::api::body::form_body;
use crate::api::error::ApiError;
use crate::api::request::client_of;
use crate::api::{Authentication, session};
use crate::authority::{Login, LoginPurpose};
use crate::secret::Secret;

/// `GET /ui`.
pub(super) async fn home() -> Response {
    see_other(HOME)
}

/// `GET /ui/login`.
pub(super) async fn show_login(State(view): State<View>, request: Request) -> Result<Response, ApiError> {
    let (parts, visitor) = visit(&view, request).await?;
    if comes_from_elsewhere(&parts) {
        let here = parts.uri.path_and_query().map_or("/ui/login", |target| target.as_str()).to_owned();
        return Ok(visitor.show(StatusCode::OK, &AgainPage { here }));
    }
    let next = own_path(own_parameter(&parts.uri, "next"));
    if visitor.caller.is_some() {
        return Ok(see_other(&next));
    }
    let text = match own_parameter(&parts.uri, "_done").as_deref() {
        Some("password") => "The password was changed. Log in with the new one.",
        Some("logout") => "You are logged out.",
        _ => return Ok(login_page(&visitor, StatusCode::OK, None, String::new(), next)),
    };
    let notice = Notice { text: text.to_owned(), bad: false };
    Ok(login_page(&visitor, StatusCode::OK, Some(notice), String::new(), next))
}

/// `POST /ui/login`.
pub(super) async fn log_in(State(view): State<View>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, data) = read(request).await?;
    let admitted = session::admit_form(&mut parts, data.get("_csrf"));
    let visitor = Visitor::of(&view.api, &parts).await?;
    let text = |name| data.get(name).unwrap_or_default().to_owned();
    let (username, next) = (text("username"), own_path(Some(text("next"))));
    if let Err(error) = admitted {
        let notice = Notice { text: STALE.to_owned(), bad: true };
        return Ok(login_page(&visitor, error.status(), Some(notice), username, next));
    }
    let login = Login {
        username: username.clone(),
        password: Secret::new(text("password")),
        purpose: LoginPurpose::Session,
        cluster: None,
        description: "browser".to_owned(),
        client: client_of(&parts.extensions),
    };
    match view.api.authority.login(login).await {
        Ok(issued) => {
            let mut response = see_other(&next);
            session::begin(response.headers_mut(), &issued.bearer.expose())?;
            Ok(response)
        }
        Err(error) => {
            let error = ApiError::from(error);
            let status = error.status();
            let text = match status {
                StatusCode::UNAUTHORIZED => "The username or the password is wrong.".to_owned(),
                _ => format!("{error}."),
            };
            let mut response = login_page(&visitor, status, Some(Notice { text, bad: true }), username, next);
            if let Some(seconds) = error.into_response().headers().get(RETRY_AFTER) {
                response.headers_mut().insert(RETRY_AFTER, seconds.clone());
            }
            Ok(response)
        }
    }
}

/// `POST /ui/logout`.
pub(super) async fn log_out(State(view): State<View>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, data) = read(request).await?;
    let admitted = session::admit_form(&mut parts, data.get("_csrf"));
    let visitor = Visitor::of(&view.api, &parts).await?;
    if let Err(error) = admitted {
        return Ok(visitor.say(&parts.uri, error.status(), STALE.to_owned(), None));
    }
    if matches!(parts.extensions.get(), Some(Authentication::Caller(_))) {
        let reply = view.ask(&parts, Method::POST, "/v3/tokens?action=logout", None).await?;
        // Whoever believes to be logged out must be.
        if reply.status.is_server_error() {
            return Ok(refusal(&visitor, &parts.uri, &reply, None));
        }
    }
    let mut response = see_other("/ui/login?_done=logout");
    session::end(response.headers_mut())?;
    Ok(response)
}

/// `GET /ui/password`.
pub(super) async fn show_password(State(view): State<View>, request: Request) -> Result<Response, ApiError> {
    let (parts, visitor) = visit(&view, request).await?;
    if visitor.caller.is_none() {
        return Ok(log_in_first(&parts, &visitor));
    }
    let changed = own_parameter(&parts.uri, "_done").is_some_and(|done| done == "password");
    let notice = changed.then(|| Notice { text: "The password was changed.".to_owned(), bad: false });
    Ok(password_page(&visitor, StatusCode::OK, notice, String::new()))
}

/// `POST /ui/password`.
pub(super) async fn change_password(
    State(view): State<View>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, data) = read(request).await?;
    let admitted = session::admit_form(&mut parts, data.get("_csrf"));
    let visitor = Visitor::of(&view.api, &parts).await?;
    let revoke = data.get("revokeTokens").unwrap_or_default().to_owned();
    let refuse = |status, text| {
        let notice = Notice { text, bad: true };
        Ok(password_page(&visitor, status, Some(notice), revoke.clone()))
    };
    if let Err(error) = admitted {
        return refuse(error.status(), STALE.to_owned());
    }
    if visitor.caller.is_none() {
        return Ok(see_other("/ui/login?next=%2Fui%2Fpassword"));
    }
    let new = data.get("newPassword").unwrap_or_default();
    if Some(new) != data.get("again") {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            "The two new passwords are not the same.".to_owned(),
        );
    }
    let current = data.get("currentPassword").unwrap_or_default();
    let mut body = json!({ "currentPassword": current, "newPassword": new });
    if let (false, Some(fields)) = (revoke.is_empty(), body.as_object_mut()) {
        fields.insert("revokeTokens".to_owned(), Value::from(revoke.clone()));
    }
    let reply = view.ask(&parts, Method::POST, "/v3/users?action=changepassword", Some(&body)).await?;
    if !reply.status.is_success() {
        return refuse(reply.status, reply.message());
    }
    if revoke != ALL {
        return Ok(see_other("/ui/password?_done=password"));
    }
    let mut response = see_other("/ui/login?_done=password");
    session::end(response.headers_mut())?;
    Ok(response)
}

/// Any other method on the paths here.
pub(super) async fn refuse_method(State(view): State<View>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&view.api, &parts).await?;
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let back = Link { href: HOME.to_owned(), label: "Tokens".to_owned() };
    Ok(visitor.say(&parts.uri, status, "This address takes no such request.".to_owned(), Some(back)))
}

async fn visit(view: &View, request: Request) -> Result<(Parts, Visitor), ApiError> {
    let (mut parts, _) = request.into_parts();
    session::admit(&mut parts)?;
    let visitor = Visitor::of(&view.api, &parts).await?;
    Ok((parts, visitor))
}

async fn read(request: Request<Body>) -> Result<(Parts, FormData), ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = form_body(&parts.headers, body).await?;
    Ok((parts, FormData::parse(&bytes)))
}

fn login_page(
    visitor: &Visitor,
    status: StatusCode,
    notice: Option<Notice>,
    username: String,
    next: String,
) -> Response {
    visitor.show(status, &LoginPage { frame: visitor.frame("/ui/login", "Log in", notice), username, next })
}

fn password_page(visitor: &Visitor, status: StatusCode, notice: Option<Notice>, revoke: String) -> Response {
    let frame = visitor.frame("/ui/password", "Change your password", notice);
    visitor.show(status, &PasswordPage { frame, revocations: &REVOCATIONS, revoke })
}

/// Where to go after logging in: only to a page of ours, whatever the address says.
fn own_path(next: Option<String>) -> String {
    let is_own = |next: &String| {
        let path = next.split(['?', '#']).next().unwrap_or_default();
        let below =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        // `..` in any spelling would lead out of ours again.
        let climbs = path.contains("..") || path.to_ascii_lowercase().contains("%2e") || path.contains("//");
        (below("/v3") || below("/ui")) && plain && !climbs
    };
    next.filter(is_own).unwrap_or_else(|| HOME.to_owned())
}

const HOME: &str = "/v3/tokens";

/// The revocation that ends the session as well which asks for it.
const ALL: &str = "all";

const STALE: &str = "This form is too old, or it was not sent by a page of this server. Try again.";

/// The choices beside a new password.
const REVOCATIONS: [Revocation; 3] = [
    Revocation { value: "", label: "Keep them all", hint: "Every session, key and kubeconfig stays good." },
    Revocation {
        value: "sessions",
        label: "End my other sessions",
        hint: "Ends every other login, in browsers and on the command line. Keys and kubeconfigs stay good.",
    },
    Revocation {
        value: ALL,
        label: "End all my tokens",
        hint: "Ends every session, this one too, and every key and kubeconfig: whatever uses one of them is refused \
               from then on.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_logging_in_nobody_is_sent_to_another_site() {
        for next in ["/v3", "/v3/tokens/token-bcdfg", "/v3/tokens?kind=session&sort=name", "/ui/password"] {
            assert_eq!(own_path(Some(next.to_owned())), next);
        }
        for next in [
            "",
            "/",
            "//evil.example.org",
            "/\\evil.example.org",
            "https://evil.example.org/v3/tokens",
            "javascript:alert(1)",
            "/v3/../k8s/clusters/local",
            "/v3/%2e%2E/api",
            "/v3//evil",
            "/v3\\..\\x",
            "/v3/tokens\r\nSet-Cookie: x=y",
            "/v3x",
            "/api/v1/secrets",
            "v3/tokens",
            " /v3",
        ] {
            assert_eq!(own_path(Some(next.to_owned())), HOME, "{next:?}");
        }
        assert_eq!(own_path(None), HOME);
    }
}
