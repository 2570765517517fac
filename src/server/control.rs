//! The token authority and what runs beside it, on the control runtime.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::ServeError;
use crate::api::Info;
use crate::authority::{Authority, Policy};
use crate::cluster::Registry;
use crate::config::LiveConfig;
use crate::setting::{Setting, Values};
use crate::store::Store;

/// The authority with its first administrator, its settings followed and its house kept.
pub(super) fn start_authority(
    control: &Runtime,
    config: &LiveConfig,
    store: &Store,
    info: &Info,
    clusters: &Registry,
) -> Result<(Arc<Authority>, JoinHandle<()>), ServeError> {
    let ca = info.certificate_authority.clone().unwrap_or_default();
    let live = config;
    let config = live.current();
    let policy = Policy {
        config: live.clone(),
        environment: config.settings.clone(),
        configured: Values::from([
            (Setting::ServerUrl, info.server_url.clone()),
            (Setting::CaCertificates, ca),
        ]),
        backup_dir: config.backup_dir.clone(),
        clusters: clusters.clone(),
    };
    // Subscribed before the settings are read, so that no change falls in between.
    let feed = store.subscribe();
    let authority = Arc::new(control.block_on(Authority::open(store.clone(), policy))?);
    let following = control.spawn(Arc::clone(&authority).follow_settings(feed));
    control.block_on(authority.bootstrap(&config.data_dir))?;
    control.spawn(Arc::clone(&authority).housekeeping());
    Ok((authority, following))
}
