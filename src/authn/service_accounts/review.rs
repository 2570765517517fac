//! What a cluster's answer about a token is worth. Everything in it is checked before it counts for anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::jwt::Jwt;
use crate::clock::{self, UnixMillis};
use crate::identity::{
    AUTHENTICATED_GROUP, ExtraKey, Group, IdentityError, UserInfo, Username, header_value,
};
use crate::kube::ReviewedToken;

/// For how long an answer holds, from the moment it was asked for.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(10);

/// What the name of every service account begins with.
const USERNAME_PREFIX: &str = "system:serviceaccount:";
/// The group of all service accounts; those of a namespace follow behind a colon.
const ACCOUNTS_GROUP: &str = "system:serviceaccounts";

/// Whose a token is, by an answer of its cluster.
#[derive(Debug)]
pub(super) struct Reviewed {
    /// The service account with all the cluster says of it.
    pub(super) user: Arc<UserInfo>,
    /// When the cluster was asked.
    pub(super) asked_at: Instant,
    /// When the token says that it expires.
    pub(super) expires_at: Option<UnixMillis>,
}

/// Why a token is not accepted although its cluster has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cluster does not take it.
    #[error("the cluster does not accept the token")]
    NotAuthenticated,
    /// The cluster takes it and speaks of an error all the same.
    #[error("the cluster accepts the token with an error")]
    Contradictory,
    /// It is meant for somebody else, or the cluster does not say for whom.
    #[error("the token is for none of our audiences")]
    Audience,
    /// The cluster takes it, and it belongs to somebody who is no service account.
    #[error("the token is no service account's")]
    NotAServiceAccount,
    /// The cluster puts the account into a group of Kubernetes itself that no service account is in.
    #[error("the account is in a group that no service account is in")]
    ReservedGroup,
    /// Something of the identity would reach the cluster as something else.
    #[error("the account's identity can't be carried")]
    Identity(#[from] IdentityError),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

impl Reviewed {
    /// Checks an `answer` that was asked for with `audiences` at `asked_at`.
    pub(super) fn of(
        answer: &ReviewedToken,
        audiences: &[String],
        jwt: &Jwt,
        asked_at: Instant,
    ) -> Result<Self, Refusal> {
        if !answer.authenticated {
            return Err(Refusal::NotAuthenticated);
        }
        if !answer.error.is_empty() {
            return Err(Refusal::Contradictory);
        }
        check_audience(&answer.audiences, audiences)?;
        let namespace = namespace_of(&answer.username).ok_or(Refusal::NotAServiceAccount)?;
        let user = user_info(answer, namespace)?;
        let reviewed = Self { user: Arc::new(user), asked_at, expires_at: jwt.expires_at() };
        if reviewed.is_expired() { Err(Refusal::Expired) } else { Ok(reviewed) }
    }

    /// How long it still holds at `now`.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        let remaining = (self.asked_at + GOOD_FOR).saturating_duration_since(now);
        match self.expires_at {
            Some(end) => remaining.min(Duration::from_millis(end.0.saturating_sub(clock::now().0))),
            None => remaining,
        }
    }

    pub(super) fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|end| clock::now() >= end)
    }
}

/// An authenticator that knows nothing of audiences names none, and may have taken a token that was meant for another
/// service: so none is as bad as a wrong one.
fn check_audience(confirmed: &[String], ours: &[String]) -> Result<(), Refusal> {
    let is_ours = |audience: &String| ours.is_empty() || ours.contains(audience);
    if confirmed.iter().any(|audience| !audience.is_empty() && is_ours(audience)) {
        Ok(())
    } else {
        Err(Refusal::Audience)
    }
}

/// The namespace of a service account, or `None` if that is not whose name it is.
fn namespace_of(username: &str) -> Option<&str> {
    let (namespace, name) = username.strip_prefix(USERNAME_PREFIX)?.split_once(':')?;
    let is_name = |text: &str| {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        !text.is_empty() && text.bytes().all(legal)
    };
    (is_name(namespace) && is_name(name)).then_some(namespace)
}

fn user_info(answer: &ReviewedToken, namespace: &str) -> Result<UserInfo, Refusal> {
    let mut groups = Vec::with_capacity(answer.groups.len());
    for group in &answer.groups {
        let group = Group::try_from(group.as_str())?;
        if group.is_reserved() && !is_of_accounts(group.as_str(), namespace) {
            return Err(Refusal::ReservedGroup);
        }
        groups.push(group);
    }
    let mut extras = Vec::new();
    // One that can't be carried is not left out: a policy may take rights away by it.
    for (key, values) in &answer.extra {
        let key = ExtraKey::try_from(key.as_str())?;
        for value in values {
            extras.push((key.clone(), header_value(value)?));
        }
    }
    let uid = if answer.uid.is_empty() { None } else { Some(header_value(&answer.uid)?) };
    Ok(UserInfo { name: Username::try_from(answer.username.as_str())?, groups, uid, extras })
}

fn is_of_accounts(group: &str, namespace: &str) -> bool {
    let of_namespace = group.strip_prefix(ACCOUNTS_GROUP).and_then(|rest| rest.strip_prefix(':'));
    group == AUTHENTICATED_GROUP || group == ACCOUNTS_GROUP || of_namespace == Some(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> ReviewedToken {
        let groups = ["system:serviceaccounts", "system:serviceaccounts:dev", "system:authenticated"];
        ReviewedToken {
            authenticated: true,
            audiences: vec!["https://kubernetes.default.svc".to_owned()],
            username: "system:serviceaccount:dev:builder".to_owned(),
            uid: "1".to_owned(),
            groups: groups.map(str::to_owned).to_vec(),
            extra: [("authentication.kubernetes.io/credential-id".to_owned(), vec!["JTI=1".to_owned()])]
                .into(),
            ..ReviewedToken::default()
        }
    }

    fn review(answer: &ReviewedToken, audiences: &[&str]) -> Result<Reviewed, Refusal> {
        let audiences: Vec<_> = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        Reviewed::of(answer, &audiences, &Jwt::parse("eyJh.e30.c2ln").unwrap(), Instant::now())
    }

    #[test]
    fn a_good_answer_is_taken_over_whole() {
        let reviewed = review(&answer(), &[]).unwrap();
        assert_eq!(reviewed.user.name.as_str(), "system:serviceaccount:dev:builder");
        assert_eq!((reviewed.user.groups.len(), reviewed.user.extras.len()), (3, 1));
        assert!(reviewed.remaining(Instant::now()) <= GOOD_FOR && !reviewed.is_expired());
        assert!(review(&answer(), &["other", "https://kubernetes.default.svc"]).is_ok());
    }

    #[test]
    fn an_answer_that_vouches_for_less_than_all_of_it_is_refused() {
        let with = |change: fn(&mut ReviewedToken)| {
            let mut answer = answer();
            change(&mut answer);
            review(&answer, &[]).err()
        };
        assert_eq!(with(|answer| answer.authenticated = false), Some(Refusal::NotAuthenticated));
        assert_eq!(with(|answer| answer.error = "x".to_owned()), Some(Refusal::Contradictory));
        assert_eq!(with(|answer| answer.audiences.clear()), Some(Refusal::Audience));
        assert_eq!(with(|answer| answer.audiences = vec![String::new()]), Some(Refusal::Audience));
        assert_eq!(review(&answer(), &["portcullis"]).err(), Some(Refusal::Audience));
        assert_eq!(review(&ReviewedToken::default(), &[]).err(), Some(Refusal::NotAuthenticated));
    }

    #[test]
    fn whoever_is_no_service_account_is_refused() {
        for username in [
            "",
            "alice",
            "system:node:n1",
            "system:serviceaccount:",
            "system:serviceaccount:dev",
            "system:serviceaccount::builder",
            "system:serviceaccount:dev:",
            "system:serviceaccount:dev:a:b",
            "system:serviceaccount:dev:A",
            "system:serviceaccount:d v:a",
            " system:serviceaccount:dev:a",
        ] {
            let answer = ReviewedToken { username: username.to_owned(), ..answer() };
            assert_eq!(review(&answer, &[]).err(), Some(Refusal::NotAServiceAccount), "{username:?}");
        }
    }

    #[test]
    fn a_group_of_kubernetes_that_is_none_of_service_accounts_is_refused() {
        for group in [
            "system:masters",
            "system:nodes",
            "system:serviceaccounts:kube-system",
            "system:serviceaccountsx",
        ] {
            let mut answer = answer();
            answer.groups.push(group.to_owned());
            assert_eq!(review(&answer, &[]).err(), Some(Refusal::ReservedGroup), "{group}");
        }
    }

    #[test]
    fn an_extra_that_can_t_be_carried_is_not_left_out_but_refuses_the_token() {
        for (key, value) in
            [("Scopes", "x"), ("", "x"), ("a\n", "x"), ("a", ""), ("a", "x\r\ny"), ("a", " x")]
        {
            let mut answer = answer();
            answer.extra.insert(key.to_owned(), vec![value.to_owned()]);
            let refusal = review(&answer, &[]).err();
            assert!(matches!(refusal, Some(Refusal::Identity(_))), "{key:?} {value:?}: {refusal:?}");
        }
    }
}
