//! Answers of a cluster that are about us and not about the client.

use std::pin::Pin;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;

use super::ProxyError;
use crate::kube::RequestInfo;
use crate::upstream::{Answerer, ResponseBody, Upstream, UpstreamRequest, sanitize_response};

/// How kube-apiserver words it that the caller's rights do not cover an impersonation header: with `impersonate` as the
/// verb, or with one of constrained impersonation, such as `impersonate-on:user-info:list`.
const CANNOT_IMPERSONATE: &[u8] = b" cannot impersonate";

/// A cluster's answer that the client may see, and the beginning of its body if that was looked at.
pub(super) struct Answer {
    pub(super) response: Response<ResponseBody>,
    pub(super) ahead: Option<Bytes>,
}

/// Behind a proxy subresource an application answers, and its 401 and 403 are its own.
pub(super) fn answerer(info: &RequestInfo<'_>) -> Answerer {
    if &*info.subresource == "proxy" { Answerer::Application } else { Answerer::Apiserver }
}

/// Whose credential the cluster was shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Ours,
    /// One that was passed through: what the cluster says of it is for the client.
    Clients,
}

impl Shown {
    pub(super) fn by(request: &UpstreamRequest) -> Self {
        if request.shows_our_credential() { Self::Ours } else { Self::Clients }
    }
}

/// Tells a refusal of our own credential or rights from an answer to the client. The client's credential was good: it
/// must not read of ours, and not be told that its own is bad.
pub(super) async fn examine(
    mut response: Response<ResponseBody>,
    upstream: &Upstream,
    info: &RequestInfo<'_>,
    shown: Shown,
) -> Result<Answer, ProxyError> {
    let is_about_us = shown == Shown::Ours && answerer(info) == Answerer::Apiserver;
    let mut ahead = None;
    if response.status() == StatusCode::UNAUTHORIZED && is_about_us {
        upstream.cluster().credential_refused();
        return Err(ProxyError::CredentialRefused);
    }
    if response.status() == StatusCode::FORBIDDEN && is_about_us {
        ahead = first_data(response.body_mut()).await;
        let is_ours = match &ahead {
            Some(data) => contains(data, CANNOT_IMPERSONATE),
            // The answer to HEAD does not say whom it refuses.
            None => matches!(upstream.cluster().may_impersonate().await, Ok(false)),
        };
        if is_ours {
            return Err(ProxyError::ImpersonationRefused);
        }
    }
    sanitize_response(response.headers_mut());
    Ok(Answer { response, ahead })
}

/// The first data of a body. A `Status` comes in one piece.
async fn first_data(body: &mut ResponseBody) -> Option<Bytes> {
    let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
    frame?.ok()?.into_data().ok()
}

fn contains(data: &[u8], text: &[u8]) -> bool {
    data.windows(text.len()).any(|window| window == text)
}
