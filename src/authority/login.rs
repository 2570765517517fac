//! Passwords: logging in with one, and changing it.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::limiter::Attempt;
use super::tokens::{Issued, Purpose};
use super::{Authority, AuthorityError, Caller, MIN_PASSWORD_CHARACTERS};
use crate::identity::{UserId, Username};
use crate::secret::Secret;
use crate::store::{UserUpdate, Write};
use crate::user::{NewPassword, PasswordHash, UserRecord, verify_against_nothing};

/// A login, as a client asks for it.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name, as it was typed.
    pub username: String,
    /// The password, as it was typed.
    pub password: Secret,
    /// Which token is asked for.
    pub purpose: LoginPurpose,
    /// Free text for the token.
    pub description: String,
    /// Where the client is.
    pub client: IpAddr,
}

/// Which token a login is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginPurpose {
    /// A session of sixteen hours.
    Session,
    /// A kubeconfig, for as long as those live.
    Kubeconfig,
}

impl Authority {
    /// A new token for whoever knows the password. An unknown name, a wrong password and a user without one are the
    /// same answer after the same time.
    pub async fn login(&self, login: Login) -> Result<Issued, AuthorityError> {
        let purpose = match login.purpose {
            LoginPurpose::Session => Purpose::session(login.description)?,
            LoginPurpose::Kubeconfig => Purpose::kubeconfig(login.description)?,
        };
        let user = match self.check_password(login.client, &login.username, login.password).await {
            Ok(user) => user,
            Err(error) => {
                // The name as typed is not logged: now and then it is a password.
                tracing::info!(target: "audit", action = "login", client = %login.client, error = %error, "login refused");
                return Err(error);
            }
        };
        if !user.enabled {
            tracing::info!(target: "audit", action = "login", user = %user.id, client = %login.client, "login of a disabled user refused");
            return Err(AuthorityError::UserDisabled);
        }
        let issued = self.issue(&user.id, purpose).await?;
        tracing::info!(target: "audit", action = "login", user = %user.id, name = %user.name, token = %issued.record.name, client = %login.client, "logged in");
        Ok(issued)
    }

    /// Ends the caller's own token.
    pub async fn logout(&self, caller: &Caller) -> Result<(), AuthorityError> {
        self.store.commit(Write::DeleteToken(caller.token.clone()), None).await?;
        tracing::info!(target: "audit", action = "logout", actor = %caller.id, token = %caller.token, "logged out");
        Ok(())
    }

    /// Changes the caller's own password.
    pub async fn change_password(
        &self,
        caller: &Caller,
        client: IpAddr,
        current: Secret,
        new: Secret,
    ) -> Result<(), AuthorityError> {
        let unchanged = current.expose() == new.expose();
        let checked = self.check_password(client, caller.name.as_str(), current).await;
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
        self.store_password(caller, &user.id, &user.name, new).await
    }

    /// Sets anybody's password; for administrators. Tokens stay as they are.
    pub async fn set_password(
        &self,
        caller: &Caller,
        id: &UserId,
        new: Secret,
    ) -> Result<UserRecord, AuthorityError> {
        self.check_administrator(caller).await?;
        let user = self.store.user(id).await?.ok_or(AuthorityError::NotFound)?;
        self.store_password(caller, id, &user.name, new).await?;
        Ok(user)
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
        let password = NewPassword::new(new, MIN_PASSWORD_CHARACTERS)?;
        Ok(self.password_work.slot().await?.run(move || PasswordHash::of(&password)).await??)
    }

    async fn store_password(
        &self,
        caller: &Caller,
        id: &UserId,
        name: &Username,
        new: Secret,
    ) -> Result<(), AuthorityError> {
        let hash = self.hash_password(name, new).await?;
        let update = UserUpdate { password: Some(hash), ..UserUpdate::default() };
        let write = Write::UpdateUser(id.clone(), Box::new(update));
        if !self.store.commit(write, None).await?.changed() {
            return Err(AuthorityError::NotFound);
        }
        tracing::info!(target: "audit", action = "user.set-password", actor = %caller.id, user = %id, name = %name, "password changed");
        Ok(())
    }

    /// The user whose name and password these are.
    async fn check_password(
        &self,
        client: IpAddr,
        username: &str,
        password: Secret,
    ) -> Result<UserRecord, AuthorityError> {
        let name = Username::try_from(username).ok();
        let attempt = Attempt::new(client, name.clone());
        self.check_failures(&attempt)?;
        let user = match &name {
            Some(name) => self.store.user_by_name(name).await?,
            None => None,
        };
        let hash = user.as_ref().and_then(|user| user.password.clone());
        let slot = self.password_work.slot().await?;
        // Once more: those who queued up together must not all be let through before the first has failed.
        self.check_failures(&attempt)?;
        let verified = slot.run(move || {
            hash.map_or_else(
                || {
                    verify_against_nothing(&password);
                    false
                },
                |hash| hash.verify(&password),
            )
        });
        let verified = verified.await?;
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(user) = user.filter(|_| verified) else {
            failures.failed(attempt, Instant::now());
            return Err(AuthorityError::BadCredentials);
        };
        failures.succeeded(&attempt);
        Ok(user)
    }

    fn check_failures(&self, attempt: &Attempt) -> Result<(), AuthorityError> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = failures.wait(attempt, Instant::now());
        if wait == Duration::ZERO {
            Ok(())
        } else {
            Err(AuthorityError::TooManyFailures { retry_after: wait })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::testing::{HOME, House, PASSWORD, log_in};
    use crate::store::testing::user;
    use crate::token::{TokenKind, Ttl};
    use crate::user::PasswordError;

    #[tokio::test]
    async fn a_login_gives_a_token_of_its_purpose_to_the_right_password_alone() {
        let house = House::new().await;
        let carol = house.admit("carol", false).await;
        let issued = log_in(&house.authority, HOME, "carol", PASSWORD).await.unwrap();
        assert_eq!((issued.record.kind, issued.record.ttl), (TokenKind::Session, Ttl(57_600_000)));
        let stored = house.store.token(&issued.bearer.name).await.unwrap().unwrap();
        assert!(stored.hash.verify(&issued.bearer.key) && stored.user_id == carol.id);

        // Unknown, without a password, wrong, and not even a name.
        for (name, password) in
            [("nobody", PASSWORD), ("alice", PASSWORD), ("carol", "wrong"), (" carol", PASSWORD), ("", "")]
        {
            let refused = log_in(&house.authority, HOME, name, password).await;
            assert!(matches!(refused, Err(AuthorityError::BadCredentials)), "{name}: {refused:?}");
        }
        let off = UserUpdate { enabled: Some(false), ..UserUpdate::default() };
        house.store.update_user(&carol.id, off).await.unwrap();
        let refused = log_in(&house.authority, HOME, "carol", PASSWORD).await;
        assert!(matches!(refused, Err(AuthorityError::UserDisabled)), "{refused:?}");
        let refused = log_in(&house.authority, HOME, "carol", "wrong").await;
        assert!(
            matches!(refused, Err(AuthorityError::BadCredentials)),
            "only who knows the password learns more"
        );
    }

    #[tokio::test]
    async fn guessing_is_stopped_and_the_owner_of_the_name_is_not() {
        let house = House::new().await;
        house.admit("carol", false).await;
        for _ in 0..5 {
            let refused = log_in(&house.authority, "198.51.100.7", "carol", "guess").await;
            assert!(matches!(refused, Err(AuthorityError::BadCredentials)), "{refused:?}");
        }
        let refused = log_in(&house.authority, "198.51.100.7", "carol", PASSWORD).await;
        assert!(
            matches!(refused, Err(AuthorityError::TooManyFailures { .. })),
            "even the right guess: {refused:?}"
        );
        log_in(&house.authority, HOME, "carol", PASSWORD).await.unwrap();
    }

    #[tokio::test]
    async fn a_session_ends_by_logout_and_not_by_deleting_its_token() {
        let house = House::new().await;
        house.admit("carol", false).await;
        let issued = log_in(&house.authority, HOME, "carol", PASSWORD).await.unwrap();
        let carol = Caller {
            id: issued.record.user_id,
            name: Username::try_from("carol").unwrap(),
            token: issued.bearer.name.clone(),
        };
        let answer = house.authority.delete_token(&carol, &carol.token).await;
        assert!(matches!(answer, Err(AuthorityError::CurrentSession)));
        house.authority.logout(&carol).await.unwrap();
        assert!(house.store.token(&carol.token).await.unwrap().is_none());
        house.authority.logout(&carol).await.expect("who has logged out is logged out");
    }

    #[tokio::test]
    async fn changing_ones_password_takes_the_current_one_and_a_good_new_one() {
        let house = House::new().await;
        let carol = house.admit("caroline-smith", false).await;
        let home: IpAddr = HOME.parse().unwrap();
        let change = |current: &str, new: &str| {
            house.authority.change_password(&carol, home, Secret::new(current), Secret::new(new))
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

        house.authority.set_password(&house.root, &carol.id, Secret::new(PASSWORD)).await.unwrap();
        log_in(&house.authority, HOME, "caroline-smith", PASSWORD).await.unwrap();
        let nobody = user("nobody", false).id;
        let answer = house.authority.set_password(&house.root, &nobody, Secret::new(PASSWORD)).await;
        assert!(matches!(answer, Err(AuthorityError::NotFound)));
    }
}
