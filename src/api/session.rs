//! A browser's session: its cookies, and the checks that a request which comes with them comes from a page of ours.
//!
//! A browser sends cookies with whatever asks it to, so a cookie alone is no proof of its owner's will. The gate hands
//! us its caller as [`Authentication::Session`], which no handler takes for a caller. Only [`admit`] and [`admit_form`]
//! turn it into one: for requests that change nothing, and for those that come from a page of ours (by `Origin` and
//! `Sec-Fetch-Site`) and repeat the token of the cookie `CSRF`, which no other site can read.
//!
//! Both cookies are `SameSite=Strict`. No login of ours comes back from another site, which is what `Lax` would be for.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use cookie::{Cookie, SameSite};
use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{StatusCode, Uri};
use subtle::ConstantTimeEq as _;

use super::Authentication;
use super::error::ApiError;
use crate::secret::Secret;

/// The session cookies of a request to this raw path. They count on the API and its pages alone, never on the way to a
/// cluster or where one logs in.
pub fn session_cookies(path: &str, headers: &HeaderMap) -> Vec<Secret> {
    let counts = ["/v3", "/ui"]
        .iter()
        .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    if !counts {
        return Vec::new();
    }
    values(headers, SESSION).filter(|value| !value.is_empty()).map(Secret::new).collect()
}

/// Lets the cookie of a request count. One that may change something has to come from a page of ours, and to repeat the
/// CSRF token in the header `X-API-CSRF`.
pub(super) fn admit(parts: &mut Parts) -> Result<(), ApiError> {
    if matches!(parts.extensions.get(), Some(Authentication::Session(_))) && !parts.method.is_safe() {
        let echoed = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        check(parts, echoed)?;
    }
    count(parts);
    Ok(())
}

/// Lets a form count, which is what any site can send. So even one without a cookie (a login, for one) has to come from
/// a page of ours, with the CSRF token in its field `_csrf`.
pub(super) fn admit_form(parts: &mut Parts, echoed: Option<&str>) -> Result<(), ApiError> {
    check(parts, echoed)?;
    count(parts);
    Ok(())
}

/// Where a request says that it comes from.
pub(super) struct Site {
    is_own: bool,
}

impl Site {
    /// Refuses what a browser sends on behalf of another site. Programs that are no browser say nothing about sites.
    pub(super) fn refuse_others(&self) -> Result<(), ApiError> {
        if self.is_own { Ok(()) } else { Err(other_site()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Site {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self { is_own: is_own_site(parts) })
    }
}

/// Begins a session: `bearer` becomes its cookie. The CSRF token is a new one, so that none that was known before is
/// good for it.
pub(super) fn begin(headers: &mut HeaderMap, bearer: &Secret) -> Result<(), ApiError> {
    set(headers, &session(bearer.expose().to_owned()))?;
    CsrfToken::generate()?.set(headers)
}

/// Ends a session: the browser forgets both cookies.
pub(super) fn end(headers: &mut HeaderMap) -> Result<(), ApiError> {
    for mut cookie in [session(String::new()), csrf(String::new())] {
        cookie.make_removal();
        set(headers, &cookie)?;
    }
    Ok(())
}

/// Whether the request came with a session's cookie, and not with a credential of its own, which would win over it.
pub(super) fn is_by_cookie(headers: &HeaderMap) -> bool {
    !headers.contains_key(AUTHORIZATION) && values(headers, SESSION).any(|value| !value.is_empty())
}

/// The token of the cookie `CSRF`: 32 hexadecimal digits that pages repeat in their forms.
#[derive(Debug, Clone)]
pub(super) struct CsrfToken(String);

impl CsrfToken {
    /// The one a browser has. With two of them another site may have planted one, so none counts.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut tokens = values(headers, CSRF).filter(|value| is_well_formed(value));
        let token = tokens.next()?;
        tokens.next().is_none().then_some(Self(token))
    }

    pub(super) fn generate() -> Result<Self, ApiError> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|_| ApiError::of(StatusCode::INTERNAL_SERVER_ERROR))?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(random))))
    }

    pub(super) fn set(&self, headers: &mut HeaderMap) -> Result<(), ApiError> {
        set(headers, &csrf(self.0.clone()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_well_formed(token: &str) -> bool {
    token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn check(parts: &Parts, echoed: Option<&str>) -> Result<(), ApiError> {
    // Every browser that sends our cookies says where it sends them from; what doesn't can't be judged.
    let says_nothing = !parts.headers.contains_key(ORIGIN) && !parts.headers.contains_key(FETCH_SITE);
    if says_nothing || !is_own_site(parts) {
        return Err(other_site());
    }
    let own = CsrfToken::of(&parts.headers);
    let repeated =
        own.zip(echoed).is_some_and(|(own, echoed)| own.0.as_bytes().ct_eq(echoed.as_bytes()).into());
    if repeated { Ok(()) } else { Err(ApiError::invalid("InvalidCSRFToken", "invalid CSRF token")) }
}

/// Turns the session into the caller that handlers see.
fn count(parts: &mut Parts) {
    if let Some(Authentication::Session(caller)) = parts.extensions.get() {
        let caller = caller.clone();
        parts.extensions.insert(Authentication::Caller(caller));
    }
}

fn other_site() -> ApiError {
    let message = "the request does not come from a page of this server";
    ApiError::new(StatusCode::FORBIDDEN, "PermissionDenied", message)
}

/// Whether nothing says that it comes from another site.
fn is_own_site(parts: &Parts) -> bool {
    let site = parts.headers.get(FETCH_SITE);
    let origin = parts.headers.get(ORIGIN);
    site.is_none_or(|site| site == "same-origin") && origin.is_none_or(|origin| is_own(origin, parts))
}

/// Whether the origin is this server as the browser knows it. `null` is what pages without an origin send.
fn is_own(origin: &HeaderValue, parts: &Parts) -> bool {
    let Some(origin) = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()) else {
        return false;
    };
    // HTTP/2 has the authority in the URI, HTTP/1 in `Host`.
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let own = parts.uri.authority().cloned().or(host);
    origin.scheme() == Some(&Scheme::HTTPS) && own.is_some() && origin.authority() == own.as_ref()
}

/// The values of the cookies of this name, in all lines: HTTP/2 may send each cookie in a line of its own.
fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(Cookie::split_parse).flatten();
    cookies.filter(move |cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

fn session(value: String) -> Cookie<'static> {
    Cookie::build((SESSION, value)).path("/").secure(true).http_only(true).same_site(SameSite::Strict).build()
}

/// Scripts of our own origin may read it, as Rancher's clients do. It opens nothing by itself.
fn csrf(value: String) -> Cookie<'static> {
    Cookie::build((CSRF, value)).path("/").secure(true).same_site(SameSite::Strict).build()
}

fn set(headers: &mut HeaderMap, cookie: &Cookie<'static>) -> Result<(), ApiError> {
    let mut line = HeaderValue::try_from(cookie.to_string())
        .map_err(|_| ApiError::of(StatusCode::INTERNAL_SERVER_ERROR))?;
    line.set_sensitive(true);
    headers.append(SET_COOKIE, line);
    Ok(())
}

const SESSION: &str = "R_SESS";
const CSRF: &str = "CSRF";
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-api-csrf");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
