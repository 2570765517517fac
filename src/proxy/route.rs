//! Which cluster a request is for, decided on the raw path: nothing is decoded or normalised before, so that no other
//! spelling of a path leads elsewhere than it says.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

use crate::upstream::Upstream;

/// Where the clusters live that are not the default one.
const PREFIX: &str = "/k8s/clusters/";

/// The clusters a worker can reach, the default one first.
pub struct Clusters(Vec<(Arc<str>, Arc<Upstream>)>);

/// A request's cluster, and its target there.
pub struct Route<'c> {
    /// The cluster's id.
    pub cluster: &'c Arc<str>,
    /// The way to it.
    pub upstream: &'c Arc<Upstream>,
    /// Where the cluster's own path begins within the request's.
    pub path_offset: usize,
}

impl Clusters {
    /// The clusters behind these; the first is the default one.
    pub fn new(clusters: Vec<Arc<Upstream>>) -> Self {
        Self(clusters.into_iter().map(|upstream| (Arc::clone(upstream.cluster().id()), upstream)).collect())
    }

    /// The route of a request, or `None` for a cluster that we don't have.
    pub fn route(&self, path: &str) -> Option<Route<'_>> {
        let (cluster, path_offset) = match path.strip_prefix(PREFIX) {
            None => (self.0.first()?, 0),
            Some(rest) => {
                let id = rest.split('/').next().unwrap_or_default();
                (self.0.iter().find(|(known, _)| **known == *id)?, PREFIX.len() + id.len())
            }
        };
        Some(Route { cluster: &cluster.0, upstream: &cluster.1, path_offset })
    }
}

impl Route<'_> {
    /// The request's target at the cluster; `None` for a target that is not a path.
    pub fn target(&self, uri: &Uri) -> Option<PathAndQuery> {
        target(uri, self.path_offset)
    }
}

/// The target at the cluster: the request's path from `offset` on and its query, byte for byte.
fn target(uri: &Uri, offset: usize) -> Option<PathAndQuery> {
    let given = uri.path_and_query()?;
    if offset == 0 {
        return Some(given.clone());
    }
    let rest = given.as_str().get(offset..)?;
    let slash = if rest.starts_with('/') { "" } else { "/" };
    PathAndQuery::from_maybe_shared(Bytes::from(format!("{slash}{rest}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_path_and_the_query_stay_as_they_are() {
        let at = |uri: &str, offset| target(&uri.parse().unwrap(), offset).unwrap().to_string();
        assert_eq!(at("/api//x/%2e%2e/..;/y?a=%2f&b", 0), "/api//x/%2e%2e/..;/y?a=%2f&b");
        assert_eq!(at("/k8s/clusters/local/api?x", 19), "/api?x");
        assert_eq!(at("/k8s/clusters/local?x", 19), "/?x");
    }
}
