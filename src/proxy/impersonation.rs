//! The step that a request takes only if its client asks to be somebody else (`kubectl --as`).

use std::sync::Arc;

use super::{Gate, ProxyError};
use crate::authz::Permit;
use crate::cluster::Cluster;
use crate::telemetry::RequestRecord;
use crate::upstream::AskedImpersonation;

/// Leave to run as whom the client asks to be, in place of `caller`'s. Whether this is switched on comes before what the
/// headers say: whoever can't impersonate at all is told so and not how to spell it.
pub(super) async fn permit(
    gate: &Gate,
    caller: Permit,
    asked: &AskedImpersonation,
    cluster: &Arc<Cluster>,
    record: &mut RequestRecord,
) -> Result<Permit, ProxyError> {
    let impersonation = gate.impersonation.switched_on()?;
    let wanted = asked.parse()?;
    record.set_impersonated_user(&wanted.user);
    Ok(impersonation.permit(caller, wanted, cluster).await?)
}
