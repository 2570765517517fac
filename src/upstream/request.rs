//! The request that goes upstream, and the only code that writes `Impersonate-*` headers.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Method, Request, Version};

use super::body::RequestBody;
use super::headers::SanitizedHeaders;
use crate::authz::Permit;
use crate::cluster::Endpoint;
use crate::identity::ExtraKey;

/// What every impersonation header's name begins with, those not invented yet included.
pub(super) const IMPERSONATE_PREFIX: &str = "impersonate-";

pub(super) const USER: HeaderName = HeaderName::from_static("impersonate-user");
pub(super) const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
pub(super) const UID: HeaderName = HeaderName::from_static("impersonate-uid");
/// What the name of an extra's header begins with; its key follows.
pub(super) const EXTRA_PREFIX: &str = "impersonate-extra-";
/// The extra `portcullis.dev/token-name`, percent-encoded as a header's name has to be. The cluster's audit log names
/// by it the token that a request came with.
const TOKEN_NAME: HeaderName = HeaderName::from_static("impersonate-extra-portcullis.dev%2ftoken-name");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A request on its way to a cluster. Only [`impersonating`](Self::impersonating) makes one, so none can be sent
/// without a permit or with a client's headers as they came. Always in a box: it is handed on a good many times.
pub struct UpstreamRequest {
    method: Method,
    /// Without what precedes every path at an endpoint.
    target: PathAndQuery,
    headers: HeaderMap,
    body: RequestBody,
    shows_our_credential: bool,
}

/// What a request without a body is made of. Nearly all are thrown away: its headers are a list and no map, which costs less
/// to make.
pub(super) struct Spare {
    method: Method,
    target: PathAndQuery,
    headers: Vec<(HeaderName, HeaderValue)>,
    shows_our_credential: bool,
}

impl UpstreamRequest {
    /// Writes the identity of `permit` and our own `credential` over what is left of the client's headers, as the last
    /// step: nothing that a client nominates for removal can reach them. Where the permit has a credential of its own, that
    /// is written, and no identity beside it. Uses the permit up.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is for one request")]
    pub fn impersonating(
        permit: Permit,
        credential: Option<HeaderValue>,
        client: HeaderValue,
        method: Method,
        target: PathAndQuery,
        mut headers: SanitizedHeaders,
        body: RequestBody,
    ) -> Box<Self> {
        let map = headers.map_mut();
        let own = permit.bearer().cloned();
        let shows_our_credential = own.is_none();
        if shows_our_credential {
            write_identity(map, &permit);
        }
        map.insert(FORWARDED_FOR, client);
        if let Some(credential) = own.or(credential) {
            map.insert(AUTHORIZATION, credential);
        }
        Box::new(Self { method, target, headers: headers.into_map(), body, shows_our_credential })
    }

    /// Whether the cluster sees our credential, so that what it says about one is about ours.
    pub fn shows_our_credential(&self) -> bool {
        self.shows_our_credential
    }

    /// Whether there is no body to send.
    pub fn is_bodiless(&self) -> bool {
        self.body.is_empty()
    }

    /// Whether it changes nothing, however often it is sent. An upgrade does, though it may begin with a GET.
    pub(super) fn is_read(&self) -> bool {
        self.method.is_safe() && self.is_bodiless() && !self.headers.contains_key(UPGRADE)
    }

    /// What it can be made of once more, which a request with a body can't: its body can be read only once.
    pub(super) fn spare(&self) -> Option<Spare> {
        if !self.is_bodiless() {
            return None;
        }
        // The map does not tell beforehand how many lines it will give.
        let mut headers = Vec::with_capacity(self.headers.len());
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let (method, target) = (self.method.clone(), self.target.clone());
        Some(Spare { method, target, headers, shows_our_credential: self.shows_our_credential })
    }

    /// The same with another credential of ours.
    pub(super) fn with_credential(mut self: Box<Self>, credential: Option<HeaderValue>) -> Box<Self> {
        // One that is not ours stays: with ours in its place, and no identity, the request would be our own.
        if self.shows_our_credential {
            match credential {
                Some(credential) => self.headers.insert(AUTHORIZATION, credential),
                None => self.headers.remove(AUTHORIZATION),
            };
        }
        self
    }

    /// What was to be sent to `target` and never left us, as it was before.
    pub(super) fn unsent(request: Request<RequestBody>, target: PathAndQuery) -> Box<Self> {
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(HOST);
        // Where an identity is written our credential goes with it, and nowhere else.
        let shows_our_credential = parts.headers.contains_key(USER);
        Box::new(Self { method: parts.method, target, headers: parts.headers, body, shows_our_credential })
    }

    pub(super) fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// As HTTP/2 wants it: the authority in the target, no `Host`.
    pub(super) fn into_http2(self, endpoint: &Endpoint) -> Request<RequestBody> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(endpoint.authority.clone());
        parts.path_and_query = Some(below(&endpoint.path_prefix, self.target));
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.version_mut() = Version::HTTP_2;
        // All three parts are there and each was parsed before, which is all `from_parts` asks for.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.headers_mut() = self.headers;
        request
    }

    /// As HTTP/1.1 wants it: the path as target, the authority in `Host`.
    pub(super) fn into_http1(self, endpoint: &Endpoint) -> Request<RequestBody> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(below(&endpoint.path_prefix, self.target));
        *request.headers_mut() = self.headers;
        request.headers_mut().insert(HOST, endpoint.host_header.clone());
        request
    }
}

impl Spare {
    /// The request once more.
    pub(super) fn again(&self) -> Box<UpstreamRequest> {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        Box::new(UpstreamRequest {
            method: self.method.clone(),
            target: self.target.clone(),
            headers,
            body: RequestBody::empty(),
            shows_our_credential: self.shows_our_credential,
        })
    }

    /// The credential of ours that it carries.
    pub(super) fn credential(&self) -> Option<&HeaderValue> {
        self.headers.iter().find(|(name, _)| *name == AUTHORIZATION).map(|(_, value)| value)
    }
}

fn write_identity(map: &mut HeaderMap, permit: &Permit) {
    map.insert(USER, permit.name().header().clone());
    for group in permit.groups() {
        map.append(GROUP, group.clone());
    }
    if let Some(uid) = permit.uid() {
        map.insert(UID, uid.clone());
    }
    for (key, value) in permit.extras() {
        map.append(extra(key), value.clone());
    }
    if let Some(token) = permit.token_name() {
        map.insert(TOKEN_NAME, token.clone());
    }
}

/// The header of an extra. Every encoded key can stand in one; the fallback is a key that nobody may impersonate, so that
/// the apiserver refuses the request: an extra that is lost could be one that takes rights away.
fn extra(key: &ExtraKey) -> HeaderName {
    let name = HeaderName::try_from(format!("{EXTRA_PREFIX}{}", key.encoded()));
    name.unwrap_or(HeaderName::from_static("impersonate-extra-invalid"))
}

/// The target below the prefix of an endpoint, byte for byte.
fn below(prefix: &str, target: PathAndQuery) -> PathAndQuery {
    if prefix.is_empty() {
        return target;
    }
    // `*` is a target without one.
    let slash = if target.as_str().starts_with('/') { "" } else { "/" };
    // Both parts were parsed before.
    PathAndQuery::from_maybe_shared(Bytes::from(format!("{prefix}{slash}{target}"))).unwrap_or(target)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::authn::testing::authenticated;
    use crate::authz;
    use crate::identity::UserInfo;
    use crate::store::testing::{token, user};
    use crate::upstream::sanitize;

    /// The headers that go upstream for a user of these groups whose client sent `client`; `None` if it is refused.
    fn written(client: &HeaderMap, groups: &[String]) -> Option<HeaderMap> {
        let mut alice = user("alice", false);
        alice.groups = groups.iter().map(|group| group.as_str().try_into().unwrap()).collect();
        headers_of(authz::permit(&authenticated(alice.clone(), token(&alice.id).0)), client)
    }

    fn headers_of(permit: Permit, client: &HeaderMap) -> Option<HeaderMap> {
        let (headers, _) = sanitize(client.clone(), Version::HTTP_11).ok()?;
        let credential = Some(HeaderValue::from_static("Bearer ours"));
        let target = PathAndQuery::from_static("/api");
        let address = HeaderValue::from_static("127.0.0.1");
        let request = UpstreamRequest::impersonating(
            permit,
            credential,
            address,
            Method::GET,
            target,
            headers,
            RequestBody::empty(),
        );
        Some(request.headers)
    }

    #[test]
    fn a_user_info_is_written_with_its_uid_and_every_value_of_its_extras() {
        let value = |text: &'static str| HeaderValue::from_static(text);
        let user = UserInfo {
            name: "system:serviceaccount:a:b".try_into().unwrap(),
            groups: vec!["system:serviceaccounts".try_into().unwrap()],
            uid: Some(value("1")),
            extras: ["one", "two"].map(|extra| ("x/y".try_into().unwrap(), value(extra))).to_vec(),
        };
        let headers = headers_of(authz::permit_user_info(user.into()), &HeaderMap::new()).unwrap();
        let extra = HeaderName::from_static("impersonate-extra-x%2fy");
        assert_eq!(values(&headers, &USER), [b"system:serviceaccount:a:b"]);
        assert_eq!(values(&headers, &GROUP), [b"system:serviceaccounts"]);
        assert_eq!(values(&headers, &UID), [b"1"]);
        assert_eq!(values(&headers, &extra), [b"one", b"two"]);
        assert!(!headers.contains_key(TOKEN_NAME));
    }

    fn values<'m>(headers: &'m HeaderMap, name: &HeaderName) -> Vec<&'m [u8]> {
        headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }

    #[test]
    fn connection_header_cannot_drop_impersonation() {
        for nominated in
            ["impersonate-user", "close, Impersonate-Group", " foo ,\tIMPERSONATE-UID", "authorization"]
        {
            let mut client = HeaderMap::new();
            client.insert(http::header::CONNECTION, nominated.parse().unwrap());
            let headers = written(&client, &["dev".to_owned()]).unwrap();
            assert_eq!(values(&headers, &USER), [b"alice"], "{nominated}");
            assert_eq!(values(&headers, &GROUP).len(), 2, "{nominated}");
            assert_eq!(values(&headers, &AUTHORIZATION), [b"Bearer ours"], "{nominated}");
        }
    }

    /// What a client may write of whom it wants to be.
    fn wanted_lines() -> impl Strategy<Value = Vec<(String, String)>> {
        let extra = "impersonate-extra-([a-z0-9.]|%2[0-9a-f]|%c3%a4|%zz|%){1,12}";
        let name = prop_oneof![
            Just("impersonate-group".to_owned()),
            Just("impersonate-uid".to_owned()),
            extra.prop_map(String::from),
        ];
        let lines = proptest::collection::vec((name, "[!-~ä]{1,16}"), 0..8);
        ("[!-~ä]{1,16}", lines).prop_map(|(user, mut lines)| {
            lines.push(("impersonate-user".to_owned(), user));
            lines
        })
    }

    #[test]
    fn an_endpoints_prefix_precedes_the_path_as_it_is() {
        let at = |prefix, target: &'static str| below(prefix, PathAndQuery::from_static(target)).to_string();
        assert_eq!(at("", "/api//x/%2e%2e?a=%2f&b"), "/api//x/%2e%2e?a=%2f&b");
        assert_eq!(at("/k8s/clusters/c-1", "/api?x"), "/k8s/clusters/c-1/api?x");
    }

    proptest! {
        /// What is decided on is what is written, and what is written is read as the same.
        #[test]
        fn an_impersonated_user_is_read_back_as_it_was_asked_for(lines in wanted_lines()) {
            let mut client = HeaderMap::new();
            for (name, value) in &lines {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                client.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
            }
            let (_, asked) = sanitize(client.clone(), Version::HTTP_11).unwrap();
            if let Ok(mut wanted) = asked.unwrap().parse() {
                let user = UserInfo {
                    name: wanted.user.clone(),
                    groups: wanted.groups.clone(),
                    uid: wanted.uid.clone(),
                    extras: wanted.extras.clone(),
                };
                let written = headers_of(authz::permit_user_info(user.into()), &client).unwrap();
                let (_, again) = sanitize(written, Version::HTTP_11).unwrap();
                let mut again = again.unwrap().parse().unwrap();
                // Two spellings of a key are written as one, and its values together.
                for user in [&mut again, &mut wanted] {
                    user.extras.sort_by(|(key, value), (other_key, other)| {
                        key.as_str().cmp(other_key.as_str()).then(value.cmp(other))
                    });
                }
                prop_assert_eq!(again, wanted);
            }
        }

        #[test]
        fn the_identity_is_written_once_whatever_the_client_sends(
            lines in proptest::collection::vec(("[a-zA-Z][a-zA-Z0-9_-]{0,20}", "[!-~]{0,24}"), 0..10),
            groups in proptest::collection::vec("[a-z,]{1,12}", 0..5),
        ) {
            let mut client = HeaderMap::new();
            for (name, value) in &lines {
                client.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            if let Some(headers) = written(&client, &groups) {
                prop_assert_eq!(values(&headers, &USER), [b"alice"]);
                let mut expected: Vec<_> = groups.iter().map(String::as_bytes).collect();
                expected.push(b"system:authenticated");
                prop_assert_eq!(values(&headers, &GROUP), expected);
                prop_assert_eq!(values(&headers, &AUTHORIZATION), [b"Bearer ours"]);
                prop_assert_eq!(values(&headers, &FORWARDED_FOR), [b"127.0.0.1"]);
                let identity = headers.keys().filter(|name| name.as_str().starts_with(IMPERSONATE_PREFIX));
                prop_assert_eq!(identity.count(), 4);
            }
        }
    }
}
