//! What is asked of the cluster's authorizer about an impersonation: the same rights that kube-apiserver asks for.

use http::HeaderValue;

use super::super::Permit;
use super::ClientImpersonation;
use super::wanted::{ORIGINAL_USER, TOKEN_NAME};
use crate::identity::ExtraKey;
use crate::kube::{Attributes, Subject};

const VERB: &str = "impersonate";
/// The group of the resources that stand for no object: UIDs and extras.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// The caller as the cluster knows it from requests that impersonate nobody.
pub(super) fn subject(caller: &Permit) -> Subject {
    let mut subject = Subject {
        user: caller.name().as_str().to_owned(),
        groups: caller.groups().map(text).collect(),
        uid: caller.uid().map(text),
        ..Subject::default()
    };
    let token = caller.token_name().map(|name| (TOKEN_NAME, name));
    let extras = caller.extras().iter().map(|(key, value)| (key.as_str(), value));
    for (key, value) in extras.chain(token) {
        subject.extra.entry(key.to_owned()).or_default().push(text(value));
    }
    subject
}

/// For the user and the UID.
pub(super) fn of_name_and_uid(wanted: &ClientImpersonation) -> Vec<Attributes> {
    let uid = wanted.uid.as_ref().map(|uid| right(AUTHENTICATION, "uids", text(uid)));
    std::iter::once(of_name(wanted)).chain(uid).collect()
}

/// For each group.
pub(super) fn of_groups(wanted: &ClientImpersonation) -> Vec<Attributes> {
    wanted.groups.iter().map(|group| right("", "groups", group.as_str().to_owned())).collect()
}

/// For whatever group: a right without a name is one to all names.
pub(super) fn of_any_group() -> Attributes {
    right("", "groups", String::new())
}

/// For each value of each extra.
pub(super) fn of_extras(wanted: &ClientImpersonation) -> Vec<Attributes> {
    wanted.extras.iter().map(|(key, value)| of_extra(key, text(value))).collect()
}

/// What we need ourselves for an impersonation that not every request needs: without the latter we would not be ready.
/// The extras that the client wants are besides these.
pub(super) fn needed_of_us(wanted: &ClientImpersonation) -> Vec<Attributes> {
    let original_user = right(AUTHENTICATION, "userextras", String::new());
    let original_user = Attributes { subresource: ORIGINAL_USER.to_owned(), ..original_user };
    let account = wanted.service_account().map(|_| of_name(wanted));
    std::iter::once(original_user).chain(account).collect()
}

fn of_name(wanted: &ClientImpersonation) -> Attributes {
    match wanted.service_account() {
        Some((namespace, name)) => {
            Attributes { namespace: namespace.to_owned(), ..right("", "serviceaccounts", name.to_owned()) }
        }
        None => right("", "users", wanted.user.as_str().to_owned()),
    }
}

fn of_extra(key: &ExtraKey, value: String) -> Attributes {
    Attributes { subresource: key.as_str().to_owned(), ..right(AUTHENTICATION, "userextras", value) }
}

fn right(api_group: &str, resource: &str, name: String) -> Attributes {
    Attributes {
        verb: VERB.to_owned(),
        api_group: api_group.to_owned(),
        resource: resource.to_owned(),
        name,
        ..Attributes::default()
    }
}

/// All values here were made from text.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::wanted::testing::wanted;
    use super::*;
    use crate::authn::testing::authenticated;
    use crate::authz;
    use crate::store::testing::{token, user};

    /// The parts of a right that are given.
    fn short(right: &Attributes) -> String {
        let Attributes { verb, api_group, resource, subresource, namespace, name } = right;
        assert_eq!(verb, "impersonate");
        let parts = [api_group, resource, subresource, namespace, name].map(String::as_str);
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_part_of_an_identity_has_its_right() {
        let all = wanted("bob", &["dev", "ops"], Some("1"), &[("a.io/b/c", "x"), ("a.io/b/c", "y")]);
        let rights = [of_name_and_uid(&all), of_groups(&all), of_extras(&all), vec![of_any_group()]].concat();
        let expected = [
            "users bob",
            "authentication.k8s.io uids 1",
            "groups dev",
            "groups ops",
            "authentication.k8s.io userextras a.io/b/c x",
            "authentication.k8s.io userextras a.io/b/c y",
            "groups",
        ];
        assert_eq!(rights.iter().map(short).collect::<Vec<_>>(), expected);
        let account = wanted("system:serviceaccount:dev:default", &[], None, &[]);
        assert_eq!(short(&of_name_and_uid(&account)[0]), "serviceaccounts dev default");
        let no_account = wanted("system:serviceaccount:Dev:default", &[], None, &[]);
        assert_eq!(short(&of_name_and_uid(&no_account)[0]), "users system:serviceaccount:Dev:default");
    }

    #[test]
    fn the_caller_is_asked_about_with_groups_uid_and_extras() {
        let mut alice = user("alice", false);
        alice.groups = ["dev", "a,b"].map(|group| group.try_into().unwrap()).to_vec();
        let (id, record) = (alice.id.clone(), token(&alice.id).0);
        let name = record.name.as_str().to_owned();
        let subject = subject(&authz::permit(&authenticated(alice, record)));
        assert_eq!((subject.user.as_str(), subject.uid.as_deref()), ("alice", Some(id.as_str())));
        assert_eq!(subject.groups, ["dev", "a,b", "system:authenticated"]);
        assert_eq!(
            subject.extra.into_iter().collect::<Vec<_>>(),
            [("portcullis.dev/token-name".to_owned(), vec![name])]
        );
    }
}
