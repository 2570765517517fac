//! Which tokens of many are meant.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::cli::client::Client;
use crate::cli::cluster;
use crate::cli::error::CliError;
use crate::cli::moment::{Moment, moment};
use crate::cli::query::Query;
use crate::cli::user;
use crate::token::TokenKind;

/// Flags that choose tokens. All that are given must hold.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct FilterOptions {
    /// Everybody's, for administrators; without it, yours
    #[arg(long)]
    all: bool,
    /// Those of one user, by name or id, for administrators
    #[arg(long, value_name = "USER", conflicts_with = "all")]
    user: Option<String>,
    /// Those of one kind
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    kind: Option<String>,
    /// Those that are good for one cluster alone, by its name or id
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Those that have expired
    #[arg(long)]
    expired: bool,
    /// Those that never expire
    #[arg(long, conflicts_with = "expired")]
    never_expires: bool,
    /// Those that live longer than the maximum that is set now
    #[arg(long)]
    exceeds_max: bool,
    /// Those not used since: 2026-01-31, 2026-01-31T12:00:00Z, or a time ago such as 90d; never used counts
    #[arg(long, value_name = "DATE|DURATION", value_parser = moment)]
    last_used_before: Option<Moment>,
}

impl FilterOptions {
    /// Whether they leave anything out but whose tokens are meant.
    pub(super) fn narrows(&self) -> bool {
        let flags = [self.expired, self.never_expires, self.exceeds_max];
        let values = [
            self.user.is_some(),
            self.kind.is_some(),
            self.cluster.is_some(),
            self.last_used_before.is_some(),
        ];
        flags.into_iter().chain(values).any(|given| given)
    }

    /// The parameters that choose them.
    pub(super) fn query(&self, client: &Client) -> Result<Query, CliError> {
        let mut query = Query::default();
        query.flag("me", !self.all && self.user.is_none());
        query.add("userId", self.user.as_deref().map(|name| user::id_of(client, name)).transpose()?);
        query.add("kind", self.kind.clone());
        query.add("clusterId", self.cluster.as_deref().map(|name| cluster::id_of(client, name)).transpose()?);
        query.flag("expired", self.expired);
        query.flag("neverExpires", self.never_expires);
        query.flag("exceedsMax", self.exceeds_max);
        query.add("lastUsedBefore", self.last_used_before.map(|moment| moment.to_string()));
        Ok(query)
    }
}

/// The kinds that can be named.
pub(super) fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(TokenKind::ALL.map(TokenKind::as_str))
}
