//! Protocols that a connection may switch to.

use http::Version;
use http::header::{HeaderMap, UPGRADE};

use super::headers::{HeaderError, Nominated};

/// A protocol to switch to that the apiserver speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// RFC 6455.
    WebSocket,
    /// SPDY/3.1, which kubectl before 1.30 used for exec and port-forward.
    Spdy,
}

impl Upgrade {
    /// The protocol as the `Upgrade` header names it.
    pub fn token(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Spdy => "SPDY/3.1",
        }
    }

    /// Whether `headers` of an answer switch to this very protocol.
    pub fn is_accepted_by(self, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(UPGRADE).iter();
        let accepted =
            lines.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(self.token().as_bytes()));
        accepted && lines.next().is_none()
    }
}

/// The protocol that a request asks to switch to, if any.
pub(super) fn requested(headers: &HeaderMap, version: Version) -> Result<Option<Upgrade>, HeaderError> {
    // Upgrade is of HTTP/1.1 alone: a 1.0 client's is to be ignored (RFC 9110, 7.8), HTTP/2 has none.
    if version != Version::HTTP_11 || !Nominated::of(headers).contains(&UPGRADE) {
        return Ok(None);
    }
    let mut lines = headers.get_all(UPGRADE).iter();
    let Some(value) = lines.next() else { return Ok(None) };
    let asks_for = |protocol: &str| value.as_bytes().eq_ignore_ascii_case(protocol.as_bytes());
    let known = [Upgrade::WebSocket, Upgrade::Spdy].into_iter().find(|upgrade| asks_for(upgrade.token()));
    match known {
        Some(upgrade) if lines.next().is_none() => Ok(Some(upgrade)),
        // An offer that a server is free to ignore; we do.
        None if asks_for("h2c") && lines.next().is_none() => Ok(None),
        _ => Err(HeaderError::UnsupportedUpgrade),
    }
}

#[cfg(test)]
mod tests {
    use http::header::CONNECTION;

    use super::*;

    fn ask(
        connection: &'static str,
        upgrades: &[&'static str],
        version: Version,
    ) -> Result<Option<Upgrade>, HeaderError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, connection.parse().unwrap());
        for upgrade in upgrades {
            headers.append(UPGRADE, upgrade.parse().unwrap());
        }
        requested(&headers, version)
    }

    #[test]
    fn only_websocket_and_spdy_upgrades_pass_and_only_on_http_1_1() {
        let upgrade = "keep-alive, Upgrade";
        assert_eq!(ask(upgrade, &["WebSocket"], Version::HTTP_11), Ok(Some(Upgrade::WebSocket)));
        assert_eq!(ask(upgrade, &["SPDY/3.1"], Version::HTTP_11), Ok(Some(Upgrade::Spdy)));
        assert_eq!(ask(upgrade, &["h2c"], Version::HTTP_11), Ok(None));
        assert_eq!(ask(upgrade, &["websocket"], Version::HTTP_10), Ok(None));
        assert_eq!(
            ask("close", &["websocket"], Version::HTTP_11),
            Ok(None),
            "not nominated, so not asked for"
        );
        for wrong in ["tls/1.0", "websocket, SPDY/3.1", "SPDY/3", ""] {
            assert_eq!(
                ask(upgrade, &[wrong], Version::HTTP_11),
                Err(HeaderError::UnsupportedUpgrade),
                "{wrong:?}"
            );
        }
        let twice = ask(upgrade, &["websocket", "websocket"], Version::HTTP_11);
        assert_eq!(twice, Err(HeaderError::UnsupportedUpgrade));
    }
}
