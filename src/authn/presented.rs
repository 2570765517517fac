//! The credential a request presents, taken from its headers: exactly one, or none that counts. A cookie is one only
//! where the caller looks for it ([`Presented::from_cookies`]), which is never on the way to a cluster. A bearer of ours
//! has a colon, which no JWT has: no text could be both.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use zeroize::Zeroizing;

use super::{AccountError, AuthnError, Jwt};
use crate::secret::Secret;
use crate::token::{Bearer, TokenName};

/// The subprotocol in which a browser, which can't set `Authorization` on a WebSocket, carries its bearer
/// (k8s.io/apiserver, `websocket.ProtocolAuthenticator`).
pub const BEARER_PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// A well-formed credential. Nothing is known yet about whether it is good.
#[derive(Debug)]
pub enum Presented {
    /// A token of ours.
    Token(PresentedToken),
    /// The token of a service account.
    ServiceAccount(Jwt),
}

/// A token of ours that may be good.
#[derive(Debug)]
pub struct PresentedToken(Bearer);

impl Presented {
    /// Reads the one credential of a request.
    ///
    /// # Errors
    /// [`AuthnError::NoCredential`], [`AuthnError::Malformed`] or, with two of them, [`AuthnError::Ambiguous`].
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, AuthnError> {
        let mut authorization = headers.get_all(AUTHORIZATION).iter();
        let header = authorization.next();
        let subprotocol = subprotocol_bearer(headers)?;
        if authorization.next().is_some() || (header.is_some() && subprotocol.is_some()) {
            return Err(AuthnError::Ambiguous);
        }
        match (header, subprotocol) {
            (Some(value), _) => from_authorization(value),
            (None, Some(encoded)) => from_text(&from_base64(encoded)?),
            (None, None) => Err(AuthnError::NoCredential),
        }
    }

    /// Reads the credential of a browser's session from the cookies that carry it.
    ///
    /// # Errors
    /// As [`Presented::from_headers`].
    pub fn from_cookies(cookies: &[Secret]) -> Result<Self, AuthnError> {
        match cookies {
            [] => Err(AuthnError::NoCredential),
            [cookie] => own(cookie.expose()),
            // Another host of the same domain may have planted one of them.
            [..] => Err(AuthnError::Ambiguous),
        }
    }

    /// The token of ours, where no other credential counts.
    ///
    /// # Errors
    /// For the token of a service account, which only its cluster can vouch for.
    pub fn into_token(self) -> Result<PresentedToken, AuthnError> {
        match self {
            Self::Token(token) => Ok(token),
            Self::ServiceAccount(_) => Err(AccountError::Elsewhere.into()),
        }
    }
}

impl PresentedToken {
    /// The name it claims: for the log, which has to say what was refused.
    pub fn name(&self) -> &TokenName {
        &self.0.name
    }

    pub(super) fn into_bearer(self) -> Bearer {
        self.0
    }
}

/// `Bearer name:key` (RFC 6750) or `Basic` with the name as user and the key as password (RFC 7617); the scheme in
/// any case (RFC 9110, 11.1).
fn from_authorization(value: &HeaderValue) -> Result<Presented, AuthnError> {
    let value = value.to_str().map_err(|_| AuthnError::Malformed)?;
    let (scheme, credential) = value.split_once(' ').ok_or(AuthnError::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        from_text(credential)
    } else if scheme.eq_ignore_ascii_case("basic") {
        own(&from_base64(credential)?)
    } else {
        Err(AuthnError::Malformed)
    }
}

fn from_base64(encoded: &str) -> Result<Zeroizing<String>, AuthnError> {
    let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if encoded.contains(['-', '_']) { alphabet::URL_SAFE } else { alphabet::STANDARD };
    let bytes = GeneralPurpose::new(&alphabet, padding).decode(encoded).map_err(|_| AuthnError::Malformed)?;
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| AuthnError::Malformed)
}

fn from_text(text: &str) -> Result<Presented, AuthnError> {
    Jwt::parse(text).map_or_else(|| own(text), |jwt| Ok(Presented::ServiceAccount(jwt)))
}

fn own(text: &str) -> Result<Presented, AuthnError> {
    let bearer = Bearer::try_from(text).map_err(|_| AuthnError::Malformed)?;
    Ok(Presented::Token(PresentedToken(bearer)))
}

/// The encoded bearer among the WebSocket subprotocols. As in the apiserver there may be one, and it needs company: a
/// server must never have to choose the credential itself as the protocol.
fn subprotocol_bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthnError> {
    let mut bearer = None;
    let mut others = 0;
    for line in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let line = line.to_str().map_err(|_| AuthnError::Malformed)?;
        for protocol in line.split(',').map(str::trim) {
            match protocol.strip_prefix(BEARER_PROTOCOL_PREFIX) {
                Some(_) if bearer.is_some() => return Err(AuthnError::Ambiguous),
                Some(encoded) => bearer = Some(encoded),
                None => others += 1,
            }
        }
    }
    if bearer.is_some() && others == 0 { Err(AuthnError::Malformed) } else { Ok(bearer) }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln";

    fn bearer_text() -> String {
        format!("token-bcdfg:{}", "b".repeat(54))
    }

    fn present(lines: &[(http::HeaderName, &str)]) -> Result<String, AuthnError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Ok(match Presented::from_headers(&headers)? {
            Presented::Token(token) => token.into_bearer().expose().expose().to_owned(),
            Presented::ServiceAccount(_) => "a service account".to_owned(),
        })
    }

    #[test]
    fn bearer_basic_and_websocket_subprotocol_carry_the_same_credential() {
        let text = bearer_text();
        let encoded = format!("v5.channel.k8s.io, {BEARER_PROTOCOL_PREFIX}{}", URL_SAFE_NO_PAD.encode(&text));
        for (name, value) in [
            (AUTHORIZATION, format!("Bearer {text}")),
            (AUTHORIZATION, format!("bEARER {text}")),
            (AUTHORIZATION, format!("Basic {}", STANDARD.encode(&text))),
            (SEC_WEBSOCKET_PROTOCOL, encoded),
        ] {
            assert_eq!(present(&[(name, &value)]).unwrap(), text, "{value}");
        }
    }

    #[test]
    fn a_jwt_is_taken_as_a_service_account_s_where_clients_put_a_bearer() {
        let protocol = format!("x, {BEARER_PROTOCOL_PREFIX}{}", URL_SAFE_NO_PAD.encode(JWT));
        for (name, value) in [(AUTHORIZATION, format!("Bearer {JWT}")), (SEC_WEBSOCKET_PROTOCOL, protocol)] {
            assert_eq!(present(&[(name, &value)]).unwrap(), "a service account", "{value}");
        }
        let basic = format!("Basic {}", STANDARD.encode(JWT));
        assert!(matches!(present(&[(AUTHORIZATION, &basic)]), Err(AuthnError::Malformed)));
    }

    #[test]
    fn nothing_or_a_foreign_scheme_is_no_credential_of_ours() {
        assert!(matches!(present(&[]), Err(AuthnError::NoCredential)));
        for value in
            ["", "Bearer", "Bearer ", "Bearer  x", "Bearer a:b:c", "Negotiate abc", "Basic !!!", "bearer:x"]
        {
            assert!(matches!(present(&[(AUTHORIZATION, value)]), Err(AuthnError::Malformed)), "{value:?}");
        }
    }

    #[test]
    fn two_credentials_are_refused_whichever_they_are() {
        let bearer = format!("Bearer {}", bearer_text());
        let protocol = format!("x, {BEARER_PROTOCOL_PREFIX}{}", URL_SAFE_NO_PAD.encode(bearer_text()));
        for lines in [
            [(AUTHORIZATION, &bearer), (AUTHORIZATION, &bearer)],
            [(AUTHORIZATION, &bearer), (SEC_WEBSOCKET_PROTOCOL, &protocol)],
            [(SEC_WEBSOCKET_PROTOCOL, &protocol), (SEC_WEBSOCKET_PROTOCOL, &protocol)],
        ] {
            let lines = lines.map(|(name, value)| (name, value.as_str()));
            assert!(matches!(present(&lines), Err(AuthnError::Ambiguous)), "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_is_a_credential_only_where_it_is_looked_for_and_only_alone() {
        let cookie = || Secret::new(bearer_text());
        assert_eq!(
            Presented::from_cookies(&[cookie()]).unwrap().into_token().unwrap().name().as_str(),
            "token-bcdfg"
        );
        assert!(matches!(Presented::from_cookies(&[Secret::new(JWT)]), Err(AuthnError::Malformed)));
        assert!(matches!(Presented::from_cookies(&[]), Err(AuthnError::NoCredential)));
        assert!(matches!(Presented::from_cookies(&[cookie(), cookie()]), Err(AuthnError::Ambiguous)));
        assert!(matches!(Presented::from_cookies(&[Secret::new("x")]), Err(AuthnError::Malformed)));
        let header = format!("R_SESS={}", bearer_text());
        assert!(matches!(present(&[(http::header::COOKIE, &header)]), Err(AuthnError::NoCredential)));
    }

    #[test]
    fn a_subprotocol_credential_needs_another_protocol_beside_it() {
        let alone = format!("{BEARER_PROTOCOL_PREFIX}{}", URL_SAFE_NO_PAD.encode(bearer_text()));
        assert!(matches!(present(&[(SEC_WEBSOCKET_PROTOCOL, &alone)]), Err(AuthnError::Malformed)));
        assert!(matches!(
            present(&[(SEC_WEBSOCKET_PROTOCOL, "v5.channel.k8s.io")]),
            Err(AuthnError::NoCredential)
        ));
    }
}
