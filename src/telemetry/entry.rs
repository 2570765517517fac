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

/// The object or collection a request is about. One piece of memory for all its texts: what a request gets here the
/// writer of the log gives back, and each piece that goes from thread to thread costs both.
pub(super) struct Object {
    text: Box<str>,
    /// Where each part of the text ends.
    ends: [usize; PARTS],
}

const PARTS: usize = 5;

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
        let parts = [&info.api_group, &info.resource, &info.subresource, &info.namespace, &info.name];
        let parts = parts.map(|part| start(part));
        let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        let ends = parts.map(|part| {
            text.push_str(part);
            text.len()
        });
        Self { text: text.into(), ends }
    }

    /// Group, resource, subresource, namespace and name, each with what it is called; those that there are not are empty.
    pub(super) fn parts(&self) -> [(&'static str, &str); PARTS] {
        let mut begin = 0;
        let names = ["api_group", "resource", "subresource", "namespace", "name"];
        let mut ends = self.ends.iter();
        names.map(|name| {
            let end = ends.next().copied().unwrap_or(begin);
            let part = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            (name, part)
        })
    }
}

/// A copy of the first part of `text`. Not a clone of what the request holds: that would keep the whole header, the
/// credential in it included, in memory for as long as the request lasts.
pub(super) fn bounded(text: &str) -> Box<str> {
    start(text).into()
}

fn start(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or(text)
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

    #[test]
    fn the_parts_of_an_object_stay_apart() {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", "n".repeat(MAX_TEXT + 9));
        let object = Object::of(&RequestInfo::of(&Method::GET, &path, None));
        let parts = object.parts().map(|(_, part)| part);
        assert_eq!(parts, ["apps", "deployments", "", &"n".repeat(MAX_TEXT), "web"]);
    }
}
