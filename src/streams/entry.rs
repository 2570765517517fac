//! One live stream, as the registry knows it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::HeaderValue;

use super::{Cut, CutReason, StreamKind};
use crate::clock::{self, UnixMillis};
use crate::identity::UserId;
use crate::telemetry::ConnectionGauge;
use crate::token::TokenName;

/// A stream's number, given out once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u64);

/// What a cluster's review of a service account's token is kept under.
pub type ReviewKey = [u8; 32];

/// By whose leave a stream is open.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// A token of ours and its user.
    Token {
        /// The token's name.
        token: TokenName,
        /// The user it belongs to.
        user: UserId,
    },
    /// A service account of a cluster.
    ServiceAccount {
        /// The cluster that vouches for it.
        cluster: Arc<str>,
        /// Under what its review is kept.
        reviewed: ReviewKey,
    },
}

/// A stream that is about to be opened.
pub struct NewStream {
    /// By whose leave.
    pub owner: Owner,
    /// What it carries.
    pub kind: StreamKind,
    /// To which cluster.
    pub cluster: Arc<str>,
    /// From where.
    pub client: IpAddr,
    /// The groups it runs with; of a service account none are kept.
    pub groups: Arc<[HeaderValue]>,
    /// When its owner's credential expires, as far as is known.
    pub expires_at: Option<UnixMillis>,
}

/// An open stream, for people.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its number.
    pub id: StreamId,
    /// What it carries.
    pub kind: StreamKind,
    /// To which cluster.
    pub cluster: Arc<str>,
    /// From where.
    pub client: IpAddr,
    /// Since when.
    pub opened_at: UnixMillis,
}

/// A live stream.
pub struct Entry {
    id: StreamId,
    owner: Owner,
    kind: StreamKind,
    cluster: Arc<str>,
    client: IpAddr,
    groups: Arc<[HeaderValue]>,
    opened_at: UnixMillis,
    signal: Mutex<Signal>,
}

/// Drops the upstream side of a stream whose own task does not come to it.
pub(super) type Abandonment = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Signal {
    cut: Option<Cut>,
    waker: Option<Waker>,
    abandon: Option<Abandonment>,
    /// Its place in the count of open ones.
    gauge: Option<ConnectionGauge>,
}

impl Owner {
    /// The user, if the owner is a token of ours.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Token { user, .. } => Some(user),
            Self::ServiceAccount { .. } => None,
        }
    }

    /// The token, if it is one of ours.
    pub fn token(&self) -> Option<&TokenName> {
        match self {
            Self::Token { token, .. } => Some(token),
            Self::ServiceAccount { .. } => None,
        }
    }
}

impl Entry {
    pub(super) fn new(id: StreamId, stream: NewStream, gauge: ConnectionGauge) -> Self {
        let NewStream { owner, kind, cluster, client, groups, expires_at: _ } = stream;
        let signal = Mutex::new(Signal { gauge: Some(gauge), ..Signal::default() });
        let opened_at = clock::now();
        Self { id, owner, kind, cluster, client, groups, opened_at, signal }
    }

    /// Its number: streams are numbered as they are opened.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// By whose leave it is open.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What it carries.
    pub fn kind(&self) -> StreamKind {
        self.kind
    }

    /// The cluster it goes to.
    pub fn cluster(&self) -> &Arc<str> {
        &self.cluster
    }

    /// The groups it was opened with.
    pub fn groups(&self) -> &[HeaderValue] {
        &self.groups
    }

    /// The cut it was told of.
    pub fn cut(&self) -> Option<Cut> {
        self.signals().cut
    }

    /// Why it is cut, for the person at the client.
    pub(super) fn explain(&self, reason: CutReason) -> String {
        let cluster = &self.cluster;
        let token = match &self.owner {
            Owner::Token { token, .. } => format!("token {token}"),
            Owner::ServiceAccount { .. } => "the service account's token".to_owned(),
        };
        match reason {
            CutReason::Expired => format!("{token} has expired"),
            CutReason::Deleted => format!("{token} was deleted"),
            CutReason::Disabled => format!("{token} was disabled"),
            CutReason::Rotated => format!("{token} was replaced by another"),
            CutReason::LoggedOut => format!("the session of {token} was ended by a logout"),
            CutReason::Idle => format!("the session of {token} was unused for too long"),
            CutReason::UserDisabled => format!("the user of {token} was disabled"),
            CutReason::UserDeleted => format!("the user of {token} was deleted"),
            CutReason::GroupsLost => format!("the user of {token} was taken out of a group"),
            CutReason::ServiceAccountRefused => format!("cluster {cluster} no longer accepts {token}"),
            CutReason::ClusterRemoved => format!("cluster {cluster} was removed"),
            CutReason::AccessLost => format!("the user of {token} may no longer use cluster {cluster}"),
            CutReason::Draining => "the gateway is going down".to_owned(),
            CutReason::Unverified => format!("{token} can't be checked at the moment"),
        }
    }

    pub(super) fn open(&self) -> Open {
        let Self { id, kind, client, opened_at, .. } = *self;
        Open { id, kind, cluster: Arc::clone(&self.cluster), client, opened_at }
    }

    /// Tells it of `cut`, unless it was told of one before.
    pub(super) fn signal(&self, cut: Cut) -> bool {
        let mut signals = self.signals();
        if signals.cut.is_some() {
            return false;
        }
        signals.cut = Some(cut);
        let waker = signals.waker.take();
        drop(signals);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    pub(super) fn poll_cut(&self, cx: &Context<'_>) -> Poll<Cut> {
        let mut signals = self.signals();
        if let Some(cut) = signals.cut {
            return Poll::Ready(cut);
        }
        if !signals.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            signals.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn set_abandonment(&self, abandon: Option<Abandonment>) {
        // What was there before is dropped outside of the lock: it may hold anything.
        let _before = std::mem::replace(&mut self.signals().abandon, abandon);
    }

    pub(super) fn take_abandonment(&self) -> Option<Abandonment> {
        self.signals().abandon.take()
    }

    /// It is open no longer.
    pub(super) fn close(&self) {
        self.signals().gauge = None;
    }

    fn signals(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
