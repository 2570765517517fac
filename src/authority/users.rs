//! Users: making, listing, showing, changing and deleting them.

use super::audit::Act;
use super::error::MAX_GROUPS;
use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::identity::{Group, UserId, Username};
use crate::secret::Secret;
use crate::store::{Page, StoreError, UserQuery, UserUpdate, Write};
use crate::user::UserRecord;

/// A user, as an administrator asks for it.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The name the cluster sees.
    pub name: Username,
    /// The groups the cluster sees.
    pub groups: Vec<Group>,
    /// Whether the user may manage other users.
    pub admin: bool,
    /// Whether the user is switched on.
    pub enabled: bool,
    /// `None` for a user who can't log in with one.
    pub password: Option<Secret>,
}

/// What to change about a user; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The groups the cluster sees.
    pub groups: Option<Vec<Group>>,
    /// Whether the user may manage other users.
    pub admin: Option<bool>,
    /// Whether the user is switched on.
    pub enabled: Option<bool>,
}

impl Authority {
    /// Makes a user; for administrators.
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<UserRecord, AuthorityError> {
        let act = Act::by(caller, "user.create");
        let created = self.try_create_user(caller, new, &act).await;
        self.judged(&act, created).await
    }

    /// A page of users by name; for administrators.
    pub async fn users(&self, caller: &Caller, query: UserQuery) -> Result<Page<UserRecord>, AuthorityError> {
        let allowed = self.check_administrator(caller).await;
        self.judged(&Act::by(caller, "user.list"), allowed).await?;
        Ok(self.store.users(query).await?)
    }

    /// One user: oneself, or anybody for an administrator. Another is not found, as if there were none.
    pub async fn user(&self, caller: &Caller, id: &UserId) -> Result<UserRecord, AuthorityError> {
        if *id != caller.id && !self.is_administrator(caller).await? {
            let act = Act::by(caller, "user.show").on_user(id);
            self.refused(act, AuthorityError::NotAdministrator.to_string()).await;
            return Err(AuthorityError::NotFound);
        }
        self.store.user(id).await?.ok_or(AuthorityError::NotFound)
    }

    /// Changes a user; for administrators. When this returns, every cache here has forgotten what it knew.
    pub async fn update_user(
        &self,
        caller: &Caller,
        id: &UserId,
        change: UserChange,
    ) -> Result<UserRecord, AuthorityError> {
        let act = Act::by(caller, "user.update").on_user(id);
        let updated = self.try_update_user(caller, id, change, &act).await;
        self.judged(&act, updated).await
    }

    /// Deletes a user and all of the user's tokens; for administrators.
    pub async fn delete_user(&self, caller: &Caller, id: &UserId) -> Result<(), AuthorityError> {
        let act = Act::by(caller, "user.delete").on_user(id);
        let deleted = self.try_delete_user(caller, id, &act).await;
        self.judged(&act, deleted).await
    }

    async fn try_create_user(
        &self,
        caller: &Caller,
        new: NewUser,
        act: &Act,
    ) -> Result<UserRecord, AuthorityError> {
        self.check_administrator(caller).await?;
        self.check_identity(new.name.as_str(), new.name.is_reserved())?;
        let groups = self.checked_groups(new.groups)?;
        let password = match new.password {
            Some(password) => Some(self.hash_password(&new.name, password).await?),
            None => None,
        };
        let mut user = UserRecord {
            id: UserId::generate()?,
            name: new.name,
            groups,
            admin: new.admin,
            enabled: new.enabled,
            created_at: clock::now(),
            password,
        };
        for _ in 0..ID_ATTEMPTS {
            let (write, act) = (Write::InsertUser(Box::new(user.clone())), act.clone().on_user(&user.id));
            match self.commit(write, act, describe(&user)).await {
                Ok(_) => return Ok(user),
                Err(StoreError::Exists) if self.store.user_by_name(&user.name).await?.is_some() => {
                    return Err(AuthorityError::NameTaken);
                }
                Err(StoreError::Exists) => user.id = UserId::generate()?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(AuthorityError::NoRandomness)
    }

    async fn try_update_user(
        &self,
        caller: &Caller,
        id: &UserId,
        change: UserChange,
        act: &Act,
    ) -> Result<UserRecord, AuthorityError> {
        self.check_administrator(caller).await?;
        if *id == caller.id && change.enabled == Some(false) {
            return Err(AuthorityError::OwnUser);
        }
        let UserChange { groups, admin, enabled } = change;
        let groups = groups.map(|groups| self.checked_groups(groups)).transpose()?;
        let said = [
            groups.as_deref().map(|groups| format!("groups {}", names(groups))),
            admin.map(|admin| format!("administrator {admin}")),
            enabled.map(|enabled| format!("enabled {enabled}")),
        ];
        let message = said.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let update = UserUpdate { groups, admin, enabled, ..UserUpdate::default() };
        let write = Write::UpdateUser(id.clone(), Box::new(update));
        if !self.commit(write, act.clone(), message).await?.changed() {
            return Err(AuthorityError::NotFound);
        }
        self.store.user(id).await?.ok_or(AuthorityError::NotFound)
    }

    async fn try_delete_user(&self, caller: &Caller, id: &UserId, act: &Act) -> Result<(), AuthorityError> {
        self.check_administrator(caller).await?;
        if *id == caller.id {
            return Err(AuthorityError::OwnUser);
        }
        let message = "with all of the user's tokens".to_owned();
        if self.commit(Write::DeleteUser(id.clone()), act.clone(), message).await?.changed() {
            Ok(())
        } else {
            Err(AuthorityError::NotFound)
        }
    }

    fn checked_groups(&self, groups: Vec<Group>) -> Result<Vec<Group>, AuthorityError> {
        let mut checked: Vec<Group> = Vec::with_capacity(groups.len().min(MAX_GROUPS));
        for group in groups {
            self.check_identity(group.as_str(), group.is_reserved())?;
            if checked.contains(&group) {
                continue;
            }
            if checked.len() == MAX_GROUPS {
                return Err(AuthorityError::TooManyGroups);
            }
            checked.push(group);
        }
        Ok(checked)
    }

    fn check_identity(&self, name: &str, reserved: bool) -> Result<(), AuthorityError> {
        let config = self.policy.config.current();
        if reserved && !config.allowed_system_identities.iter().any(|allowed| allowed == name) {
            return Err(AuthorityError::Reserved(name.to_owned()));
        }
        Ok(())
    }
}

/// A new user, for the audit log.
pub(super) fn describe(user: &UserRecord) -> String {
    let role = if user.admin { ", administrator" } else { "" };
    let state = if user.enabled { "" } else { ", disabled" };
    format!("{}{role}{state}, groups {}", user.name, names(&user.groups))
}

fn names(groups: &[Group]) -> String {
    format!("{:?}", groups.iter().map(Group::as_str).collect::<Vec<_>>())
}

/// Ids tried before giving up.
const ID_ATTEMPTS: usize = 8;
