//! What is counted of live streams: those that are open, those that were cut and why, and how long a cut took.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::DurationHistogram;
use super::metrics::{ConnectionGauge, register, resolve};
use crate::kube::{RequestInfo, Verb};

const CUT_DURATION_HELP: &str =
    "Time from the change that ends a stream, once committed, to the end of the client's side";

/// What an open stream carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StreamKind {
    /// Changes of objects.
    Watch,
    /// A container's output.
    Log,
    /// A command in a container.
    Exec,
    /// A container's own process.
    Attach,
    /// Connections to a pod's ports.
    PortForward,
    /// HTTP to a pod, service or node.
    Proxy,
    /// Any other request that lasts.
    Other,
}

/// Why we end a stream that client and cluster would have gone on with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CutReason {
    /// Its token, or the token's lease, has expired.
    Expired,
    /// Its token was deleted.
    Deleted,
    /// Its token was switched off.
    Disabled,
    /// Its token was replaced by another, and the time for which both were good is over.
    Rotated,
    /// Its session was ended by the one whose it is.
    LoggedOut,
    /// Its session was unused for too long.
    Idle,
    /// The user was switched off.
    UserDisabled,
    /// The user was deleted.
    UserDeleted,
    /// The user is no longer in a group that the stream was opened with.
    GroupsLost,
    /// The cluster no longer accepts the service account's token.
    ServiceAccountRefused,
    /// The cluster is no longer one of ours.
    ClusterRemoved,
    /// The user may no longer use the cluster.
    AccessLost,
    /// Nothing is wrong with the client: we are going down.
    Draining,
    /// Nothing is known to be wrong with the client: for too long we could not find out.
    Unverified,
}

/// Figures of the live streams.
pub struct StreamMetrics {
    open: [Gauge; StreamKind::ALL.len()],
    cuts: [[Counter; StreamKind::ALL.len()]; CutReason::ALL.len()],
    cut_durations: [DurationHistogram; StreamKind::ALL.len()],
}

impl StreamMetrics {
    pub(super) fn register(to: &mut Registry) -> Self {
        let open = register(to, "open_streams", "Long-running requests that are open");
        let cuts: Family<[(&'static str, &'static str); 2], Counter> =
            register(to, "stream_cuts", "Streams that were ended before their time, by reason and kind");
        let durations = Family::<_, DurationHistogram>::default();
        to.register_with_unit("stream_cut_duration", CUT_DURATION_HELP, Unit::Seconds, durations.clone());
        Self {
            open: StreamKind::ALL.map(|kind| resolve(&open, "kind", kind.as_str())),
            cuts: CutReason::ALL.map(|reason| {
                StreamKind::ALL.map(|kind| {
                    cuts.get_or_create_owned(&[("reason", reason.as_str()), ("kind", kind.as_str())])
                })
            }),
            cut_durations: StreamKind::ALL.map(|kind| resolve(&durations, "kind", kind.as_str())),
        }
    }

    /// Counts an open long-running request.
    pub fn open(&self, kind: StreamKind) -> ConnectionGauge {
        ConnectionGauge::of(&self.open, kind as usize)
    }

    /// Counts a stream that is cut.
    pub fn count_cut(&self, reason: CutReason, kind: StreamKind) {
        if let Some(counter) = self.cuts.get(reason as usize).and_then(|kinds| kinds.get(kind as usize)) {
            counter.inc();
        }
    }

    /// Notes how long it took until the client's side was ended.
    pub fn observe_cut(&self, kind: StreamKind, duration: Duration) {
        if let Some(histogram) = self.cut_durations.get(kind as usize) {
            histogram.observe(duration);
        }
    }
}

impl StreamKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Watch, Self::Log, Self::Exec, Self::Attach, Self::PortForward, Self::Proxy, Self::Other];

    /// Whether it is made of parts, and complete at the end of any of them: clients take that for nothing unusual, and open
    /// another.
    pub fn ends_between_parts(self) -> bool {
        matches!(self, Self::Watch | Self::Log)
    }

    /// What a request carries once it lasts.
    pub fn of(info: &RequestInfo<'_>) -> Self {
        if info.verb == Verb::Watch {
            return Self::Watch;
        }
        match &*info.subresource {
            "log" => Self::Log,
            "exec" => Self::Exec,
            "attach" => Self::Attach,
            "portforward" => Self::PortForward,
            "proxy" => Self::Proxy,
            _ if info.verb == Verb::Proxy => Self::Proxy,
            _ => Self::Other,
        }
    }

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Log => "log",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Proxy => "proxy",
            Self::Other => "other",
        }
    }
}

impl CutReason {
    pub(super) const ALL: [Self; 14] = [
        Self::Expired,
        Self::Deleted,
        Self::Disabled,
        Self::Rotated,
        Self::LoggedOut,
        Self::Idle,
        Self::UserDisabled,
        Self::UserDeleted,
        Self::GroupsLost,
        Self::ServiceAccountRefused,
        Self::ClusterRemoved,
        Self::AccessLost,
        Self::Draining,
        Self::Unverified,
    ];

    /// The label's value; also the reason in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Disabled => "disabled",
            Self::Rotated => "rotated",
            Self::LoggedOut => "logged_out",
            Self::Idle => "idle",
            Self::UserDisabled => "user_disabled",
            Self::UserDeleted => "user_deleted",
            Self::GroupsLost => "groups_lost",
            Self::ServiceAccountRefused => "service_account_refused",
            Self::ClusterRemoved => "cluster_removed",
            Self::AccessLost => "access_lost",
            Self::Draining => "draining",
            Self::Unverified => "unverified",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn each_value_stands_where_its_index_says() {
        assert!(StreamKind::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
        assert!(CutReason::ALL.iter().enumerate().all(|(index, value)| *value as usize == index));
    }

    #[test]
    fn a_stream_is_what_its_request_asks_for() {
        for (path, query, kind) in [
            ("/api/v1/namespaces/a/pods/b/exec", "command=sh", StreamKind::Exec),
            ("/api/v1/namespaces/a/pods/b/log", "follow=true", StreamKind::Log),
            ("/api/v1/pods", "watch=true", StreamKind::Watch),
            ("/version", "", StreamKind::Other),
        ] {
            assert_eq!(StreamKind::of(&RequestInfo::of(&Method::GET, path, Some(query))), kind, "{path}");
        }
    }
}
