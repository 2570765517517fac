//! By whose leave a request goes to a cluster.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::route::Destination;
use super::{Client, Gate, ProxyError, warning};
use crate::authn::{
    AccountError, Authenticated, AuthnError, Jwt, MetricsReader, Place, Presented, Scope, ServiceAccount,
};
use crate::authz::{self, Permit};
use crate::clock::UnixMillis;
use crate::cluster::Cluster;
use crate::identity::Username;
use crate::streams::Owner;
use crate::telemetry::RequestRecord;

/// Who was authenticated.
pub(in crate::proxy) enum Caller {
    /// A token of ours.
    Token(Authenticated),
    /// A service account of the cluster that the request is for.
    ServiceAccount(ServiceAccount),
}

/// What a credential is good for.
pub(in crate::proxy) enum Leave {
    Cluster(Caller),
    /// Our own metrics and nothing else.
    Metrics(MetricsReader),
}

/// Checks the one credential of a request: a token of ours by our records, a service account's by the cluster of the path.
pub(in crate::proxy) async fn authenticate(
    gate: &Gate,
    client: &Client,
    parts: &Parts,
    destination: Option<&Destination>,
    record: &mut RequestRecord,
) -> Result<Leave, ProxyError> {
    let presented = Presented::from_headers(&parts.headers).inspect_err(|error| gate.count(error))?;
    let scope = match presented {
        Presented::ServiceAccount(token) => {
            let account = Box::pin(service_account(gate, token, destination)).await?;
            record.set_user(&account.user_info().name);
            return Ok(Leave::Cluster(Caller::ServiceAccount(account)));
        }
        Presented::Token(token) => {
            record.set_token(token.name());
            let place = Place::Cluster(destination.map(|destination| &destination.member().record.id));
            gate.authenticator.authenticate(token, client.origin(&parts.headers), place).await?
        }
    };
    record.set_user(&scope.user().name);
    Ok(match scope {
        Scope::User(authenticated) => Leave::Cluster(Caller::Token(authenticated)),
        Scope::Metrics(reader) => Leave::Metrics(reader),
        // There is none for a place that is a cluster.
        Scope::Itself(_) => return Err(AuthnError::WrongCluster.into()),
    })
}

async fn service_account(
    gate: &Gate,
    token: Jwt,
    destination: Option<&Destination>,
) -> Result<ServiceAccount, ProxyError> {
    let Some(destination) = destination else {
        let error = AccountError::Elsewhere.into();
        gate.count(&error);
        return Err(error.into());
    };
    let (cluster, mode) = (destination.cluster()?, destination.member().record.service_accounts);
    let reviewed = gate.service_accounts.authenticate(&cluster, mode, token).await;
    Ok(reviewed.map_err(AuthnError::from)?)
}

impl Leave {
    /// Who has it: whose share of the places a request takes.
    pub(in crate::proxy) fn username(&self) -> &Username {
        match self {
            Self::Cluster(Caller::Token(authenticated)) => &authenticated.user().name,
            Self::Cluster(Caller::ServiceAccount(account)) => &account.user_info().name,
            Self::Metrics(reader) => &reader.user().name,
        }
    }
}

impl Caller {
    /// Leave for one request.
    pub(in crate::proxy) fn permit(&self) -> Permit {
        match self {
            Self::Token(authenticated) => authz::permit(authenticated),
            Self::ServiceAccount(account) => authz::permit_service_account(account),
        }
    }

    /// Whether the request goes to the very cluster that vouches for the caller, and not to one that has taken its place
    /// meanwhile.
    pub(in crate::proxy) fn check_cluster(&self, cluster: &Arc<Cluster>) -> Result<(), ProxyError> {
        match self {
            Self::ServiceAccount(account) if !account.is_of(cluster) => {
                Err(ProxyError::ClusterFailing("it was changed a moment ago".into()))
            }
            Self::ServiceAccount(_) | Self::Token(_) => Ok(()),
        }
    }

    /// By whose leave its streams are open.
    pub(in crate::proxy) fn owner(&self) -> Owner {
        match self {
            Self::Token(authenticated) => authenticated.owner(),
            Self::ServiceAccount(account) => account.owner(),
        }
    }

    /// The groups that its streams are open by. A service account's are its cluster's business.
    pub(in crate::proxy) fn groups(&self) -> Arc<[HeaderValue]> {
        match self {
            Self::Token(authenticated) => Arc::clone(&authenticated.user().groups),
            Self::ServiceAccount(_) => Arc::default(),
        }
    }

    /// When its credential ends, as far as is known.
    pub(in crate::proxy) fn ends_at(&self) -> Option<UnixMillis> {
        match self {
            Self::Token(authenticated) => authenticated.token().record.ends_at(),
            Self::ServiceAccount(account) => account.expires_at(),
        }
    }

    /// Has the credential followed for as long as a stream is open by it. To be called before the stream is registered.
    pub(in crate::proxy) fn follow(&self) {
        if let Self::ServiceAccount(account) = self {
            account.follow();
        }
    }

    /// Tells a client whose token of ours ends soon.
    pub(in crate::proxy) fn warn(&self, headers: &mut HeaderMap, client: &Client) {
        if let Self::Token(authenticated) = self {
            warning::add(headers, &authenticated.token().record, client);
        }
    }
}
