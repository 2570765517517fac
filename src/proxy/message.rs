//! Checks of a whole request that do not depend on who sends it.

use http::header::HOST;
use http::{Request, Uri, Version};

use super::error::check_method;
use super::{Client, ProxyError};
use crate::config::Limits;

/// Octets that HTTP/1.1 puts around a header field: colon, space and CRLF.
const FIELD_OVERHEAD: usize = 4;

/// Refuses what [`check_form`] refuses, and methods that no cluster knows.
///
/// # Errors
/// The client's fault, each of them.
pub(super) fn check<B>(request: &Request<B>, client: &Client, limits: &Limits) -> Result<(), ProxyError> {
    check_form(request, client, limits)?;
    check_method(request.method())
}

/// Refuses what is not exactly one well-formed request, or is larger than we take.
///
/// # Errors
/// The client's fault, each of them.
pub fn check_form<B>(request: &Request<B>, client: &Client, limits: &Limits) -> Result<(), ProxyError> {
    if request.version() != Version::HTTP_2 {
        client.messages.next_message().map_err(ProxyError::Ambiguous)?;
    }
    check_target(request.uri())?;
    check_authority(request)?;
    let headers = request.headers();
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD).sum();
    if headers.len() > limits.max_headers || bytes > limits.max_header_bytes {
        return Err(ProxyError::HeaderTooLarge);
    }
    Ok(())
}

/// The HTTP library takes more in a target than a URI may hold; a server behind us may make something else of it.
fn check_target(uri: &Uri) -> Result<(), ProxyError> {
    let Some(target) = uri.path_and_query() else { return Err(ProxyError::Ambiguous("no path")) };
    if !target.as_str().starts_with('/') {
        return Err(ProxyError::Ambiguous("target is not a path"));
    }
    if !target.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(ProxyError::Ambiguous("request target has a character that must be escaped"));
    }
    Ok(())
}

/// The characters of a host, as a name or an address, and a port (RFC 3986, 3.2.2): no user, no path, no white space.
fn is_host(host: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte);
    !host.is_empty() && host.iter().all(legal)
}

/// One authority, said once: `Host` in HTTP/1.1; in HTTP/2 `:authority`, which a `Host` beside it must repeat
/// (RFC 9113, 8.3.1). We don't route by it, but what is behind us might.
fn check_authority<B>(request: &Request<B>) -> Result<(), ProxyError> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(ProxyError::Ambiguous("more than one Host"));
    }
    if host.is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(ProxyError::Ambiguous("Host is not a host and port"));
    }
    match (request.version(), request.uri().authority(), host) {
        (Version::HTTP_2, Some(authority), Some(host))
            if authority.as_str().as_bytes() != host.as_bytes() =>
        {
            Err(ProxyError::Ambiguous(":authority and Host differ"))
        }
        (Version::HTTP_2, None, None) => Err(ProxyError::Ambiguous("neither :authority nor Host")),
        (Version::HTTP_10 | Version::HTTP_11, Some(_), _) => {
            Err(ProxyError::Ambiguous("target is an absolute URI"))
        }
        _ => Ok(()),
    }
}
