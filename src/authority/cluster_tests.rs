//! Trying out clusters, and what their deletion would end; for administrators. A test connects to wherever it is told
//! to, so nobody else may ask for one.

use super::audit::Act;
use super::{Authority, AuthorityError, Caller};
use crate::cluster::{GivenReach, Trouble};
use crate::identity::ClusterId;
use crate::store::TokenFilter;

impl Authority {
    /// Connects to a cluster and says what is wrong with it.
    pub async fn test_cluster(
        &self,
        caller: &Caller,
        id: &ClusterId,
    ) -> Result<Result<(), Trouble>, AuthorityError> {
        let act = Act::by(caller, "cluster.test").on_cluster(id);
        let allowed = self.check_administrator(caller).await;
        self.judged(&act, allowed).await?;
        let member = self.policy.clusters.member(id).ok_or(AuthorityError::NotFound)?;
        Ok(member.try_now(self.policy.clusters.keeping()).await)
    }

    /// Connects to a cluster that is described and nowhere kept, and says what is wrong with it.
    pub async fn test_described_cluster(
        &self,
        caller: &Caller,
        reach: GivenReach,
    ) -> Result<Result<(), Trouble>, AuthorityError> {
        let act = Act::by(caller, "cluster.test");
        let allowed = self.check_administrator(caller).await;
        self.judged(&act, allowed).await?;
        Ok(reach.check()?.try_now(self.policy.clusters.keeping()).await)
    }

    /// How many tokens are good for this cluster alone.
    pub async fn tokens_for_cluster(&self, caller: &Caller, id: &ClusterId) -> Result<u64, AuthorityError> {
        let act = Act::by(caller, "cluster.delete").on_cluster(id);
        let allowed = self.check_deletable(caller, id).await;
        self.judged(&act, allowed).await?;
        let filter = TokenFilter { cluster: Some(id.clone()), ..TokenFilter::default() };
        Ok(self.store.count_tokens(filter).await?)
    }
}
