//! Identities that no client takes through us, whatever RBAC says. With one of them a slip in a cluster's RBAC, or in
//! ours, would be the whole cluster; who needs them has a way of its own to the apiserver.

use super::{ClientImpersonation, ImpersonationError};
use crate::identity::Group;

/// What is the cluster's as a user and as a group: everything may be done as a master, everything on its pods as a node,
/// and the control plane's components hold all secrets.
const NAMES: [&str; 2] = ["system:masters", "system:nodes"];
const PREFIXES: [&str; 3] = ["system:node:", "system:kube-", "system:serviceaccount:kube-system:"];
/// The group of the service accounts of `kube-system`, controllers with every right among them.
const GROUP: &str = "system:serviceaccounts:kube-system";

/// Extras that say who really asks.
const EXTRA_PREFIX: &str = "portcullis.dev/";

pub(super) fn check(wanted: &ClientImpersonation) -> Result<(), ImpersonationError> {
    let groups = wanted.groups.iter().map(Group::as_str);
    let mut names = groups.chain([wanted.user.as_str()]);
    if let Some(name) = names.find(|name| is_reserved(name)) {
        return Err(ImpersonationError::Reserved(name.to_owned()));
    }
    let mut keys = wanted.extras.iter().map(|(key, _)| key.as_str());
    match keys.find(|key| key.starts_with(EXTRA_PREFIX)) {
        Some(key) => Err(ImpersonationError::ReservedExtra(key.to_owned())),
        None => Ok(()),
    }
}

fn is_reserved(name: &str) -> bool {
    NAMES.contains(&name) || name == GROUP || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::super::wanted::testing::wanted;
    use super::*;

    #[test]
    fn masters_nodes_and_the_control_plane_are_nobodys_and_their_neighbours_are() {
        for name in [
            "system:masters",
            "system:nodes",
            "system:node:n1",
            "system:node:",
            "system:kube-scheduler",
            "system:kube-controller-manager",
            "system:serviceaccount:kube-system:generic-garbage-collector",
            "system:serviceaccounts:kube-system",
        ] {
            let refused = |user: &str, groups: &[&str]| {
                let error = check(&wanted(user, groups, None, &[])).unwrap_err();
                assert!(matches!(error, ImpersonationError::Reserved(found) if found == name), "{name}");
            };
            refused(name, &[]);
            refused("bob", &["dev", name]);
        }
        for name in [
            "system:master",
            "masters",
            "system:admin",
            "system:anonymous",
            "system:unauthenticated",
            "system:serviceaccount:dev:default",
            "system:serviceaccount:kube-systems:default",
            "system:serviceaccounts:dev",
            "kube-system",
        ] {
            assert!(check(&wanted(name, &[name], None, &[])).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_we_say_of_a_request_a_client_does_not_say() {
        for key in ["portcullis.dev/original-user", "portcullis.dev/token-name", "portcullis.dev/"] {
            let error = check(&wanted("bob", &[], None, &[("scopes", "a"), (key, "x")])).unwrap_err();
            assert!(matches!(error, ImpersonationError::ReservedExtra(found) if found == key), "{key}");
        }
        assert!(
            check(&wanted("bob", &[], None, &[("portcullis.development/x", "x"), ("scopes", "a")])).is_ok()
        );
    }
}
