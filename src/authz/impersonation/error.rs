//! Why a client may not impersonate.

use std::sync::Arc;

use crate::cluster::AskError;
use crate::kube::Attributes;
use crate::setting::Setting;
use crate::telemetry::ImpersonationResult;

/// Why a request may not run as whom it asks to be.
#[derive(Debug, thiserror::Error)]
pub enum ImpersonationError {
    /// The setting is off.
    #[error(
        "impersonation through the proxy is switched off: remove --as, --as-group, --as-uid, --as-user-extra or the \
         Impersonate headers, or ask an administrator to turn on the setting {}",
        Setting::ClientImpersonation.name()
    )]
    Off,
    /// An identity of Kubernetes itself.
    #[error("{0:?} can't be impersonated through the proxy, whatever RBAC says")]
    Reserved(String),
    /// An extra by which we tell the cluster who really asks.
    #[error("the extra {0:?} can't be impersonated: the proxy sets it")]
    ReservedExtra(String),
    /// The account that we have in the cluster. Its name is none of the client's business, though it knows it.
    #[error("the proxy's own identity can't be impersonated")]
    Ourselves,
    /// RBAC, or another authorizer of the cluster, says no.
    #[error("{}", denial(user, right))]
    Denied {
        /// The caller.
        user: String,
        /// What it may not impersonate.
        right: Box<Attributes>,
    },
    /// The cluster does not let us say who really asks, or speak for service accounts: our manifests are not applied.
    #[error("the proxy has no right to {}", named(.0))]
    NotGranted(Box<Attributes>),
    /// The cluster does not let us pass on an extra. The operator of the proxy decides which ones it may.
    #[error("the proxy may not pass on this extra: its operator would have to give it the right to {}", named(.0))]
    ExtraNotGranted(Box<Attributes>),
    /// The cluster can't say.
    #[error("the cluster can't say whether the caller may impersonate")]
    NoAnswer(#[source] Arc<AskError>),
    /// The cluster takes too long to say.
    #[error("the cluster took too long to say whether the caller may impersonate")]
    TimedOut,
}

impl ImpersonationError {
    /// How it is counted.
    pub fn result(&self) -> ImpersonationResult {
        match self {
            Self::Off => ImpersonationResult::Off,
            Self::Reserved(_) | Self::ReservedExtra(_) | Self::Ourselves => ImpersonationResult::Reserved,
            Self::Denied { .. } => ImpersonationResult::Denied,
            Self::NotGranted(_) | Self::ExtraNotGranted(_) => ImpersonationResult::NotGranted,
            Self::NoAnswer(_) | Self::TimedOut => ImpersonationResult::NoAnswer,
        }
    }
}

/// A refusal in kube-apiserver's words, so that whoever knows them knows what to do.
fn denial(user: &str, right: &Attributes) -> String {
    let Attributes { verb, api_group, resource, namespace, name, .. } = right;
    let dot = if api_group.is_empty() { "" } else { "." };
    let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    let scope = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {namespace:?}")
    };
    format!(
        "{resource}{dot}{api_group}{name} is forbidden: User {user:?} cannot {verb} resource {:?} in API group \
         {api_group:?} {scope}",
        whole(right)
    )
}

/// A right as a rule grants it: `impersonate userextras/scopes (authentication.k8s.io)`.
fn named(right: &Attributes) -> String {
    let group = if right.api_group.is_empty() { String::new() } else { format!(" ({})", right.api_group) };
    format!("{} {}{group}", right.verb, whole(right))
}

/// The resource with its part.
fn whole(right: &Attributes) -> String {
    let Attributes { resource, subresource, .. } = right;
    if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(api_group: &str, resource: &str, subresource: &str, namespace: &str, name: &str) -> Attributes {
        let [verb, api_group, resource, subresource, namespace, name] =
            ["impersonate", api_group, resource, subresource, namespace, name].map(str::to_owned);
        Attributes { verb, api_group, resource, subresource, namespace, name }
    }

    #[test]
    fn a_denial_is_in_the_apiservers_words() {
        let extra = right("authentication.k8s.io", "userextras", "a/b", "", "x");
        for (right, message) in [
            (
                right("", "users", "", "", "bob"),
                r#"users "bob" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope"#,
            ),
            (
                right("", "serviceaccounts", "", "dev", "default"),
                r#"serviceaccounts "default" is forbidden: User "alice" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "dev""#,
            ),
            (
                extra.clone(),
                r#"userextras.authentication.k8s.io "x" is forbidden: User "alice" cannot impersonate resource "userextras/a/b" in API group "authentication.k8s.io" at the cluster scope"#,
            ),
        ] {
            let error = ImpersonationError::Denied { user: "alice".to_owned(), right: right.into() };
            assert_eq!(error.to_string(), message);
        }
        let missing = ImpersonationError::ExtraNotGranted(extra.into()).to_string();
        assert!(missing.contains("impersonate userextras/a/b (authentication.k8s.io)"), "{missing}");
    }

    #[test]
    fn who_is_refused_by_the_setting_learns_its_name() {
        assert!(ImpersonationError::Off.to_string().contains("client-impersonation"));
    }
}
