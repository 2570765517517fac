//! What a request asks for, as the apiserver itself works it out from method, path and query
//! (`RequestInfoFactory` in `k8s.io/apiserver`). What reads narrower here than there could be talked past.

use std::borrow::Cow;

use http::Method;

use super::list_options::{ListOptions, unescape};

/// Prefix, group, version, `watch`, `namespaces`, namespace, resource, name, subresource: what follows is not looked at.
const MAX_PARTS: usize = 9;

/// What is done with a resource; for other paths, the method.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verb {
    /// GET or HEAD of one object, or GET of a path that is no resource.
    Get,
    /// GET without a name.
    List,
    /// A list with `watch`, or the old path prefix `watch/`.
    Watch,
    /// POST to a resource.
    Create,
    /// PUT to a resource.
    Update,
    /// PATCH.
    Patch,
    /// DELETE of one object, or of a path that is no resource.
    Delete,
    /// DELETE without a name.
    DeleteCollection,
    /// The old path prefix `proxy/`.
    Proxy,
    /// HEAD of a path that is no resource.
    Head,
    /// POST to a path that is no resource.
    Post,
    /// PUT to a path that is no resource.
    Put,
    /// OPTIONS of a path that is no resource.
    Options,
    /// Any other method. The apiserver has no verb for it on a resource either.
    Other,
}

/// Parts that the path does not have are empty. Borrowed from the request unless it is percent-encoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestInfo<'p> {
    /// What is to be done.
    pub verb: Verb,
    /// Whether this is about objects of the API (`pods`) and not about a path (`/version`, `/apis`).
    pub is_resource: bool,
    /// `api` or `apis`.
    pub api_prefix: Cow<'p, str>,
    /// The API group, empty for the core group.
    pub api_group: Cow<'p, str>,
    /// The version of the API group.
    pub api_version: Cow<'p, str>,
    /// The namespace; for `/api/v1/namespaces/x` itself also `x`.
    pub namespace: Cow<'p, str>,
    /// The resource in the plural: `pods`.
    pub resource: Cow<'p, str>,
    /// The part of an object: `status`, `exec`.
    pub subresource: Cow<'p, str>,
    /// The object's name, from the path or from a `fieldSelector` that requires it.
    pub name: Cow<'p, str>,
    /// The decoded path.
    pub path: Cow<'p, str>,
}

impl<'p> RequestInfo<'p> {
    /// Works out what a request with this raw path and query asks for. It never fails: a path that makes no sense to
    /// the apiserver either is described as far as it goes, and the apiserver refuses it.
    pub fn of(method: &Method, path: &'p str, query: Option<&'p str>) -> Self {
        let query = query.unwrap_or_default();
        match unescape(path) {
            Some(Cow::Owned(decoded)) => RequestInfo::of_decoded(method, &decoded, query).into_owned(),
            // A bad escape is left as it is: the apiserver answers 400.
            Some(Cow::Borrowed(_)) | None => Self::of_decoded(method, path, query),
        }
    }

    /// Whether the request is expected to last: a watch, a log, or a connection to a container. The same rule by which
    /// the apiserver exempts requests from its time limits.
    pub fn is_long_running(&self) -> bool {
        matches!(self.verb, Verb::Watch | Verb::Proxy)
            || (self.is_resource
                && matches!(&*self.subresource, "attach" | "exec" | "proxy" | "log" | "portforward"))
            || (!self.is_resource && self.path.starts_with("/debug/pprof/"))
    }

    fn of_decoded(method: &Method, path: &'p str, query: &'p str) -> Self {
        let mut parts = [""; MAX_PARTS];
        let mut count = 0;
        for (slot, part) in parts.iter_mut().zip(path.trim_matches('/').split('/')) {
            *slot = part;
            count += 1;
        }
        let mut info = Self::of_path(method, path);
        let rest = match parts.get(..count).unwrap_or_default() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.api_prefix = "api".into();
                info.api_version = (*version).into();
                rest
            }
            ["apis", group, version, rest @ ..] => {
                info.api_prefix = "apis".into();
                if rest.is_empty() {
                    return info;
                }
                info.api_group = (*group).into();
                info.api_version = (*version).into();
                rest
            }
            _ => return info,
        };
        info.is_resource = true;
        info.read_resource(method, rest, query);
        info
    }

    fn of_path(method: &Method, path: &'p str) -> Self {
        Self {
            verb: Verb::of_path(method),
            is_resource: false,
            api_prefix: "".into(),
            api_group: "".into(),
            api_version: "".into(),
            namespace: "".into(),
            resource: "".into(),
            subresource: "".into(),
            name: "".into(),
            path: path.into(),
        }
    }

    /// Reads what follows the version.
    fn read_resource(&mut self, method: &Method, parts: &[&'p str], query: &'p str) {
        let parts = match parts {
            // No resource follows: an error in the apiserver, which stops reading here as well.
            ["watch" | "proxy"] => return,
            ["watch", rest @ ..] => {
                self.verb = Verb::Watch;
                rest
            }
            ["proxy", rest @ ..] => {
                self.verb = Verb::Proxy;
                rest
            }
            _ => {
                self.verb = Verb::of_resource(method);
                parts
            }
        };
        if let ["namespaces", namespace, ..] = parts {
            self.namespace = (*namespace).into();
        }
        let parts = match parts {
            // These two belong to the namespace itself; anything else is a resource in it.
            ["namespaces", _, "status" | "finalize", ..] => parts,
            ["namespaces", _, inside @ ..] if !inside.is_empty() => inside,
            _ => parts,
        };
        let part = |index: usize| Cow::Borrowed(parts.get(index).copied().unwrap_or_default());
        self.resource = part(0);
        self.name = part(1);
        if self.verb != Verb::Proxy {
            self.subresource = part(2);
        }
        if self.name.is_empty() {
            self.read_collection(query);
        }
    }

    /// Without a name a get is a list or a watch, and a delete is of the whole collection.
    fn read_collection(&mut self, query: &'p str) {
        match self.verb {
            Verb::Get => {
                let options = ListOptions::of(query);
                self.verb = if options.watch { Verb::Watch } else { Verb::List };
                self.name = options.name;
            }
            Verb::Delete => self.verb = Verb::DeleteCollection,
            _ => {}
        }
    }

    fn into_owned(self) -> RequestInfo<'static> {
        let owned = |part: Cow<'_, str>| Cow::Owned(part.into_owned());
        RequestInfo {
            verb: self.verb,
            is_resource: self.is_resource,
            api_prefix: owned(self.api_prefix),
            api_group: owned(self.api_group),
            api_version: owned(self.api_version),
            namespace: owned(self.namespace),
            resource: owned(self.resource),
            subresource: owned(self.subresource),
            name: owned(self.name),
            path: owned(self.path),
        }
    }
}

impl Verb {
    /// The verb as RBAC rules and audit logs spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Proxy => "proxy",
            Self::Head => "head",
            Self::Post => "post",
            Self::Put => "put",
            Self::Options => "options",
            Self::Other => "",
        }
    }

    fn of_resource(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Get,
            Method::POST => Self::Create,
            Method::PUT => Self::Update,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }

    fn of_path(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One request a line and what the Go implementation (k8s.io/apiserver v0.37.2) said about it.
    const ANSWERS: &str = include_str!("testdata/request_info.tsv");

    #[test]
    fn reads_every_request_as_the_apiserver_does() {
        let lines: Vec<&str> = ANSWERS.lines().filter(|line| !line.starts_with('#')).collect();
        for line in &lines {
            let mut fields = line.split('\t');
            let mut next = || fields.next().unwrap();
            let (method, uri) = (next(), next());
            let (path, query) = uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query)));
            let info = RequestInfo::of(&method.parse().unwrap(), path, query);
            assert_eq!(info.verb.as_str(), next(), "verb of {line:?}");
            assert_eq!(info.is_resource.to_string(), next(), "is_resource of {line:?}");
            assert_eq!(info.api_prefix, next(), "api_prefix of {line:?}");
            assert_eq!(info.api_group, next(), "api_group of {line:?}");
            assert_eq!(info.api_version, next(), "api_version of {line:?}");
            assert_eq!(info.namespace, next(), "namespace of {line:?}");
            assert_eq!(info.resource, next(), "resource of {line:?}");
            assert_eq!(info.subresource, next(), "subresource of {line:?}");
            assert_eq!(info.name, next(), "name of {line:?}");
            assert_eq!(info.is_long_running().to_string(), next(), "is_long_running of {line:?}");
        }
        assert!(lines.len() >= 40);
    }

    #[test]
    fn a_plain_path_is_borrowed_and_an_encoded_one_is_decoded() {
        let plain = RequestInfo::of(&Method::GET, "/api/v1/namespaces/a/pods/b", None);
        assert!(matches!((&plain.name, &plain.path), (Cow::Borrowed("b"), Cow::Borrowed(_))));
        let encoded = RequestInfo::of(&Method::GET, "/api/v1/namespaces/a/pods/%62", None);
        assert_eq!(plain, encoded);
    }

    #[test]
    fn a_label_selector_leaves_the_name_open() {
        let query = "fieldSelector=metadata.name%3Da&labelSelector=app";
        assert_eq!(RequestInfo::of(&Method::GET, "/api/v1/pods", Some(query)).name, "");
    }
}
