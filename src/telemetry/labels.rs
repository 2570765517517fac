//! The values that metric labels can take. All are known ahead, so that counting needs no look-up and no client can
//! invent a time series.

use http::Method;

use crate::kube::{RequestInfo, Verb};

/// What kind of work a request is, for its metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum VerbClass {
    /// Reading one thing.
    Get,
    /// Reading many.
    List,
    /// Being told of changes.
    Watch,
    /// Making something.
    Create,
    /// Replacing it.
    Update,
    /// Changing a part of it.
    Patch,
    /// Deleting one or many.
    Delete,
    /// A connection to something inside the cluster: exec, attach, port-forward, proxy.
    Connect,
    /// Everything else.
    Other,
}

/// How an authentication ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AuthenticationResult {
    /// Accepted.
    Ok,
    /// The request has no credential.
    NoCredential,
    /// The credential can't be read.
    Malformed,
    /// More than one credential.
    Ambiguous,
    /// No token has this name.
    Unknown,
    /// The name is right and the key is not.
    WrongKey,
    /// There were too many wrong keys, and this was one more.
    TooManyFailures,
    /// The token's time is over.
    Expired,
    /// The token's time is over, and another has taken its place.
    Rotated,
    /// The session was unused for too long.
    Idle,
    /// The token is switched off.
    Disabled,
    /// The token's user is switched off or gone.
    UserDisabled,
    /// The token is good for one cluster alone, and this was for something else.
    WrongCluster,
    /// Too many slow hashes are being checked.
    Busy,
    /// Our store could not say.
    StoreError,
    /// Service accounts of this cluster are not served.
    AccountDenied,
    /// A service account's token where no cluster can vouch for it.
    AccountElsewhere,
    /// A service account's token that is not accepted.
    AccountRefused,
    /// The cluster did not say whose the token is.
    ReviewFailed,
    /// Too many tokens are being reviewed.
    ReviewBusy,
    /// The token can't be passed through beside our client certificate.
    AccountCertificate,
}

/// What the cache of tokens knew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CacheOutcome {
    /// The token.
    Hit,
    /// Nothing: the store was asked.
    Miss,
    /// That there is no such token.
    Negative,
}

/// Which set an upstream connection belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UpstreamPool {
    /// HTTP/2 for requests that end soon.
    Short,
    /// HTTP/2 for those that last.
    Long,
    /// HTTP/1.1, reused.
    Http1,
    /// HTTP/1.1 that was or will be upgraded, never reused.
    Tunnel,
}

impl VerbClass {
    pub(super) const ALL: [Self; 9] = [
        Self::Get,
        Self::List,
        Self::Watch,
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::Connect,
        Self::Other,
    ];

    /// The class of a request that is not for a cluster.
    pub(super) fn of_method(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Get,
            Method::POST => Self::Create,
            Method::PUT => Self::Update,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }

    /// The class of a request to a cluster.
    pub fn of(info: &RequestInfo<'_>) -> Self {
        if info.is_resource && matches!(&*info.subresource, "exec" | "attach" | "portforward" | "proxy") {
            return Self::Connect;
        }
        match info.verb {
            Verb::Get | Verb::Head => Self::Get,
            Verb::List => Self::List,
            Verb::Watch => Self::Watch,
            Verb::Create | Verb::Post => Self::Create,
            Verb::Update | Verb::Put => Self::Update,
            Verb::Patch => Self::Patch,
            Verb::Delete | Verb::DeleteCollection => Self::Delete,
            Verb::Proxy => Self::Connect,
            Verb::Options | Verb::Other => Self::Other,
        }
    }

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Connect => "connect",
            Self::Other => "other",
        }
    }
}

impl AuthenticationResult {
    pub(super) const ALL: [Self; 21] = [
        Self::Ok,
        Self::NoCredential,
        Self::Malformed,
        Self::Ambiguous,
        Self::Unknown,
        Self::WrongKey,
        Self::TooManyFailures,
        Self::Expired,
        Self::Rotated,
        Self::Idle,
        Self::Disabled,
        Self::UserDisabled,
        Self::WrongCluster,
        Self::Busy,
        Self::StoreError,
        Self::AccountDenied,
        Self::AccountElsewhere,
        Self::AccountRefused,
        Self::ReviewFailed,
        Self::ReviewBusy,
        Self::AccountCertificate,
    ];

    /// The label's value; also the reason in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoCredential => "no_credential",
            Self::Malformed => "malformed",
            Self::Ambiguous => "ambiguous",
            Self::Unknown => "unknown",
            Self::WrongKey => "wrong_key",
            Self::TooManyFailures => "too_many_failures",
            Self::Expired => "expired",
            Self::Rotated => "rotated",
            Self::Idle => "idle",
            Self::Disabled => "disabled",
            Self::UserDisabled => "user_disabled",
            Self::WrongCluster => "wrong_cluster",
            Self::Busy => "busy",
            Self::StoreError => "store_error",
            Self::AccountDenied => "service_accounts_denied",
            Self::AccountElsewhere => "service_account_elsewhere",
            Self::AccountRefused => "service_account_refused",
            Self::ReviewFailed => "token_review_failed",
            Self::ReviewBusy => "token_review_busy",
            Self::AccountCertificate => "service_account_certificate",
        }
    }
}

impl CacheOutcome {
    pub(super) const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Negative];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Negative => "negative",
        }
    }
}

impl UpstreamPool {
    pub(super) const ALL: [Self; 4] = [Self::Short, Self::Long, Self::Http1, Self::Tunnel];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::Http1 => "http1",
            Self::Tunnel => "tunnel",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info<'p>(path: &'p str, query: &'p str) -> RequestInfo<'p> {
        RequestInfo::of(&Method::GET, path, Some(query))
    }

    #[test]
    fn each_value_stands_where_its_index_says() {
        assert!(VerbClass::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(AuthenticationResult::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(CacheOutcome::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(UpstreamPool::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
    }

    #[test]
    fn connections_into_the_cluster_are_no_gets() {
        let exec = info("/api/v1/namespaces/a/pods/b/exec", "command=sh");
        assert_eq!(VerbClass::of(&exec), VerbClass::Connect);
        let log = info("/api/v1/namespaces/a/pods/b/log", "follow=true");
        assert_eq!(VerbClass::of(&log), VerbClass::Get);
        let watch = info("/api/v1/pods", "watch=true");
        assert_eq!(VerbClass::of(&watch), VerbClass::Watch);
        let version = info("/version", "");
        assert_eq!(VerbClass::of(&version), VerbClass::Get);
    }
}
