//! Nested impersonation (`kubectl --as`): whether a caller may be whom a request asks it to be, and as whom the request
//! then runs.
//!
//! It is sent with our right to impersonate, which is far beyond the caller's. So for every part of the wanted identity
//! the cluster's authorizer is asked about the caller first, in the words in which kube-apiserver would ask it if the
//! caller had come there directly. Some identities are nobody's to take, whatever RBAC says.

mod decisions;
mod error;
mod reserved;
mod rights;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use tokio::join;
use tokio::time::timeout;

pub use error::ImpersonationError;
pub use wanted::ClientImpersonation;

use super::{Permit, permit_user_info};
use crate::cluster::Cluster;
use crate::kube::Attributes;
use crate::setting::LiveSettings;
use crate::telemetry::{ImpersonationResult, Telemetry};
use decisions::{Decisions, Inquiry};

/// For all questions about one request together.
const BUDGET: Duration = Duration::from_secs(5);

/// With as many groups or more, it is asked first whether the caller may impersonate any group: one question then stands
/// for all of them. kube-apiserver draws the line here too.
const MANY_GROUPS: usize = 4;

/// Decides about impersonation by clients. Shared by all workers.
pub struct Impersonation {
    settings: LiveSettings,
    decisions: Arc<Decisions>,
    telemetry: Arc<Telemetry>,
}

impl Impersonation {
    /// Nothing is known of any cluster yet.
    pub fn new(settings: LiveSettings, telemetry: Arc<Telemetry>) -> Self {
        Self { settings, decisions: Arc::new(Decisions::new()), telemetry }
    }

    /// Leave to impersonate at all, by the setting as it is now.
    pub fn switched_on(&self) -> Result<SwitchedOn<'_>, ImpersonationError> {
        if self.settings.current().client_impersonation() {
            return Ok(SwitchedOn(self));
        }
        self.telemetry.metrics.count_impersonation(ImpersonationResult::Off);
        Err(ImpersonationError::Off)
    }
}

/// The setting lets clients impersonate. One of them has still to be let.
pub struct SwitchedOn<'i>(&'i Impersonation);

impl SwitchedOn<'_> {
    /// Leave to run as `wanted` in place of the leave that the caller has already.
    pub async fn permit(
        &self,
        caller: Permit,
        wanted: ClientImpersonation,
        cluster: &Arc<Cluster>,
    ) -> Result<Permit, ImpersonationError> {
        let decided = timeout(BUDGET, decide(&self.0.decisions, &caller, &wanted, cluster)).await;
        let decided = decided.unwrap_or(Err(ImpersonationError::TimedOut));
        self.0.telemetry.metrics.count_impersonation(ImpersonationResult::from(&decided));
        decided?;
        Ok(permit_user_info(Arc::new(wanted.into_user_info(&caller))))
    }
}

async fn decide(
    decisions: &Arc<Decisions>,
    caller: &Permit,
    wanted: &ClientImpersonation,
    cluster: &Arc<Cluster>,
) -> Result<(), ImpersonationError> {
    reserved::check(wanted)?;
    let ours = Inquiry::about_us(decisions, cluster);
    let user = caller.name().as_str();
    let caller = Inquiry::about(decisions, cluster, rights::subject(caller));
    let denied = |right: Option<&Attributes>| match right {
        Some(right) => Err(ImpersonationError::Denied { user: user.to_owned(), right: right.clone().into() }),
        None => Ok(()),
    };
    let (name_and_uid, groups, extras) =
        (rights::of_name_and_uid(wanted), rights::of_groups(wanted), rights::of_extras(wanted));
    let (name_and_uid, groups, extras, ourselves) = join!(
        caller.missing(&name_and_uid),
        missing_group(&caller, &groups),
        caller.missing(&extras),
        check_ourselves(&ours, wanted, &extras),
    );
    // Of several refusals the first in the order in which kube-apiserver asks, and ours last: who may not impersonate
    // learns nothing of what we may.
    denied(name_and_uid?)?;
    denied(groups?)?;
    denied(extras?)?;
    ourselves
}

/// The first of the groups that the caller may not impersonate.
async fn missing_group<'r>(
    caller: &Inquiry,
    groups: &'r [Attributes],
) -> Result<Option<&'r Attributes>, ImpersonationError> {
    if groups.len() >= MANY_GROUPS && caller.is_allowed(rights::of_any_group()).await? {
        return Ok(None);
    }
    caller.missing(groups).await
}

/// Whether the user is not ourselves, and we may do what this impersonation needs.
async fn check_ourselves(
    ours: &Inquiry,
    wanted: &ClientImpersonation,
    extras: &[Attributes],
) -> Result<(), ImpersonationError> {
    let needed = rights::needed_of_us(wanted);
    let (name, needed, extra) = join!(ours.own_name(), ours.missing(&needed), ours.missing(extras));
    if *name? == *wanted.user.as_str() {
        return Err(ImpersonationError::Ourselves);
    }
    if let Some(right) = needed? {
        return Err(ImpersonationError::NotGranted(right.clone().into()));
    }
    match extra? {
        Some(right) => Err(ImpersonationError::ExtraNotGranted(right.clone().into())),
        None => Ok(()),
    }
}

impl From<&Result<(), ImpersonationError>> for ImpersonationResult {
    fn from(decided: &Result<(), ImpersonationError>) -> Self {
        match decided {
            Ok(()) => Self::Allowed,
            Err(error) => error.result(),
        }
    }
}
