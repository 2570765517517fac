//! What a client's own impersonation headers ask for (`kubectl --as`), read as kube-apiserver reads them. The headers
//! themselves go nowhere: whoever is let impersonate gets the headers that we write.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::request::{EXTRA_PREFIX, GROUP, UID, USER};
use crate::authz::ClientImpersonation;
use crate::identity::{ExtraKey, Group, IdentityError, Username, header_value};
use crate::kube::unescape_bytes;

/// The impersonation headers of a client, as they came. As many as `limits.maxHeaders` lets in.
#[derive(Debug, Default)]
pub struct AskedImpersonation(HeaderMap);

/// Why they can't be read. The client's fault, each of them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskedError {
    /// Groups, a UID or extras, and nobody who would have them.
    #[error("impersonating a group, uid or extra needs a user to impersonate")]
    NoUser,
    /// A header of which there is one comes again. The apiserver would take the first, somebody else the last.
    #[error("the header {0} is there more than once")]
    Repeated(HeaderName),
    /// A header that may mean much to an apiserver of the future.
    #[error("the header {0} is not known")]
    Unknown(HeaderName),
    /// A value that names nobody.
    #[error("the value of the header {0} can't be used: {1}")]
    Value(HeaderName, IdentityError),
    /// A value, or the key of an extra, that is not UTF-8: a review could not ask for it.
    #[error("the header {0} is not UTF-8")]
    NotText(HeaderName),
    /// The key of an extra that is none, or that would arrive as another.
    #[error("the extra key of the header {0} can't be used: {1}")]
    Key(HeaderName, IdentityError),
}

impl AskedImpersonation {
    pub(super) fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.append(name, value);
    }

    /// Whom the client asks to be. An empty value is an error and never "nobody in particular": the apiserver takes an
    /// empty user for no impersonation, and an empty group for a right to all of them.
    pub fn parse(&self) -> Result<ClientImpersonation, AskedError> {
        let mut wanted = Wanted::default();
        for (name, value) in &self.0 {
            wanted.add(name, value)?;
        }
        let user = wanted.user.ok_or(AskedError::NoUser)?;
        Ok(ClientImpersonation { user, groups: wanted.groups, uid: wanted.uid, extras: wanted.extras })
    }
}

#[derive(Default)]
struct Wanted {
    user: Option<Username>,
    groups: Vec<Group>,
    uid: Option<HeaderValue>,
    extras: Vec<(ExtraKey, HeaderValue)>,
}

impl Wanted {
    fn add(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), AskedError> {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| AskedError::NotText(name.clone()))?;
        let unusable = |error| AskedError::Value(name.clone(), error);
        if name == USER {
            once(&mut self.user, Username::try_from(text).map_err(unusable)?, name)
        } else if name == UID {
            once(&mut self.uid, header_value(text).map_err(unusable)?, name)
        } else if name == GROUP {
            // One line is one group, commas or not.
            self.groups.push(Group::try_from(text).map_err(unusable)?);
            Ok(())
        } else if let Some(key) = name.as_str().strip_prefix(EXTRA_PREFIX) {
            self.extras.push((extra_key(key, name)?, header_value(text).map_err(unusable)?));
            Ok(())
        } else {
            Err(AskedError::Unknown(name.clone()))
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T, name: &HeaderName) -> Result<(), AskedError> {
    if place.replace(value).is_none() { Ok(()) } else { Err(AskedError::Repeated(name.clone())) }
}

/// The key of an extra from the end of its header's name: lower-cased (as every name here is), then percent-decoded, with
/// its slashes. What can't be decoded is taken as it stands, which is what the apiserver does with it.
fn extra_key(escaped: &str, name: &HeaderName) -> Result<ExtraKey, AskedError> {
    let bytes = unescape_bytes(escaped).unwrap_or_else(|| escaped.as_bytes().to_vec());
    let key = String::from_utf8(bytes).map_err(|_| AskedError::NotText(name.clone()))?;
    ExtraKey::try_from(key.as_str()).map_err(|error| AskedError::Key(name.clone(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is understood of header lines, in one text.
    fn read(lines: &[(&str, &str)]) -> Result<String, AskedError> {
        let mut asked = AskedImpersonation::default();
        for (name, value) in lines {
            // Names are lower-cased here, as they are when they come from a client.
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            asked.add(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let wanted = asked.parse()?;
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        let mut parts = vec![wanted.user.as_str().to_owned()];
        parts.extend(wanted.groups.iter().map(|group| format!("group {group}")));
        parts.extend(wanted.uid.as_ref().map(|uid| format!("uid {}", text(uid))));
        parts.extend(wanted.extras.iter().map(|(key, value)| format!("{} = {}", key.as_str(), text(value))));
        Ok(parts.join("; "))
    }

    fn refused(lines: &[(&str, &str)]) -> String {
        read(lines).unwrap_err().to_string()
    }

    #[test]
    fn the_apiservers_own_cases_are_read_as_it_reads_them() {
        for (lines, expected) in [
            (&[("Impersonate-User", "tester")][..], "tester"),
            (
                &[("Impersonate-User", "system:admin"), ("Impersonate-Group", "some-group")],
                "system:admin; group some-group",
            ),
            (
                &[
                    ("Impersonate-User", "u"),
                    ("Impersonate-Extra-Scopes", "scope-a"),
                    ("Impersonate-Extra-scopes", "scope-b"),
                ],
                "u; scopes = scope-a; scopes = scope-b",
            ),
            (
                &[
                    ("Impersonate-User", "u"),
                    ("Impersonate-Extra-example.com%2fescaped%e1%9b%84scopes", "scope-a"),
                ],
                "u; example.com/escapedᛄscopes = scope-a",
            ),
            (
                &[("Impersonate-User", "u"), ("Impersonate-Extra-almost%zzpercent%xxencoded", "scope-a")],
                "u; almost%zzpercent%xxencoded = scope-a",
            ),
            (&[("Impersonate-User", "tester"), ("Impersonate-Uid", "some-uid")], "tester; uid some-uid"),
            (
                &[("Impersonate-User", "system:serviceaccount:foo:default")],
                "system:serviceaccount:foo:default",
            ),
        ] {
            assert_eq!(read(lines).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_line_is_one_group_and_a_value_stays_as_it_is() {
        let lines = [
            ("impersonate-user", "CN=Anna Müller,OU=a"),
            ("impersonate-group", "a,b"),
            ("impersonate-group", "a b"),
        ];
        assert_eq!(read(&lines).unwrap(), "CN=Anna Müller,OU=a; group a,b; group a b");
    }

    #[test]
    fn keys_of_extras_are_lower_cased_before_they_are_decoded() {
        for (name, key) in [
            ("IMPERSONATE-EXTRA-A.IO%2FB", "a.io/b"),
            ("impersonate-extra-a%2fb%2fc", "a/b/c"),
            ("impersonate-extra-a%252fb", "a%2fb"),
            ("impersonate-extra-a%2", "a%2"),
            ("impersonate-extra-%", "%"),
            ("impersonate-extra-%2fa%zz", "%2fa%zz"),
            ("impersonate-extra-a+b", "a+b"),
        ] {
            assert_eq!(read(&[("impersonate-user", "u"), (name, "x")]).unwrap(), format!("u; {key} = x"));
        }
    }

    #[test]
    fn what_nobody_has_is_refused() {
        for name in ["Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Scopes"] {
            assert_eq!(read(&[(name, "x")]), Err(AskedError::NoUser), "{name}");
        }
    }

    #[test]
    fn an_empty_value_is_refused() {
        for name in ["impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-scopes"] {
            let mut lines = vec![(name, "")];
            if name != "impersonate-user" {
                lines.insert(0, ("impersonate-user", "u"));
            }
            assert_eq!(read(&lines), Err(AskedError::Value(name.parse().unwrap(), IdentityError::Empty)));
        }
        assert!(refused(&[("impersonate-user", "u"), ("impersonate-extra-", "x")]).contains("key"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let user = ("impersonate-user", "u");
        assert!(refused(&[user, user]).contains("more than once"));
        let uid = ("impersonate-uid", "1");
        assert!(refused(&[user, uid, uid]).contains("more than once"));
        assert!(refused(&[user, ("impersonate-extra-%41", "x")]).contains("capital"), "it would arrive as a");
        assert!(refused(&[user, ("impersonate-extra-%ff", "x")]).contains("UTF-8"));
        assert!(refused(&[("impersonate-user", " u")]).contains("white space"));
        assert!(refused(&[user, ("impersonate-group", "a\u{a0}")]).contains("white space"));
    }

    #[test]
    fn a_header_that_is_not_invented_yet_is_refused() {
        for name in ["impersonate-", "impersonate-scope", "impersonate-extra", "impersonate-users"] {
            let lines = [("impersonate-user", "u"), (name, "x")];
            assert_eq!(read(&lines), Err(AskedError::Unknown(name.parse().unwrap())));
        }
    }
}
