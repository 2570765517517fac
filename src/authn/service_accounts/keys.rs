//! Under what reviews are kept.

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};

use super::jwt::Jwt;
use crate::streams::ReviewKey;

/// Makes keys that nobody outside of this process can foresee: a token can't be chosen so that it meets another's entry.
pub(super) struct ReviewKeys(Key);

impl ReviewKeys {
    /// # Errors
    /// When the operating system has no random bytes to give.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        Ok(Self(Key::new(HMAC_SHA256, &random)))
    }

    /// The key of all that a review depends on. Each part is preceded by its length, so that no two lists of parts are
    /// the same text.
    pub(super) fn key(&self, cluster: &str, loading: u64, audiences: &[String], token: &Jwt) -> ReviewKey {
        let mut context = hmac::Context::with_key(&self.0);
        let mut part = |text: &str| {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        };
        part(cluster);
        part(&loading.to_string());
        part(token.secret().expose());
        for audience in audiences {
            part(audience);
        }
        let mut key = ReviewKey::default();
        // Both are the 32 bytes of a SHA-256.
        key.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        key
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jwt(end: &str) -> Jwt {
        Jwt::parse(&format!("eyJh.e30.{end}")).unwrap()
    }

    fn key(keys: &ReviewKeys, cluster: &str, audiences: &[&str], end: &str) -> ReviewKey {
        let audiences: Vec<_> = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        keys.key(cluster, 1, &audiences, &jwt(end))
    }

    /// The cases of kube-apiserver's own test of its key (`TestKeyFunc`), with the cluster as one part more.
    #[test]
    fn every_part_counts_and_so_does_where_it_begins() {
        let keys = ReviewKeys::new().unwrap();
        let all: [(&str, &[&str], &str); 9] = [
            ("local", &[], "abc"),
            ("local", &[], "abd"),
            ("c-1", &[], "abc"),
            ("local", &[""], "abc"),
            ("local", &["a"], "abc"),
            ("local", &["a", "b"], "abc"),
            ("local", &["b", "a"], "abc"),
            ("local", &["ab"], "abc"),
            ("local", &["a", "b", ""], "abc"),
        ];
        let mut made: Vec<_> =
            all.iter().map(|(cluster, audiences, end)| key(&keys, cluster, audiences, end)).collect();
        assert_eq!(key(&keys, all[0].0, all[0].1, all[0].2), made[0], "the same again");
        made.sort_unstable();
        made.dedup();
        assert_eq!(made.len(), all.len());
    }

    #[test]
    fn another_process_has_other_keys() {
        let one = key(&ReviewKeys::new().unwrap(), "local", &[], "abc");
        assert_ne!(one, key(&ReviewKeys::new().unwrap(), "local", &[], "abc"));
    }

    proptest! {
        #[test]
        fn no_split_of_the_same_text_has_the_same_key(text in "[a-z]{2,20}", first in 1..19_usize, second in 1..19_usize) {
            let keys = ReviewKeys::new().unwrap();
            let (first, second) = (first.min(text.len() - 1), second.min(text.len() - 1));
            let made = |at: usize| key(&keys, &text[..at], &[&text[at..]], "abc");
            prop_assert_eq!(made(first) == made(second), first == second);
        }
    }
}
