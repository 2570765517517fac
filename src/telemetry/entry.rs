//! What is known about one request in the end: the fields a line of the access log may have, and no other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, Uri, Version};

use crate::clock::UnixMillis;
use crate::identity::Username;
use crate::kube::{RequestInfo, Verb};
use crate::token::TokenName;

/// The longest text of a client that is kept, in bytes. Every name Kubernetes allows is shorter, and a queue full of
/// lines stays small whatever clients send.
const MAX_TEXT: usize = 512;

const MAX_METHOD: usize = 32;

/// One request. Fields that a request does not have are empty.
pub(super) struct Entry {
    pub(super) time: UnixMillis,
    pub(super) client: SocketAddr,
    /// None for an invented one of great length.
    pub(super) method: Option<Method>,
    pub(super) protocol: Version,
    /// Never with the query: commands and credentials are passed there.
    pub(super) path: Box<str>,
    pub(super) verb: Option<Verb>,
    pub(super) object: Option<Object>,
    pub(super) cluster: Option<Arc<str>>,
    pub(super) user: Option<Username>,
    pub(super) impersonated_user: Option<Username>,
    pub(super) token: Option<TokenName>,
    pub(super) code: Option<StatusCode>,
    pub(super) reason: &'static str,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) duration: Duration,
    pub(super) upgraded: bool,
}

/// The object or collection a request is about.
pub(super) struct Object {
    pub(super) api_group: Box<str>,
    pub(super) resource: Box<str>,
    pub(super) subresource: Box<str>,
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
}

impl Entry {
    pub(super) fn new(client: SocketAddr, method: &Method, uri: &Uri, protocol: Version) -> Self {
        Self {
            time: UnixMillis::default(),
            client: SocketAddr::new(client.ip().to_canonical(), client.port()),
            method: (method.as_str().len() <= MAX_METHOD).then(|| method.clone()),
            protocol,
            path: bounded(uri.path()),
            verb: None,
            object: None,
            cluster: None,
            user: None,
            impersonated_user: None,
            token: None,
            code: None,
            reason: "",
            bytes_received: 0,
            bytes_sent: 0,
            duration: Duration::ZERO,
            upgraded: false,
        }
    }
}

impl Object {
    pub(super) fn of(info: &RequestInfo<'_>) -> Self {
        Self {
            api_group: bounded(&info.api_group),
            resource: bounded(&info.resource),
            subresource: bounded(&info.subresource),
            namespace: bounded(&info.namespace),
            name: bounded(&info.name),
        }
    }
}

/// A copy of the first part of `text`. Not a clone of what the request holds: that would keep the whole header, the
/// credential in it included, in memory for as long as the request lasts.
pub(super) fn bounded(text: &str) -> Box<str> {
    match text.get(..text.floor_char_boundary(MAX_TEXT)) {
        Some(start) => start.into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(&*bounded("short"), "short");
        let text = format!("{}äää", "x".repeat(MAX_TEXT - 1));
        assert_eq!(bounded(&text).len(), MAX_TEXT - 1);
        let uri = format!("/{}", "y".repeat(10_000)).parse().unwrap();
        let method = Method::from_bytes(&[b'M'; 100]).unwrap();
        let entry = Entry::new("192.0.2.7:1".parse().unwrap(), &method, &uri, Version::HTTP_11);
        assert_eq!((entry.method, entry.path.len()), (None, MAX_TEXT));
    }
}
