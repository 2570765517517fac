//! Whether a cluster can be used: the apiserver answers, accepts our credential, and lets us do what every request needs.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use kube::api::PostParams;
use kube::{Api, Client, Config};
use tokio::time::timeout;

use super::ask::{AskError, Asker};
use super::error::ClusterError;
use super::refresh::blocking;
use super::trouble::why_unanswered;
use crate::config::ServiceAccountMode;
use crate::kube::reviews::{self, Right};

/// For all questions together.
const LIMIT: Duration = Duration::from_secs(5);

/// The name the apiserver gives to whoever shows no credential.
const ANONYMOUS: &str = "system:anonymous";

/// What all that we do rests on.
pub(super) const TO_IMPERSONATE: Right = impersonate("", "users", "");

/// What we must be allowed. A cluster may let us impersonate some users or groups only; then this asks too much, and
/// the rights have to be given without names.
const NEEDED: [Right; 4] = [
    TO_IMPERSONATE,
    impersonate("", "groups", ""),
    impersonate("authentication.k8s.io", "uids", ""),
    impersonate("authentication.k8s.io", "userextras", "portcullis.dev/token-name"),
];

/// What we must be allowed besides, to take a service account's token.
const NEEDED_TO_REVIEW: Right = Right {
    verb: "create",
    api_group: "authentication.k8s.io",
    resource: "tokenreviews",
    subresource: "",
    name: "",
};

/// What we must be allowed besides, to run a request as a service account: the account itself, and the extras that the
/// apiserver tells of the token and of the pod it was given to.
const NEEDED_TO_RUN_AS_ACCOUNTS: [Right; 6] = [
    impersonate("", "serviceaccounts", ""),
    impersonate("authentication.k8s.io", "userextras", "authentication.kubernetes.io/credential-id"),
    impersonate("authentication.k8s.io", "userextras", "authentication.kubernetes.io/node-name"),
    impersonate("authentication.k8s.io", "userextras", "authentication.kubernetes.io/node-uid"),
    impersonate("authentication.k8s.io", "userextras", "authentication.kubernetes.io/pod-name"),
    impersonate("authentication.k8s.io", "userextras", "authentication.kubernetes.io/pod-uid"),
];

const fn impersonate(api_group: &'static str, resource: &'static str, subresource: &'static str) -> Right {
    Right { verb: "impersonate", api_group, resource, subresource, name: "" }
}

/// Asks over a connection of its own, so that it also says whether new ones can be made.
pub(super) async fn check(config: Config, authorization: Option<&HeaderValue>) -> Result<(), ClusterError> {
    let config = with_current_token(config, authorization);
    timeout(LIMIT, ask(config))
        .await
        .unwrap_or_else(|_| Err(ClusterError::Unreachable(format!("no answer within {LIMIT:?}"))))
}

/// Whether the tokens of service accounts can be served as `mode` says.
pub(super) async fn check_service_accounts(
    asker: &Arc<Asker>,
    mode: ServiceAccountMode,
) -> Result<(), ClusterError> {
    let to_run: &[Right] = match mode {
        ServiceAccountMode::Deny => return Ok(()),
        ServiceAccountMode::Passthrough => &[],
        ServiceAccountMode::Impersonate => &NEEDED_TO_RUN_AS_ACCOUNTS,
    };
    let asking = async {
        for right in to_run.iter().chain([&NEEDED_TO_REVIEW]) {
            if !asker.may(right).await.map_err(|error| explain_unanswered(&error))? {
                return Err(ClusterError::Forbidden(right.to_string()));
            }
        }
        Ok(())
    };
    timeout(LIMIT, asking).await.unwrap_or_else(|_| Err(explain_unanswered(&AskError::TimedOut)))
}

fn explain_unanswered(error: &AskError) -> ClusterError {
    match error {
        AskError::CredentialRefused => ClusterError::CredentialRefused,
        other => ClusterError::Unreachable(chain(other)),
    }
}

/// The credential that requests carry is what is to be checked; and asking for it must not run the plugin once more.
pub(super) fn with_current_token(mut config: Config, authorization: Option<&HeaderValue>) -> Config {
    let token = authorization.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if let Some(token) = token {
        config.auth_info.token = Some(token.to_owned().into());
        config.auth_info.exec = None;
    }
    config.connect_timeout = Some(LIMIT);
    config.default_retry = false;
    config
}

async fn ask(config: Config) -> Result<(), ClusterError> {
    // Reads and parses certificates, and may run a plugin that gives one.
    let client =
        blocking(|| Client::try_from(config).map_err(|error| ClusterError::Tls(error.to_string()))).await?;
    let parameters = PostParams::default();
    let review = Api::all(client.clone()).create(&parameters, &reviews::self_subject_review()).await;
    match reviews::reviewed_username(&review.map_err(|error| explain(&error))?) {
        Some(ANONYMOUS) | None => return Err(ClusterError::CredentialRefused),
        Some(_) => {}
    }
    for right in NEEDED {
        let question = reviews::self_subject_access_review(&right);
        let review = Api::all(client.clone()).create(&parameters, &question).await;
        if !reviews::is_allowed(&review.map_err(|error| explain(&error))?) {
            return Err(ClusterError::Forbidden(right.to_string()));
        }
    }
    Ok(())
}

fn explain(error: &kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) if status.code == StatusCode::UNAUTHORIZED.as_u16() => {
            ClusterError::CredentialRefused
        }
        // We showed a credential or none, and in either case the apiserver saw none.
        kube::Error::Api(status) if status.message.contains(ANONYMOUS) => ClusterError::CredentialRefused,
        kube::Error::Api(status) if status.code == StatusCode::FORBIDDEN.as_u16() => {
            ClusterError::Forbidden(format!("ask about itself: {}", status.message))
        }
        kube::Error::Api(status) => ClusterError::Unreachable(format!("status {}", status.code)),
        other => why_unanswered(other, chain(other)),
    }
}

/// The messages of an error and its causes. The outermost says little ("client error"), the innermost why.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, message: &str) -> ClusterError {
        explain(&kube::Error::Api(Box::new(Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        })))
    }

    #[test]
    fn a_refused_credential_a_missing_right_and_a_broken_apiserver_are_told_apart() {
        assert!(matches!(answer(401, "Unauthorized"), ClusterError::CredentialRefused));
        let anonymous = "selfsubjectreviews is forbidden: User \"system:anonymous\" cannot create";
        assert!(matches!(answer(403, anonymous), ClusterError::CredentialRefused));
        assert!(matches!(answer(403, "User \"portcullis\" cannot create"), ClusterError::Forbidden(_)));
        assert!(matches!(answer(503, "overloaded"), ClusterError::Unreachable(_)));
    }

    #[test]
    fn the_token_that_requests_carry_is_the_one_that_is_checked() {
        let config = Config::new(http::Uri::from_static("https://127.0.0.1:1"));
        let header = HeaderValue::from_static("Bearer now");
        let auth = with_current_token(config.clone(), Some(&header)).auth_info;
        assert_eq!(serde_json::to_value(auth).unwrap()["token"], "now");
        assert!(with_current_token(config, None).auth_info.token.is_none());
    }
}
