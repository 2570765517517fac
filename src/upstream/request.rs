//! The request that goes upstream, and the only code that writes `Impersonate-*` headers.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Method, Request, Version};

use super::body::RequestBody;
use super::headers::SanitizedHeaders;
use super::upgrade::Upgrade;
use crate::authz::Permit;
use crate::cluster::Cluster;

/// What every impersonation header's name begins with, those not invented yet included.
pub(super) const IMPERSONATE_PREFIX: &str = "impersonate-";

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
/// The extra `portcullis.dev/token-name`, percent-encoded as a header's name has to be. The cluster's audit log names
/// by it the token that a request came with.
const TOKEN_NAME: HeaderName = HeaderName::from_static("impersonate-extra-portcullis.dev%2ftoken-name");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A request on its way to a cluster. Only [`impersonating`](Self::impersonating) makes one, so none can be sent
/// without a permit or with a client's headers as they came.
pub struct UpstreamRequest {
    method: Method,
    target: PathAndQuery,
    headers: SanitizedHeaders,
    body: RequestBody,
}

impl UpstreamRequest {
    /// Writes the identity of `permit` and our own credential over what is left of the client's headers, as the last
    /// step: nothing that a client nominates for removal can reach them.
    pub fn impersonating(
        permit: &Permit,
        cluster: &Cluster,
        client: IpAddr,
        method: Method,
        target: PathAndQuery,
        mut headers: SanitizedHeaders,
        body: RequestBody,
    ) -> Self {
        let map = headers.map_mut();
        map.insert(USER, permit.user().name.header().clone());
        for group in &permit.user().groups {
            map.append(GROUP, group.clone());
        }
        map.insert(UID, permit.user().uid.clone());
        map.insert(TOKEN_NAME, permit.token().name_header.clone());
        map.insert(FORWARDED_FOR, address(client));
        if let Some(credential) = cluster.authorization() {
            map.insert(AUTHORIZATION, credential);
        }
        Self { method, target, headers, body }
    }

    /// Whether there is no body to send.
    pub fn is_bodiless(&self) -> bool {
        self.body.is_empty()
    }

    /// The protocol the client wants to switch to, if any.
    pub fn upgrade(&self) -> Option<&Upgrade> {
        self.headers.upgrade()
    }

    /// A second copy, which a request with a body does not have: its body can be read only once.
    pub(super) fn copy(&self) -> Option<Self> {
        let body = self.body.copy_if_empty()?;
        Some(Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body,
        })
    }

    /// As HTTP/2 wants it: the authority in the target, no `Host`.
    pub(super) fn into_http2(self, cluster: &Cluster) -> Request<RequestBody> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(cluster.endpoint().authority.clone());
        parts.path_and_query = Some(self.target);
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.version_mut() = Version::HTTP_2;
        // All three parts are there and each was parsed before, which is all `from_parts` asks for.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.headers_mut() = self.headers.into_map();
        request
    }

    /// As HTTP/1.1 wants it: the path as target, the authority in `Host`.
    pub(super) fn into_http1(self, cluster: &Cluster) -> Request<RequestBody> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.target);
        *request.headers_mut() = self.headers.into_map();
        insert_host(request.headers_mut(), cluster);
        request
    }
}

fn insert_host(headers: &mut HeaderMap, cluster: &Cluster) {
    let authority = cluster.endpoint().authority.as_str();
    headers.insert(HOST, HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static("kubernetes")));
}

fn address(client: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&client.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}
