//! Whom a client asks to be, and the user that it then is: groups that the apiserver adds by itself are added here as it
//! adds them, so that what is decided on is what arrives.

use http::HeaderValue;

use super::super::Permit;
use crate::identity::{AUTHENTICATED_GROUP, ExtraKey, Group, UserInfo, Username};

/// Whoever shows no credential.
const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED_GROUP: &str = "system:unauthenticated";
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
const SERVICE_ACCOUNTS_GROUP: &str = "system:serviceaccounts";

/// The extra by which the cluster's audit log names who asked.
pub(super) const ORIGINAL_USER: &str = "portcullis.dev/original-user";
/// The extra by which it names the token that the request came with.
pub(super) const TOKEN_NAME: &str = "portcullis.dev/token-name";

/// Whom a client asks to be. Nothing is checked of it but that it can be said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientImpersonation {
    /// The user.
    pub user: Username,
    /// The groups, if the client names any.
    pub groups: Vec<Group>,
    /// The UID, if the client names one.
    pub uid: Option<HeaderValue>,
    /// The extras, one entry a value.
    pub extras: Vec<(ExtraKey, HeaderValue)>,
}

impl ClientImpersonation {
    /// Namespace and name, if the user is a service account. A name that only looks like one is an ordinary user's.
    pub(super) fn service_account(&self) -> Option<(&str, &str)> {
        let (namespace, name) = self.user.as_str().strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
        (is_label(namespace) && is_subdomain(name)).then_some((namespace, name))
    }

    /// The user that the request runs as, and in its extras who it was that asked.
    pub(super) fn into_user_info(self, caller: &Permit) -> UserInfo {
        let groups = self.effective_groups();
        let mut extras = self.extras;
        extras.push((key(ORIGINAL_USER), caller.name().header().clone()));
        extras.extend(caller.token_name().map(|name| (key(TOKEN_NAME), name.clone())));
        UserInfo { name: self.user, groups, uid: self.uid, extras }
    }

    fn effective_groups(&self) -> Vec<Group> {
        let mut groups = self.groups.clone();
        if let Some((namespace, _)) = self.service_account().filter(|_| groups.is_empty()) {
            groups.extend(group(SERVICE_ACCOUNTS_GROUP));
            groups.extend(group(&format!("{SERVICE_ACCOUNTS_GROUP}:{namespace}")));
        }
        let has = |name: &str| groups.iter().any(|group| group.as_str() == name);
        let added = if self.user.as_str() == ANONYMOUS { UNAUTHENTICATED_GROUP } else { AUTHENTICATED_GROUP };
        if !has(added) && !has(UNAUTHENTICATED_GROUP) {
            groups.extend(group(added));
        }
        groups
    }
}

/// The names of our extras are keys.
fn key(name: &'static str) -> ExtraKey {
    ExtraKey::try_from(name).expect("lower case, and not empty")
}

/// Every name that comes here is of an alphabet that groups may have.
fn group(name: &str) -> Option<Group> {
    Group::try_from(name).ok()
}

/// What a namespace's name is (RFC 1123).
fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

/// What a service account's name is: parts with dots between. Here Kubernetes bounds the whole and not each part.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::identity::header_value;

    pub(in super::super) fn wanted(
        user: &str,
        groups: &[&str],
        uid: Option<&str>,
        extras: &[(&str, &str)],
    ) -> ClientImpersonation {
        let extra =
            |(key, value): &(&str, &str)| (ExtraKey::try_from(*key).unwrap(), header_value(value).unwrap());
        ClientImpersonation {
            user: user.try_into().unwrap(),
            groups: groups.iter().map(|group| (*group).try_into().unwrap()).collect(),
            uid: uid.map(|uid| header_value(uid).unwrap()),
            extras: extras.iter().map(extra).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::wanted;
    use super::*;
    use crate::authn::testing::authenticated;
    use crate::authz;
    use crate::store::testing::{token, user};

    /// The groups of kube-apiserver's own test cases, where no group that is asked for goes missing.
    #[test]
    fn groups_are_added_as_the_apiserver_adds_them() {
        for (user, asked, effective) in [
            ("tester", &[][..], &["system:authenticated"][..]),
            ("system:admin", &["some-group"], &["some-group", "system:authenticated"]),
            (
                "system:admin",
                &["some-group", "system:authenticated"],
                &["some-group", "system:authenticated"],
            ),
            ("system:anonymous", &[], &["system:unauthenticated"]),
            ("system:anonymous", &["system:unauthenticated"], &["system:unauthenticated"]),
            ("system:anonymous", &["dev"], &["dev", "system:unauthenticated"]),
            ("unknown", &["system:unauthenticated"], &["system:unauthenticated"]),
            ("unknown", &["system:authenticated"], &["system:authenticated"]),
            (
                "system:serviceaccount:foo:default",
                &[],
                &["system:serviceaccounts", "system:serviceaccounts:foo", "system:authenticated"],
            ),
            ("system:serviceaccount:foo:default", &["dev"], &["dev", "system:authenticated"]),
            ("system:serviceaccount:Foo:default", &[], &["system:authenticated"]),
        ] {
            let groups = wanted(user, asked, None, &[]).effective_groups();
            let groups: Vec<_> = groups.iter().map(Group::as_str).collect();
            assert_eq!(groups, effective, "{user} {asked:?}");
        }
    }

    #[test]
    fn only_the_name_of_a_service_account_is_one() {
        let long = format!("system:serviceaccount:n:{}", "a".repeat(200));
        for (user, expected) in [
            ("system:serviceaccount:dev:default", Some(("dev", "default"))),
            ("system:serviceaccount:dev:a.b-c.1", Some(("dev", "a.b-c.1"))),
            (&long, Some(("n", long.rsplit(':').next().unwrap()))),
            ("system:serviceaccount:dev:", None),
            ("system:serviceaccount::default", None),
            ("system:serviceaccount:dev", None),
            ("system:serviceaccount:dev:a:b", None),
            ("system:serviceaccount:dev.x:default", None),
            ("system:serviceaccount:dev:a..b", None),
            ("system:serviceaccount:dev:-a", None),
            ("system:serviceaccount:Dev:default", None),
            ("serviceaccount:dev:default", None),
        ] {
            assert_eq!(wanted(user, &[], None, &[]).service_account(), expected, "{user}");
        }
    }

    #[test]
    fn who_asked_and_with_which_token_travels_along() {
        let alice = user("alice", false);
        let record = token(&alice.id).0;
        let name = record.name.clone();
        let caller = authz::permit(&authenticated(alice, record));
        let effective = wanted("bob", &["dev"], Some("1"), &[("a/b", "x")]).into_user_info(&caller);
        let extras = effective.extras.iter();
        let extras: Vec<_> = extras.map(|(key, value)| (key.as_str(), value.to_str().unwrap())).collect();
        let expected = [
            ("a/b", "x"),
            ("portcullis.dev/original-user", "alice"),
            ("portcullis.dev/token-name", name.as_str()),
        ];
        assert_eq!(extras, expected);
        assert_eq!((effective.name.as_str(), effective.uid.unwrap().to_str().unwrap()), ("bob", "1"));
    }
}
