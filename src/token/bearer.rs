//! What a client presents: `name:key`.

use super::{TokenKey, TokenName};

/// A bearer of ours, taken apart. That it parses says nothing about whether such a token exists.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// Which token it claims to be.
    pub name: TokenName,
    /// The secret that would prove it.
    pub key: TokenKey,
}

/// A text that is not a bearer of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form name:key")]
pub struct BearerError;

impl Bearer {
    /// The text a client sends, `name:key`. Secret, as the key in it is.
    pub fn expose(&self) -> crate::secret::Secret {
        crate::secret::Secret::new(format!("{}:{}", self.name, self.key.expose()))
    }
}

impl TryFrom<&str> for Bearer {
    type Error = BearerError;

    fn try_from(text: &str) -> Result<Self, BearerError> {
        // The key's alphabet has no colon, so a second colon fails there.
        let (name, key) = text.split_once(':').ok_or(BearerError)?;
        let name = TokenName::try_from(name).map_err(|_| BearerError)?;
        let key = TokenKey::try_from(key).map_err(|_| BearerError)?;
        Ok(Self { name, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_a_name_one_colon_and_a_key() {
        let key = "b".repeat(54);
        let bearer = Bearer::try_from(format!("token-bcdfg:{key}").as_str()).unwrap();
        assert_eq!(bearer.name.as_str(), "token-bcdfg");
        assert_eq!(bearer.expose().expose(), format!("token-bcdfg:{key}"));
    }

    #[test]
    fn every_other_shape_is_refused() {
        let key = "b".repeat(54);
        let wrong = [
            String::new(),
            ":".into(),
            "a".into(),
            "a:".into(),
            format!(":{key}"),
            format!("a::{key}"),
            format!("a:b:{key}"),
            format!("a:{key}:"),
            format!(" a:{key}"),
            format!("a:{key} "),
            format!("a:{key}\u{0}"),
            format!("ext/token-a:{key}"),
            "x".repeat(1 << 20),
        ];
        for text in wrong {
            assert_eq!(Bearer::try_from(text.as_str()).err(), Some(BearerError), "{text:.40}");
        }
    }
}
