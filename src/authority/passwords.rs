//! Passwords: changing one's own, and setting anybody's.

use super::audit::Act;
use super::{Authority, AuthorityError, Caller};
use crate::identity::{UserId, Username};
use crate::secret::Secret;
use crate::store::{Revoke, UserUpdate, Write};
use crate::user::{NewPassword, PasswordHash, UserRecord};

impl Authority {
    /// Changes the caller's own password, and ends those of the caller's tokens that `revoke` says. With
    /// [`Revoke::Sessions`] the session that asks for it goes on; [`Revoke::All`] ends that as well.
    pub async fn change_password(
        &self,
        caller: &Caller,
        current: Secret,
        new: Secret,
        revoke: Option<Revoke>,
    ) -> Result<(), AuthorityError> {
        let act = Act::by(caller, "user.change-password").on_user(&caller.id);
        let changed = self.try_change(caller, current, new, revoke, &act).await;
        self.judged(&act, changed).await
    }

    /// Sets anybody's password, and ends those of the user's tokens that `revoke` says; for administrators.
    pub async fn set_password(
        &self,
        caller: &Caller,
        id: &UserId,
        new: Secret,
        revoke: Option<Revoke>,
    ) -> Result<UserRecord, AuthorityError> {
        let act = Act::by(caller, "user.set-password").on_user(id);
        let set = self.try_set_password(caller, id, new, revoke, &act).await;
        self.judged(&act, set).await
    }

    /// Hashes a password for the user of this name.
    pub(super) async fn hash_password(
        &self,
        name: &Username,
        new: Secret,
    ) -> Result<PasswordHash, AuthorityError> {
        if new.expose() == name.as_str() {
            return Err(AuthorityError::PasswordIsUsername);
        }
        let password = NewPassword::new(new, self.settings().password_min_length())?;
        Ok(self.password_work.slot().await?.run(move || PasswordHash::of(&password)).await??)
    }

    async fn try_change(
        &self,
        caller: &Caller,
        current: Secret,
        new: Secret,
        revoke: Option<Revoke>,
        act: &Act,
    ) -> Result<(), AuthorityError> {
        let unchanged = current.expose() == new.expose();
        let checked = self.check_password(caller.client, caller.name.as_str(), current).await;
        let user = checked.map_err(|error| match error {
            AuthorityError::BadCredentials => AuthorityError::WrongCurrentPassword,
            other => other,
        })?;
        if user.id != caller.id || !user.enabled {
            return Err(AuthorityError::CallerGone);
        }
        if unchanged {
            return Err(AuthorityError::PasswordUnchanged);
        }
        self.store_password(caller, &user, new, revoke, act).await
    }

    async fn try_set_password(
        &self,
        caller: &Caller,
        id: &UserId,
        new: Secret,
        revoke: Option<Revoke>,
        act: &Act,
    ) -> Result<UserRecord, AuthorityError> {
        self.check_administrator(caller).await?;
        let user = self.store.user(id).await?.ok_or(AuthorityError::NotFound)?;
        self.store_password(caller, &user, new, revoke, act).await?;
        Ok(user)
    }

    async fn store_password(
        &self,
        caller: &Caller,
        user: &UserRecord,
        new: Secret,
        revoke: Option<Revoke>,
        act: &Act,
    ) -> Result<(), AuthorityError> {
        let password = Some(self.hash_password(&user.name, new).await?);
        let keep = (revoke == Some(Revoke::Sessions)).then(|| caller.token.clone());
        let update = UserUpdate { password, revoke, keep, ..UserUpdate::default() };
        let message = match revoke {
            None => format!("password of {}", user.name),
            Some(Revoke::Sessions) => format!("password of {}, and all other sessions ended", user.name),
            Some(Revoke::All) => format!("password of {}, and all tokens deleted", user.name),
        };
        let write = Write::UpdateUser(user.id.clone(), Box::new(update));
        let committed = self.commit(write, act.clone(), message).await?;
        if committed.changed() { Ok(()) } else { Err(AuthorityError::NotFound) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::testing::{HOME, House, PASSWORD, log_in};
    use crate::store::testing::user;
    use crate::user::PasswordError;

    #[tokio::test]
    async fn changing_ones_password_takes_the_current_one_and_a_good_new_one() {
        let house = House::new().await;
        let carol = house.admit("caroline-smith", false).await;
        let change = |current: &str, new: &str| {
            house.authority.change_password(&carol, Secret::new(current), Secret::new(new), None)
        };
        let new = "another horse battery";
        assert!(matches!(change("wrong", new).await, Err(AuthorityError::WrongCurrentPassword)));
        assert!(matches!(change(PASSWORD, PASSWORD).await, Err(AuthorityError::PasswordUnchanged)));
        assert!(matches!(change(PASSWORD, "caroline-smith").await, Err(AuthorityError::PasswordIsUsername)));
        let short = change(PASSWORD, "short").await;
        assert!(matches!(short, Err(AuthorityError::Password(PasswordError::TooShort(12)))));
        change(PASSWORD, new).await.unwrap();
        assert!(log_in(&house.authority, HOME, "caroline-smith", PASSWORD).await.is_err());
        log_in(&house.authority, HOME, "caroline-smith", new).await.unwrap();

        house.authority.set_password(&house.root, &carol.id, Secret::new(PASSWORD), None).await.unwrap();
        log_in(&house.authority, HOME, "caroline-smith", PASSWORD).await.unwrap();
        let nobody = user("nobody", false).id;
        let answer = house.authority.set_password(&house.root, &nobody, Secret::new(PASSWORD), None).await;
        assert!(matches!(answer, Err(AuthorityError::NotFound)));
    }
}
