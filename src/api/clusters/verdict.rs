//! Whether a cluster can be used, as it is shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::cluster::Trouble;

/// What was found when a cluster was tried.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ClusterTestOutput)]
pub(super) struct VerdictObject {
    /// Always `clusterTestOutput`.
    #[serde(rename = "type")]
    object: &'static str,
    /// Always `clusterTestOutput`.
    base_type: &'static str,
    /// Whether this server can use it.
    usable: bool,
    /// What is wrong: `configuration`, `credential`, `name`, `connection`, `certificate`, `refused` or `rights`.
    problem: Option<&'static str>,
    /// What was found, for people.
    message: String,
}

impl VerdictObject {
    pub(super) fn new(tested: Result<(), Trouble>) -> Self {
        let (problem, message) = match tested {
            Ok(()) => {
                let found = "the apiserver answers, knows this server, and gives it every right it needs";
                (None, found.to_owned())
            }
            Err(Trouble { problem, message }) => (Some(problem.as_str()), message),
        };
        let kind = "clusterTestOutput";
        Self { object: kind, base_type: kind, usable: problem.is_none(), problem, message }
    }
}
