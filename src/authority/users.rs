//! Users: making, listing, showing, changing and deleting them.

use super::error::MAX_GROUPS;
use super::{Authority, AuthorityError, Caller};
use crate::clock;
use crate::identity::{Group, UserId, Username};
use crate::secret::Secret;
use crate::store::{MAX_PAGE, StoreError, UserQuery, UserUpdate, Write};
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
        self.check_administrator(caller).await?;
        self.check_identity(caller, new.name.as_str(), new.name.is_reserved())?;
        let groups = self.checked_groups(caller, new.groups)?;
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
            match self.store.commit(Write::InsertUser(Box::new(user.clone())), None).await {
                Ok(_) => {
                    audit(caller, "user.create", &user);
                    return Ok(user);
                }
                Err(StoreError::Exists) if self.store.user_by_name(&user.name).await?.is_some() => {
                    return Err(AuthorityError::NameTaken);
                }
                Err(StoreError::Exists) => user.id = UserId::generate()?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(AuthorityError::NoRandomness)
    }

    /// All users by name; for administrators.
    pub async fn users(&self, caller: &Caller) -> Result<Vec<UserRecord>, AuthorityError> {
        self.check_administrator(caller).await?;
        let query = UserQuery { limit: MAX_PAGE, ..UserQuery::default() };
        Ok(self.store.users(query).await?.items)
    }

    /// One user: oneself, or anybody for an administrator. Another is not found, as if there were none.
    pub async fn user(&self, caller: &Caller, id: &UserId) -> Result<UserRecord, AuthorityError> {
        if *id != caller.id && !self.is_administrator(caller).await? {
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
        self.check_administrator(caller).await?;
        if *id == caller.id && change.enabled == Some(false) {
            return Err(AuthorityError::OwnUser);
        }
        let groups = change.groups.map(|groups| self.checked_groups(caller, groups)).transpose()?;
        let update =
            UserUpdate { groups, admin: change.admin, enabled: change.enabled, ..UserUpdate::default() };
        let write = Write::UpdateUser(id.clone(), Box::new(update));
        if !self.store.commit(write, None).await?.changed() {
            return Err(AuthorityError::NotFound);
        }
        let user = self.store.user(id).await?.ok_or(AuthorityError::NotFound)?;
        audit(caller, "user.update", &user);
        Ok(user)
    }

    /// Deletes a user and all of the user's tokens; for administrators.
    pub async fn delete_user(&self, caller: &Caller, id: &UserId) -> Result<(), AuthorityError> {
        self.check_administrator(caller).await?;
        if *id == caller.id {
            return Err(AuthorityError::OwnUser);
        }
        if !self.store.commit(Write::DeleteUser(id.clone()), None).await?.changed() {
            return Err(AuthorityError::NotFound);
        }
        tracing::info!(target: "audit", action = "user.delete", actor = %caller.id, user = %id, "user and tokens deleted");
        Ok(())
    }

    /// The caller's user, as it is now and not as it was when the request was authenticated.
    pub(super) async fn check_enabled(&self, caller: &Caller) -> Result<UserRecord, AuthorityError> {
        let user = self.store.user(&caller.id).await?;
        user.filter(|user| user.enabled).ok_or(AuthorityError::CallerGone)
    }

    pub(super) async fn is_administrator(&self, caller: &Caller) -> Result<bool, AuthorityError> {
        Ok(self.check_enabled(caller).await?.admin)
    }

    pub(super) async fn check_administrator(&self, caller: &Caller) -> Result<(), AuthorityError> {
        if self.is_administrator(caller).await? {
            return Ok(());
        }
        tracing::warn!(target: "audit", actor = %caller.id, name = %caller.name, "refused: not an administrator");
        Err(AuthorityError::NotAdministrator)
    }

    fn checked_groups(&self, caller: &Caller, groups: Vec<Group>) -> Result<Vec<Group>, AuthorityError> {
        let mut checked: Vec<Group> = Vec::with_capacity(groups.len().min(MAX_GROUPS));
        for group in groups {
            self.check_identity(caller, group.as_str(), group.is_reserved())?;
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

    fn check_identity(&self, caller: &Caller, name: &str, reserved: bool) -> Result<(), AuthorityError> {
        if reserved && !self.allowed_system_identities.iter().any(|allowed| allowed == name) {
            tracing::warn!(target: "audit", action = "user.grant", actor = %caller.id, identity = name, "refused: a name of Kubernetes' own");
            return Err(AuthorityError::Reserved(name.to_owned()));
        }
        Ok(())
    }
}

fn audit(caller: &Caller, action: &'static str, user: &UserRecord) {
    let groups: Vec<&str> = user.groups.iter().map(Group::as_str).collect();
    tracing::info!(target: "audit", action, actor = %caller.id, user = %user.id, name = %user.name, ?groups, admin = user.admin, enabled = user.enabled, "user changed");
}

/// Ids tried before giving up.
const ID_ATTEMPTS: usize = 8;
