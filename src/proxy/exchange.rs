//! Sends a permitted request and waits for the head of its answer, or opens the tunnel that it asks for.

use std::pin::pin;

use hyper::upgrade::OnUpgrade;

use super::answer::{self, Shown};
use super::route::Route;
use super::stream::{Enrolment, unless_cut};
use super::tunnel::{self, UpgradeAnswer};
use super::{Forwarded, ProxyError};
use crate::config::Limits;
use crate::kube::RequestInfo;
use crate::upstream::{Class, Upgrade, UpstreamRequest};

/// A request and its answer. One that lasts is entered among the live streams first, so that whatever ends its token
/// from then on ends it too.
pub(super) async fn exchange(
    enrolment: Enrolment,
    route: &Route<'_>,
    request: Box<UpstreamRequest>,
    info: &RequestInfo<'_>,
) -> Result<Forwarded, ProxyError> {
    let is_long = info.is_long_running();
    let shown = Shown::by(&request);
    // Pinned here, once: each function it is handed to would have a copy of its place otherwise.
    let mut answer = pin!(async {
        let class = if is_long { Class::Long } else { Class::Short };
        let response = route.upstream.send(request, class, answer::answerer(info)).await?;
        answer::examine(response, route.upstream, info, shown).await
    });
    let (answer, stream) = if is_long {
        let mut stream = Box::pin(enrolment.enter()).await?;
        (unless_cut(&mut stream, answer.as_mut()).await?, Some(stream))
    } else {
        enrolment.answered(answer.as_mut()).await?
    };
    Ok(Forwarded::Answer(answer, enrolment, stream))
}

/// A request that becomes a tunnel, unless the cluster refuses.
pub(super) async fn open_tunnel(
    limits: &Limits,
    enrolment: Enrolment,
    route: &Route<'_>,
    request: Box<UpstreamRequest>,
    upgrade: Upgrade,
    client: OnUpgrade,
    info: &RequestInfo<'_>,
) -> Result<Forwarded, ProxyError> {
    if !request.is_bodiless() {
        return Err(ProxyError::Ambiguous("an upgrade with a body"));
    }
    let mut stream = enrolment.enter().await?;
    let shown = Shown::by(&request);
    let (answerer, limit) = (answer::answerer(info), limits.upgrade_timeout);
    let mut opened = pin!(tunnel::open(route.upstream, request, answerer, upgrade, client, limit));
    match unless_cut(&mut stream, opened.as_mut()).await? {
        UpgradeAnswer::Tunnel(tunnel) => Ok(Forwarded::Tunnel(tunnel, stream)),
        UpgradeAnswer::Refused(response) => {
            let answer = answer::examine(response, route.upstream, info, shown).await?;
            Ok(Forwarded::Answer(answer, enrolment, None))
        }
    }
}
