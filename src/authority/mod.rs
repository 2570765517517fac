//! Every rule by which tokens, users, clusters and settings are made, changed and unmade. The API calls this and nothing below it.
//!
//! A caller's rights are read from the store for each act, not believed from when the request was authenticated: an
//! administrator who was demoted a moment ago is none. Each act, and each refusal, is one event of the audit log.

mod audit;
mod bootstrap;
mod bulk;
mod cluster_tests;
mod clusters;
mod error;
mod features;
mod housekeeping;
mod issue;
mod kubeconfig;
mod limiter;
mod login;
mod password_work;
mod passwords;
mod rights;
mod rotation;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod users;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

pub use bulk::Bulk;
pub use clusters::{ClusterChange, NewCluster, SETTLING};
pub use error::AuthorityError;
pub use issue::{Issued, LEASE_MILLIS, NewToken};
pub use limiter::network;
pub use login::{Login, LoginPurpose};
pub use rotation::Rotation;
pub use tokens::TokenChange;
pub use users::{NewUser, UserChange};

use crate::cluster::Registry;
use crate::config::LiveConfig;
use crate::identity::{UserId, Username};
use crate::setting::{LiveSettings, Values};
use crate::store::Store;
use crate::token::TokenName;
use audit::Refusals;
use limiter::FailureLimiter;
use password_work::PasswordWork;

/// The token authority.
#[derive(Debug)]
pub struct Authority {
    store: Store,
    policy: Policy,
    settings: LiveSettings,
    /// One place: settings that depend on each other are changed one after the other.
    setting_change: Semaphore,
    /// One place: taken while hashing of tokens is being turned on.
    hashing_order: Arc<Semaphore>,
    password_work: PasswordWork,
    failures: Mutex<FailureLimiter>,
    refusals: Mutex<Refusals>,
    purged: AtomicU64,
}

/// What whoever runs the server has decided, and nobody changes through the API.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What of the configuration is followed: the names that begin with `system:` and may be given to users and groups.
    pub config: LiveConfig,
    /// Settings that the environment fixes.
    pub environment: Values,
    /// Defaults of settings that the server's configuration says.
    pub configured: Values,
    /// Where backups are written, outside of the data directory; made when it is needed.
    pub backup_dir: PathBuf,
    /// The clusters there are. They follow changes for as long as somebody keeps the registry current.
    pub clusters: Registry,
}

/// Who asks, as the gate has authenticated it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user's id.
    pub id: UserId,
    /// The user's name.
    pub name: Username,
    /// The token the request came with.
    pub token: TokenName,
    /// Where the client is.
    pub client: IpAddr,
}

impl Authority {
    /// An authority over `store`, with the settings that are stored there. They follow changes once
    /// [`follow_settings`](Self::follow_settings) runs, on a feed that was subscribed before this.
    pub async fn open(store: Store, policy: Policy) -> Result<Self, AuthorityError> {
        let settings = settings::load(&store, &policy).await?;
        if let Err(conflict) = settings.check_pair() {
            tracing::warn!(%conflict, "settings of different sources: the maximum holds");
        }
        Ok(Self {
            store,
            policy,
            settings: LiveSettings::new(settings),
            setting_change: Semaphore::new(1),
            hashing_order: Arc::new(Semaphore::new(1)),
            password_work: PasswordWork::new(),
            failures: Mutex::new(FailureLimiter::default()),
            refusals: Mutex::new(Refusals::default()),
            purged: AtomicU64::new(0),
        })
    }

    /// The settings that hold, for whoever has to ask at every request.
    pub fn live_settings(&self) -> LiveSettings {
        self.settings.clone()
    }
}
