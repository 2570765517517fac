//! The configuration that is in use, shared by everybody who has to follow it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Config, Limits};
use crate::live::Own;

/// A holder of the newest [`Config`]; clones share it.
#[derive(Debug, Clone)]
pub struct LiveConfig(Arc<watch::Sender<Arc<Config>>>);

/// A reader's own copy of the limits.
pub type OwnLimits = Own<Arc<Config>, Limits>;

impl LiveConfig {
    /// A holder that begins with `config`.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(config))))
    }

    /// What is in use now. Take it once for each act, so that the act sees one state.
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.0.borrow())
    }

    /// The limits, for one reader who asks all the time.
    pub fn own_limits(&self) -> OwnLimits {
        Own::of(self.0.subscribe(), |config: &Arc<Config>| config.limits.clone())
    }

    /// From now on, `config` is in use.
    pub fn replace(&self, config: Config) {
        self.0.send_replace(Arc::new(config));
    }
}

/// Of a configuration with nothing in it.
impl Default for LiveConfig {
    fn default() -> Self {
        Self::new(Config::blank())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::config::tests::{sources, with_file};
    use crate::config::{KEYS, Reload, Resolution};

    #[test]
    fn of_what_is_read_again_the_live_keys_count_and_the_others_wait() {
        let started = Resolution::of(&with_file(
            sources(),
            "dataDir: /a\nlimits: {maxHeaders: 100, maxStreams: 5}\nclusters: [{id: a, kubeconfig: /a}]",
        ));
        let started = started.unwrap();
        let again = Resolution::of(&with_file(
            sources(),
            "dataDir: /b\nlimits: {maxHeaders: 200}\ncluster: {allowedUsers: [bob], serviceAccounts: deny}",
        ));
        let again = again.unwrap();
        let used = started.reloaded(&again).unwrap();
        assert_eq!((&used.config.data_dir, &used.config.backup_dir), (&"/a".into(), &"/a-backups".into()));
        let limits = &used.config.limits;
        assert_eq!((limits.max_headers, limits.max_streams), (100, again.config.limits.max_streams));
        assert_eq!(used.config.cluster_rules, again.config.cluster_rules);
        assert_eq!(used.config.clusters, Vec::new());
        assert_eq!(again.differences(&used), ["dataDir", "limits.maxHeaders"]);
        assert_eq!(started.reloaded(&started).unwrap().config, started.config);
    }

    #[test]
    fn the_operations_manual_says_of_every_live_key_what_its_change_is_for() {
        let manual = include_str!("../../docs/operations.md");
        let (_, table) = manual.split_once("| keys | what a change is for |\n|---|---|\n").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let named = table.lines().filter_map(|row| row.split(" | ").next());
        let named: BTreeSet<_> = named.flat_map(|keys| keys.split('`').skip(1).step_by(2)).collect();
        let live = KEYS.iter().filter(|key| key.reload == Reload::Live).map(|key| key.path);
        assert_eq!(named, live.collect());
    }
}
