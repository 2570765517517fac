//! Whoever a request runs as, in full: what kube-apiserver calls a `UserInfo`.

use http::HeaderValue;

use super::{Group, IdentityError, MAX_NAME_BYTES, Username};

/// The longest value of an extra or a UID that is taken, in bytes.
const MAX_VALUE_BYTES: usize = 1024;

/// Everything by which a cluster tells users apart. It says who, not that anybody has checked it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserInfo {
    /// The name.
    pub name: Username,
    /// The groups. The apiserver adds `system:authenticated` to those of an impersonated user.
    pub groups: Vec<Group>,
    /// What tells two users of one name apart, if there is such a thing.
    pub uid: Option<HeaderValue>,
    /// Further facts, one entry a value: authorizers and admission policies may decide by them.
    pub extras: Vec<(ExtraKey, HeaderValue)>,
}

/// The key of an extra. Never with a capital letter: the apiserver lower-cases the name of the header it travels in, and
/// would read another key.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ExtraKey {
    text: Box<str>,
    encoded: Box<str>,
}

impl ExtraKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The key as the end of a header's name: what can't stand there is percent-encoded, and a `%` itself, as client-go
    /// does it (`headerKeyEscape`).
    pub fn encoded(&self) -> &str {
        &self.encoded
    }
}

impl TryFrom<&str> for ExtraKey {
    type Error = IdentityError;

    fn try_from(key: &str) -> Result<Self, IdentityError> {
        if key.is_empty() {
            return Err(IdentityError::Empty);
        }
        if key.len() > MAX_NAME_BYTES {
            return Err(IdentityError::TooLong);
        }
        if key.chars().any(char::is_uppercase) {
            return Err(IdentityError::Capital);
        }
        if key.chars().any(char::is_control) {
            return Err(IdentityError::Control);
        }
        Ok(Self { text: key.into(), encoded: encode(key).into() })
    }
}

/// A UID, or an extra's value, as the value of a header line.
///
/// # Errors
/// When the text would not arrive as it is.
pub fn header_value(text: &str) -> Result<HeaderValue, IdentityError> {
    if text.len() > MAX_VALUE_BYTES {
        return Err(IdentityError::TooLong);
    }
    if text.is_empty() {
        return Err(IdentityError::Empty);
    }
    super::header_line(text)
}

fn encode(key: &str) -> String {
    let mut encoded = String::with_capacity(key.len() + 8);
    for byte in key.bytes() {
        if is_token(byte) {
            encoded.push(char::from(byte));
        } else {
            // In small letters, because a header's name is.
            encoded.push('%');
            encoded.extend(
                [byte >> 4, byte & 15].iter().filter_map(|digit| char::from_digit((*digit).into(), 16)),
            );
        }
    }
    encoded
}

/// What a header's name may have (RFC 9110, 5.6.2), without the `%` that begins an encoded byte.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_encoded_as_client_go_does_it() {
        for (key, encoded) in [
            ("authentication.kubernetes.io/credential-id", "authentication.kubernetes.io%2fcredential-id"),
            ("scopes", "scopes"),
            ("a%2fb", "a%252fb"),
            ("a b:c", "a%20b%3ac"),
            ("ß", "%c3%9f"),
        ] {
            assert_eq!(ExtraKey::try_from(key).unwrap().encoded(), encoded);
        }
    }

    #[test]
    fn a_key_that_would_arrive_as_another_is_refused() {
        for (key, error) in [
            ("", IdentityError::Empty),
            ("Scopes", IdentityError::Capital),
            ("ä/Ä", IdentityError::Capital),
            ("a\nb", IdentityError::Control),
        ] {
            assert_eq!(ExtraKey::try_from(key), Err(error), "{key:?}");
        }
        assert_eq!(ExtraKey::try_from("x".repeat(257).as_str()), Err(IdentityError::TooLong));
    }

    #[test]
    fn a_value_that_a_header_would_change_is_refused() {
        for text in ["", " a", "a ", "a\r\nb", "\u{7f}", &"x".repeat(1025)] {
            assert!(header_value(text).is_err(), "{text:?}");
        }
        assert_eq!(header_value("JTI=1 ü").unwrap().as_bytes(), "JTI=1 ü".as_bytes());
    }

    proptest! {
        /// What the apiserver does to the header's name leads back to the key, so no two keys share a header.
        #[test]
        fn every_key_comes_back_from_its_header(key in "[^A-Z\\p{Lu}\\p{Lt}\\p{Cc}]{1,40}") {
            if let Ok(parsed) = ExtraKey::try_from(key.as_str()) {
                let name = HeaderName::from_bytes(format!("x-{}", parsed.encoded()).as_bytes()).unwrap();
                let lower = name.as_str().strip_prefix("x-").unwrap().to_lowercase();
                prop_assert_eq!(decode(&lower), key.as_bytes());
            }
        }
    }

    fn decode(text: &str) -> Vec<u8> {
        let mut bytes = text.bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            decoded.push(if byte == b'%' {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            } else {
                byte
            });
        }
        decoded
    }
}
