//! Who may use something at all.

use http::HeaderValue;

use super::{Group, Username};

/// Who may use a cluster at all. What they may do there is the cluster's own to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Whoever is authenticated.
    #[default]
    Everyone,
    /// Only these, by the names that the cluster sees; nobody if both lists are empty. Administrators are no exception:
    /// whoever may give rights on a cluster still has to give them, where it is seen.
    Only {
        /// By the user's name.
        users: Vec<Username>,
        /// By the name of a group the user is in.
        groups: Vec<Group>,
    },
}

impl Access {
    /// Whether somebody of this name and in these groups may.
    pub fn admits<'g>(&self, name: &HeaderValue, groups: impl IntoIterator<Item = &'g HeaderValue>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only { users, groups: admitted } => {
                users.iter().any(|user| user.header() == name)
                    || groups.into_iter().any(|group| admitted.iter().any(|known| known.header() == group))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_admits_whom_it_names_and_their_neighbours_not() {
        let name = HeaderValue::from_static;
        let only = Access::Only {
            users: vec![Username::try_from("alice").unwrap()],
            groups: vec![Group::try_from("dev").unwrap()],
        };
        assert!(only.admits(&name("alice"), []));
        assert!(only.admits(&name("bob"), &[name("ops"), name("dev")]));
        for (user, group) in [("dev", "alice"), ("alice2", "dev2"), ("Alice", "DEV")] {
            assert!(!only.admits(&name(user), &[name(group)]), "{user} {group}");
        }
        let nobody = Access::Only { users: Vec::new(), groups: Vec::new() };
        assert!(!nobody.admits(&name("alice"), &[name("system:authenticated")]));
        assert!(Access::Everyone.admits(&name("alice"), []));
    }
}
