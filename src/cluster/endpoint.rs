//! Where an apiserver is.

use http::Uri;
use http::header::HeaderValue;
use http::uri::{Authority, Scheme};
use rustls::pki_types::ServerName;

use super::attempts::Attempts;
use super::error::ClusterError;
use super::health::Health;

const HTTPS_PORT: u16 = 443;

/// Where an apiserver is, by which name its certificate must know it, and how it is doing.
#[derive(Debug)]
pub struct Endpoint {
    /// As it was given.
    pub(super) url: Uri,
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The name its certificate must carry.
    pub server_name: ServerName<'static>,
    /// For `:authority`.
    pub authority: Authority,
    /// The same for the `Host` header.
    pub host_header: HeaderValue,
    /// What precedes every path, without a slash at its end; mostly empty.
    pub path_prefix: String,
    /// Whether requests should go there.
    pub health: Health,
    /// When it may be dialled.
    pub attempts: Attempts,
}

impl Endpoint {
    pub(super) fn new(url: &Uri, tls_server_name: Option<&str>) -> Result<Self, ClusterError> {
        let shown =
            || format!("{}://{}", url.scheme_str().unwrap_or_default(), url.host().unwrap_or_default());
        if url.scheme() != Some(&Scheme::HTTPS) {
            return Err(ClusterError::NotHttps(shown()));
        }
        let wrong = |why| ClusterError::Address(shown(), why);
        let authority = url.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user's name in it"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let server_name = ServerName::try_from(tls_server_name.unwrap_or(host).to_owned())
            .map_err(|_| wrong("its name can't stand in a certificate"))?;
        let host_header = HeaderValue::from_str(authority.as_str())
            .map_err(|_| wrong("its host can't stand in a header"))?;
        Ok(Self {
            url: url.clone(),
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(HTTPS_PORT),
            server_name,
            authority: authority.clone(),
            host_header,
            path_prefix: url.path().trim_end_matches('/').to_owned(),
            health: Health::default(),
            attempts: Attempts::default(),
        })
    }

    /// Whether it is the place that `url` and this name mean.
    pub(super) fn is_at(&self, url: &Uri, tls_server_name: Option<&str>) -> bool {
        let named = tls_server_name.is_none_or(|name| self.server_name.to_str() == name);
        self.url == *url && named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &'static str) -> Result<Endpoint, ClusterError> {
        Endpoint::new(&Uri::from_static(url), None)
    }

    #[test]
    fn host_port_and_prefix_are_taken_from_the_address() {
        let plain = endpoint("https://kubernetes.default.svc").unwrap();
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.path_prefix.as_str()),
            ("kubernetes.default.svc", 443, "")
        );
        let odd = endpoint("https://[2001:db8::1]:6443/k8s/clusters/c-1/").unwrap();
        assert_eq!(
            (odd.host.as_str(), odd.port, odd.path_prefix.as_str()),
            ("2001:db8::1", 6443, "/k8s/clusters/c-1")
        );
        assert_eq!(odd.authority, "[2001:db8::1]:6443");
        assert_eq!(odd.server_name.to_str(), "2001:db8::1");
    }

    #[test]
    fn the_certificate_may_carry_another_name() {
        let url = Uri::from_static("https://127.0.0.1:6443");
        assert_eq!(Endpoint::new(&url, Some("kubernetes")).unwrap().server_name.to_str(), "kubernetes");
    }

    #[test]
    fn anything_but_https_is_refused() {
        assert!(matches!(endpoint("http://127.0.0.1:8080"), Err(ClusterError::NotHttps(_))));
        assert!(matches!(endpoint("127.0.0.1:8080"), Err(ClusterError::NotHttps(_))));
        assert!(matches!(endpoint("https://alice@example.com"), Err(ClusterError::Address(..))));
    }
}
