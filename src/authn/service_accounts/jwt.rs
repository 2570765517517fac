//! What looks like the token of a service account. Nothing in it is believed: its cluster says whose it is.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::Deserialize;

use crate::clock::UnixMillis;
use crate::secret::Secret;

/// The longest that is taken, in bytes. A pod's token has about a thousand.
const MAX_BYTES: usize = 16 << 10;
/// How the header of every JWT begins: `{"` in base64url. It is a JSON object (RFC 7519, 5).
const HEADER_BEGINS: &str = "eyJ";

/// A text in the form of a signed JWT.
#[derive(Debug)]
pub struct Jwt(Secret);

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
}

impl Jwt {
    /// The text, if it has the form of one.
    pub(in crate::authn) fn parse(text: &str) -> Option<Self> {
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_base64url);
        let has_three_parts = text.split('.').count() == 3 && text.split('.').all(is_part);
        let is_one = text.len() <= MAX_BYTES && text.starts_with(HEADER_BEGINS) && has_three_parts;
        is_one.then(|| Self(Secret::new(text)))
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// As a value of `Authorization`, which logs don't show.
    pub(super) fn authorization(&self) -> HeaderValue {
        // Base64url and dots can stand in a header; the fallback is a token that nobody has.
        let value = HeaderValue::try_from(format!("Bearer {}", self.0.expose()));
        let mut value = value.unwrap_or(HeaderValue::from_static("Bearer invalid"));
        value.set_sensitive(true);
        value
    }

    /// When it says that it expires: good for ending something earlier, never for anything else.
    pub(super) fn expires_at(&self) -> Option<UnixMillis> {
        let claims = self.0.expose().split('.').nth(1)?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        // One that no duration can hold ends nothing earlier.
        let end = Duration::try_from_secs_f64(claims.exp?).ok()?;
        Some(UnixMillis(end.as_millis().try_into().unwrap_or(u64::MAX)))
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_claims(claims: &str) -> Jwt {
        let text = format!("eyJh.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        Jwt::parse(&text).unwrap()
    }

    #[test]
    fn only_three_parts_of_base64url_after_a_json_header_are_taken() {
        assert!(Jwt::parse("eyJhbGciOiJSUzI1NiJ9.e30.c2ln").is_some());
        let long = format!("eyJh.e30.{}", "a".repeat(MAX_BYTES));
        for text in [
            "",
            "a.b.c",
            "eyJh.e30",
            "eyJh.e30.c.d",
            "eyJh..c",
            "eyJh.e30.",
            "eyJh.e3=.c",
            "eyJh.e30.c:d",
            "eyJh e30.c.d",
            &long,
        ] {
            assert!(Jwt::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn the_end_it_claims_is_read_and_nothing_that_is_none() {
        assert_eq!(with_claims(r#"{"exp":1000.5}"#).expires_at(), Some(UnixMillis(1_000_500)));
        assert_eq!(with_claims(r#"{"exp":1e19}"#).expires_at(), Some(UnixMillis(u64::MAX)));
        for claims in ["{}", r#"{"exp":-1}"#, r#"{"exp":1e300}"#, r#"{"exp":"1"}"#, "[", "\u{0}"] {
            assert_eq!(with_claims(claims).expires_at(), None, "{claims}");
        }
    }

    #[test]
    fn it_is_in_no_debug_output() {
        let jwt = with_claims("{}");
        assert!(!format!("{jwt:?} {:?}", jwt.authorization()).contains("eyJ"));
    }
}
