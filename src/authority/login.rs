//! Logging in with a password, and out again.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::audit::Act;
use super::issue::{Issued, Place, Plan, check_description, limits};
use super::limiter::Attempt;
use super::{Authority, AuthorityError, Caller};
use crate::identity::{ClusterId, Username};
use crate::secret::Secret;
use crate::store::Write;
use crate::token::TokenKind;
use crate::token::ttl::{self, Granted};
use crate::user::{UserRecord, verify_against_nothing};

/// A login, as a client asks for it.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name, as it was typed.
    pub username: String,
    /// The password, as it was typed.
    pub password: Secret,
    /// Which token is asked for.
    pub purpose: LoginPurpose,
    /// The one cluster it is to be good for; `None` is every one, and our own API.
    pub cluster: Option<ClusterId>,
    /// Free text for the token.
    pub description: String,
    /// Where the client is.
    pub client: IpAddr,
}

/// Which token a login is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginPurpose {
    /// A session.
    Session,
    /// A kubeconfig that logs in anew when it must: it lives as long as a session, within the maximum for tokens.
    Kubeconfig,
}

impl Authority {
    /// A new token for whoever knows the password. An unknown name, a wrong password and a user without one are the
    /// same answer after the same time.
    pub async fn login(&self, login: Login) -> Result<Issued, AuthorityError> {
        // The name as typed is in no event: now and then it is a password.
        let act = Act::from(login.client, "login");
        check_description(&login.description)?;
        let checked = self.check_password(login.client, &login.username, login.password).await;
        let user = self.judged(&act, checked).await?;
        let act = act.actor(&user.id);
        let issued = self.issue_at_login(user, login.purpose, login.cluster, login.description, &act).await;
        self.judged(&act, issued).await
    }

    /// Ends the caller's own token.
    pub async fn logout(&self, caller: &Caller) -> Result<(), AuthorityError> {
        let act = Act::by(caller, "logout").on_token(&caller.token);
        self.commit(Write::LogOut(caller.token.clone()), act, "logged out".to_owned()).await?;
        Ok(())
    }

    async fn issue_at_login(
        &self,
        user: UserRecord,
        purpose: LoginPurpose,
        cluster: Option<ClusterId>,
        description: String,
        act: &Act,
    ) -> Result<Issued, AuthorityError> {
        if !user.enabled {
            return Err(AuthorityError::UserDisabled);
        }
        let kind = match purpose {
            LoginPurpose::Session => TokenKind::Session,
            LoginPurpose::Kubeconfig => TokenKind::Kubeconfig,
        };
        if let Some(cluster) = &cluster {
            self.check_scope(cluster)?;
        }
        let settings = self.settings();
        let granted = Granted { ttl: ttl::grant_to_login(kind, &limits(&settings)), clamped: None };
        let plan = Plan { cluster, ..Plan::new(kind, user.id, description, granted, &settings)? };
        self.issue(act, plan, Place::New).await
    }

    /// The user whose name and password these are.
    pub(super) async fn check_password(
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
    use crate::store::UserUpdate;
    use crate::token::{TokenKind, Ttl};

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
            client: HOME.parse().unwrap(),
        };
        let answer = house.authority.delete_token(&carol, &carol.token).await;
        assert!(matches!(answer, Err(AuthorityError::CurrentSession)));
        house.authority.logout(&carol).await.unwrap();
        assert!(house.store.token(&carol.token).await.unwrap().is_none());
        house.authority.logout(&carol).await.expect("who has logged out is logged out");
    }
}
