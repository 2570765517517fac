//! Entering a request among the live streams.
//!
//! What is known to last is entered before it is sent to the cluster. Any other request is entered when it turns out to
//! last, after a second: to enter each of them from the start would cost every short one a lock that all workers share
//! and an allocation, where a timer on the worker's own wheel costs neither.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::authn::Authenticator;
use crate::proxy::caller::Caller;
use crate::proxy::route::Claim;
use crate::proxy::{Client, ProxyError};
use crate::streams::{Cut, Guard, NewStream, StreamKind};

/// A request that is not over after this long is a stream, whatever it asks for.
pub(in crate::proxy) const LASTS_FROM: Duration = Duration::from_secs(1);

/// What a request is entered with.
pub(in crate::proxy) struct Enrolment {
    pub(in crate::proxy) authenticator: Arc<Authenticator>,
    pub(in crate::proxy) caller: Caller,
    pub(in crate::proxy) client: Arc<Client>,
    pub(in crate::proxy) cluster: Arc<str>,
    /// What holds of a cluster that can be removed or closed to the caller.
    pub(in crate::proxy) claim: Claim,
    pub(in crate::proxy) kind: StreamKind,
    /// Whether the client's connection is this request's alone.
    pub(in crate::proxy) has_own_connection: bool,
}

impl Enrolment {
    /// Enters the request, then looks at its token once more. Refused if the token, or its user, was revoked meanwhile.
    pub(in crate::proxy) async fn enter(&self) -> Result<Guard, ProxyError> {
        let guard = self.register();
        self.authenticator.check_entered(guard.entry()).await;
        match guard.entry().cut() {
            None => Ok(guard),
            Some(cut) => Err(ProxyError::cut(&guard, cut)),
        }
    }

    /// As [`enter`](Self::enter), for whoever can't wait: if the token was revoked, the stream is cut a moment later.
    pub(in crate::proxy) fn enter_at_once(&self) -> Guard {
        let guard = self.register();
        let (authenticator, entry) = (Arc::clone(&self.authenticator), Arc::clone(guard.entry()));
        tokio::spawn(async move { authenticator.check_entered(&entry).await });
        guard
    }

    /// The connection, if it is this request's alone.
    pub(in crate::proxy) fn own_connection(&self) -> Option<Arc<Client>> {
        self.has_own_connection.then(|| Arc::clone(&self.client))
    }

    fn register(&self) -> Guard {
        self.caller.follow();
        let streams = self.authenticator.streams();
        let guard = streams.register(NewStream {
            owner: self.caller.owner(),
            kind: self.kind,
            cluster: Arc::clone(&self.cluster),
            client: self.client.address.ip().to_canonical(),
            groups: self.caller.groups(),
            expires_at: self.caller.ends_at(),
        });
        if let Some(reason) = self.claim.refusal(guard.entry().owner()) {
            streams.cut_one(guard.entry(), Cut::now(reason));
        }
        guard
    }

    /// Waits for `answer`, but for no longer than its token lives. With the guard of a request that lasted until then.
    pub(in crate::proxy) async fn answered<T>(
        &self,
        mut answer: Pin<&mut impl Future<Output = Result<T, ProxyError>>>,
    ) -> Result<(T, Option<Guard>), ProxyError> {
        if let Ok(answered) = tokio::time::timeout(LASTS_FROM, answer.as_mut()).await {
            return Ok((answered?, None));
        }
        let mut guard = Box::pin(self.enter()).await?;
        let answered = unless_cut(&mut guard, answer).await?;
        Ok((answered, Some(guard)))
    }
}

/// Waits for `answer`, unless the stream is cut before.
pub(in crate::proxy) async fn unless_cut<T>(
    guard: &mut Guard,
    answer: Pin<&mut impl Future<Output = Result<T, ProxyError>>>,
) -> Result<T, ProxyError> {
    tokio::select! {
        biased;
        cut = guard.cut() => Err(ProxyError::cut(guard, cut)),
        answer = answer => answer,
    }
}
