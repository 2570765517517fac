//! What of a client's headers may go upstream. Everything is copied into a new map; what names an identity, proves
//! one, or is about the connection stays behind.

use http::Version;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, EXPECT, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL,
    SET_COOKIE, UPGRADE,
};

use super::impersonation::AskedImpersonation;
use super::request::IMPERSONATE_PREFIX;
use super::upgrade::{self, Upgrade};
use crate::authn::BEARER_PROTOCOL_PREFIX;

/// The headers in which front proxies pass an identity (kube-apiserver's request-header authentication).
const REMOTE_PREFIX: &str = "x-remote-";
/// What a proxy before us may have said of the client; anyone can say it.
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// A client's headers without anything that could pass for identity, credential or framing.
#[derive(Clone)]
pub struct SanitizedHeaders {
    map: HeaderMap,
    upgrade: Option<Upgrade>,
}

/// Why a client's headers are refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A protected name spelled with an underscore, which the next hop may read as the protected one
    /// (CVE-2025-64484 in a peer).
    #[error("header {0:?} has an underscore in place of a hyphen")]
    Underscore(String),
    /// An upgrade to something other than a WebSocket or SPDY/3.1.
    #[error("upgrade to an unsupported protocol")]
    UnsupportedUpgrade,
    /// An expectation other than `100-continue` (RFC 9110, 10.1.1).
    #[error("unsupported expectation")]
    UnsupportedExpectation,
}

/// Takes over what may pass. If the client asks to be somebody else (`kubectl --as`), whom is handed over besides: it has to
/// be let, or its request refused.
///
/// # Errors
/// See [`HeaderError`]; each is the client's fault.
pub fn sanitize(
    client: HeaderMap,
    version: Version,
) -> Result<(SanitizedHeaders, Option<AskedImpersonation>), HeaderError> {
    let upgrade = upgrade::requested(&client, version)?;
    check_expectation(&client)?;
    let nominated = Nominated::of(&client);
    let mut map = HeaderMap::with_capacity(client.len() + 8);
    let mut asked: Option<AskedImpersonation> = None;
    let mut name = None;
    for (next, value) in client {
        // Of several values of a name the first alone comes with it.
        name = next.or(name);
        let Some(name) = &name else { continue };
        // Before `Connection` is honoured: what a client asks for must not vanish at its own nomination.
        if name.as_str().starts_with(IMPERSONATE_PREFIX) {
            asked.get_or_insert_default().add(name.clone(), value);
            continue;
        }
        if is_protected(name)? || nominated.contains(name) {
            continue;
        }
        if *name == SEC_WEBSOCKET_PROTOCOL {
            append_protocols(&mut map, &value);
        } else {
            map.append(name.clone(), value);
        }
    }
    if let Some(upgrade) = upgrade {
        map.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        map.insert(UPGRADE, HeaderValue::from_static(upgrade.token()));
    }
    Ok((SanitizedHeaders { map, upgrade }, asked))
}

/// Removes from an answer of the cluster what is about the connection to us, and cookies: nothing that is set for
/// our name may come from behind us. `Upgrade` and `Connection` of a 101 are written anew by the tunnel.
pub fn sanitize_response(headers: &mut HeaderMap) {
    let nominated = Nominated::of(headers);
    let drop =
        |name: &HeaderName| is_hop_by_hop(name.as_str()) || *name == SET_COOKIE || nominated.contains(name);
    while let Some(name) = headers.keys().find(|name| drop(name)).cloned() {
        headers.remove(name);
    }
}

impl SanitizedHeaders {
    /// Asks for an answer whose bytes are what they say. For answers that may have to be ended where one of their parts
    /// ends: in compressed bytes there is no such place. It costs bandwidth where an apiserver would compress the objects that a
    /// watch begins with, as 1.37 does.
    pub fn decline_codings(&mut self) {
        // Not removed: without a line of its own a request takes any coding (RFC 9110, 12.5.3).
        if self.map.contains_key(ACCEPT_ENCODING) {
            self.map.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
    }

    /// The protocol to switch to, if the client asked for one.
    pub fn upgrade(&self) -> Option<&Upgrade> {
        self.upgrade.as_ref()
    }

    pub(super) fn map_mut(&mut self) -> &mut HeaderMap {
        &mut self.map
    }

    pub(super) fn into_map(self) -> HeaderMap {
        self.map
    }
}

/// Whether the header must not be copied, or must not be there at all.
fn is_protected(name: &HeaderName) -> Result<bool, HeaderError> {
    let text = name.as_str();
    if memchr::memchr(b'_', text.as_bytes()).is_some() {
        let hyphenated = text.replace('_', "-");
        if hyphenated.starts_with(IMPERSONATE_PREFIX) || is_protected_text(&hyphenated) {
            return Err(HeaderError::Underscore(text.to_owned()));
        }
    }
    Ok(is_protected_text(text))
}

/// Names are in small letters here, as the library keeps them.
fn is_protected_text(name: &str) -> bool {
    is_identity(name) || is_credential(name) || is_hop_by_hop(name) || is_ours(name)
}

fn is_identity(name: &str) -> bool {
    name.starts_with(REMOTE_PREFIX) || name.starts_with(FORWARDED_PREFIX) || name == "x-real-ip"
}

fn is_credential(name: &str) -> bool {
    matches!(name, "authorization" | "cookie" | "proxy-authorization")
}

/// RFC 9110, 7.6.1, and what is about one connection by custom.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "keep-alive"
            | "proxy-connection"
            | "http2-settings"
    )
}

/// What we write ourselves: target, framing, and the answer to `Expect`.
fn is_ours(name: &str) -> bool {
    matches!(name, "host" | "content-length" | "expect" | "forwarded")
}

/// The names that `Connection` nominates for removal.
pub(super) struct Nominated(Vec<String>);

impl Nominated {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut names = Vec::new();
        // Every line counts: `get` would give the first alone. A line that is not text nominates nothing.
        for line in headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok()) {
            names.extend(tokens(line).filter(|token| !is_option(token)).map(str::to_ascii_lowercase));
        }
        Self(names)
    }

    pub(super) fn contains(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|nominated| nominated == name.as_str())
    }
}

/// Whether a member of `Connection`, as nearly all do, means no field, or one that never passes anyway.
fn is_option(token: &str) -> bool {
    token.eq_ignore_ascii_case("keep-alive") || token.eq_ignore_ascii_case("close")
}

fn check_expectation(headers: &HeaderMap) -> Result<(), HeaderError> {
    let mut expectations = headers.get_all(EXPECT).iter();
    let known = expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if known { Ok(()) } else { Err(HeaderError::UnsupportedExpectation) }
}

/// Copies the subprotocols, without the one that is a credential.
fn append_protocols(map: &mut HeaderMap, value: &HeaderValue) {
    let Ok(line) = value.to_str() else { return };
    let kept: Vec<&str> =
        tokens(line).filter(|protocol| !protocol.starts_with(BEARER_PROTOCOL_PREFIX)).collect();
    if let Ok(value) = HeaderValue::from_str(&kept.join(", "))
        && !kept.is_empty()
    {
        map.append(SEC_WEBSOCKET_PROTOCOL, value);
    }
}

/// The members of a comma-separated list (RFC 9110, 5.6.1), empty ones left out.
fn tokens(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|token| token.trim_matches([' ', '\t'])).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    fn passed(lines: &[(&str, &str)]) -> Vec<String> {
        let (sanitized, _) = sanitize(headers(lines), Version::HTTP_11).ok().unwrap();
        sanitized.map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn identity_credential_and_connection_headers_stay_behind_and_the_rest_passes() {
        let kept = passed(&[
            ("Accept", "application/json"),
            ("accept", "*/*"),
            ("Authorization", "Bearer x"),
            ("Cookie", "a=b"),
            ("X-Remote-User", "root"),
            ("X-Remote-Extra-Scopes", "all"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("Forwarded", "for=1.2.3.4"),
            ("X-Real-IP", "1.2.3.4"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authorization", "Basic x"),
            ("Content-Length", "3"),
            ("Host", "a"),
            ("Expect", "100-continue"),
            ("TE", "trailers"),
            ("Kubectl-Command", "kubectl get"),
        ]);
        assert_eq!(kept, ["accept: application/json", "accept: */*", "kubectl-command: kubectl get"]);
    }

    #[test]
    fn every_line_and_token_of_connection_is_honoured() {
        let kept = passed(&[
            ("Connection", "close, X-One"),
            ("Connection", " x-two ,\tX-THREE"),
            ("X-One", "1"),
            ("X-Two", "2"),
            ("X-Three", "3"),
            ("X-Four", "4"),
        ]);
        assert_eq!(kept, ["x-four: 4"]);
    }

    #[test]
    fn impersonation_in_any_spelling_is_handed_over_and_does_not_pass() {
        for name in [
            "impersonate-user",
            "IMPERSONATE-GROUP",
            "Impersonate-Uid",
            "impersonate-extra-x",
            "impersonate-",
        ] {
            for connection in ["close", name] {
                let lines = [(name, "x"), ("connection", connection)];
                let (passed, asked) = sanitize(headers(&lines), Version::HTTP_2).ok().unwrap();
                assert!(asked.is_some() && passed.map.is_empty(), "{name}");
            }
        }
        for name in
            ["impersonate_user", "Impersonate_Extra_X", "x_remote_user", "x-remote_group", "content_length"]
        {
            let result = sanitize(headers(&[(name, "x")]), Version::HTTP_2);
            assert!(matches!(result.err(), Some(HeaderError::Underscore(_))), "{name}");
        }
        assert_eq!(passed(&[("my_header", "x"), ("impersonated", "x")]), ["my_header: x", "impersonated: x"]);
    }

    #[test]
    fn the_credential_among_the_subprotocols_stays_behind() {
        let bearer = format!("v5.channel.k8s.io, {BEARER_PROTOCOL_PREFIX}Zm9v ,v4.channel.k8s.io");
        let kept = passed(&[("Sec-WebSocket-Protocol", &bearer)]);
        assert_eq!(kept, ["sec-websocket-protocol: v5.channel.k8s.io, v4.channel.k8s.io"]);
    }

    #[test]
    fn answers_lose_connection_headers_and_cookies() {
        let mut answer = headers(&[
            ("Connection", "x-hop"),
            ("X-Hop", "1"),
            ("Set-Cookie", "a=b"),
            ("Transfer-Encoding", "chunked"),
            ("Warning", "299 - x"),
            ("Warning", "299 - y"),
            ("Audit-Id", "1"),
        ]);
        sanitize_response(&mut answer);
        let mut names: Vec<_> = answer.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["audit-id", "warning", "warning"]);
    }

    proptest! {
        #[test]
        fn nothing_protected_survives(lines in proptest::collection::vec(
            ("(impersonate|Impersonate|IMPERSONATE|x-remote|X-Remote|X_Remote|authorization|cookie|connection|upgrade|host|accept|x)[-_]?[a-zA-Z_%-]{0,12}", "[ -~]{0,24}"),
            0..12,
        )) {
            let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            if let Ok((sanitized, _)) = sanitize(headers(&lines), Version::HTTP_11) {
                for name in sanitized.map.keys() {
                    let name = name.as_str().replace('_', "-");
                    prop_assert!(!name.starts_with(IMPERSONATE_PREFIX) && !name.starts_with(REMOTE_PREFIX), "{name}");
                    prop_assert!(!["authorization", "cookie", "host", "content-length"].contains(&name.as_str()));
                }
            }
        }
    }
}
