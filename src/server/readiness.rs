//! Whether this process can serve: its store is open and answers, and the cluster takes our credential and lets us
//! impersonate. Checked on a clock, so that a probe costs nothing and says what was so a moment ago.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::config::LiveConfig;
use crate::store::Store;
use crate::telemetry::with_causes;

/// The check that counts only until it has passed once: a gate that could never serve service accounts although it is told
/// to is set up wrongly, while one that can't any more still serves everybody else.
const SERVICE_ACCOUNTS: &str = "service-accounts";

/// A lost credential has to show within 5 seconds.
const INTERVAL: Duration = Duration::from_secs(3);

/// The outcome of the last checks.
#[derive(Debug)]
pub(super) struct Readiness(RwLock<Checks>);

#[derive(Debug, Clone)]
struct Checks {
    store: Result<(), String>,
    cluster: Result<(), String>,
    service_accounts: Result<(), String>,
    /// Whether service accounts could be served at any time: from then on a right that is lost concerns them alone.
    had_service_accounts: bool,
    draining: bool,
}

impl Readiness {
    /// Not ready until the first checks have passed.
    pub(super) fn new() -> Arc<Self> {
        let pending = || Err("not checked yet".to_owned());
        Arc::new(Self(RwLock::new(Checks {
            store: pending(),
            cluster: pending(),
            service_accounts: pending(),
            had_service_accounts: false,
            draining: false,
        })))
    }

    /// Checks for as long as the task lives.
    pub(super) async fn watch(self: Arc<Self>, store: Store, cluster: Arc<Cluster>, config: LiveConfig) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mode = config.current().cluster_rules.service_accounts;
            let (store, cluster, service_accounts) =
                tokio::join!(store.check(), cluster.check(), cluster.check_service_accounts(mode));
            let cluster = cluster.map_err(|error| with_causes(&error));
            // With an apiserver that is away nothing is said about rights.
            let service_accounts = match &cluster {
                Ok(()) => Some(service_accounts.map_err(|error| with_causes(&error))),
                Err(_) => None,
            };
            self.note(store.map_err(|error| with_causes(&error)), cluster, service_accounts);
        }
    }

    /// From now on not ready, whatever the checks say: no new client should come.
    pub(super) fn drain(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).draining = true;
    }

    /// Whether all is well, and one line a check in the form of the apiserver's `/readyz?verbose`.
    pub(super) fn report(&self) -> (bool, String) {
        let checks = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let draining = if checks.draining { Err("shutting down".to_owned()) } else { Ok(()) };
        let is_spared = |name: &str| name == SERVICE_ACCOUNTS && checks.had_service_accounts;
        let checks = [
            ("store", checks.store),
            ("cluster", checks.cluster),
            (SERVICE_ACCOUNTS, checks.service_accounts),
            ("shutdown", draining),
        ];
        let ready = checks.iter().all(|(name, outcome)| outcome.is_ok() || is_spared(name));
        let lines = checks.map(|(name, outcome)| match outcome {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(reason) if is_spared(name) => format!("[!]{name} failed: {reason}\n"),
            Err(reason) => format!("[-]{name} failed: {reason}\n"),
        });
        (ready, lines.concat() + if ready { "readyz check passed\n" } else { "readyz check failed\n" })
    }

    fn note(
        &self,
        store: Result<(), String>,
        cluster: Result<(), String>,
        service_accounts: Option<Result<(), String>>,
    ) {
        let mut checks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let service_accounts = service_accounts.unwrap_or_else(|| checks.service_accounts.clone());
        for (name, before, after) in [
            ("store", &checks.store, &store),
            ("cluster", &checks.cluster, &cluster),
            (SERVICE_ACCOUNTS, &checks.service_accounts, &service_accounts),
        ] {
            match after {
                Err(reason) if before.as_ref() != Err(reason) => {
                    tracing::warn!(check = name, reason, "not ready");
                }
                Ok(()) if before.is_err() => tracing::info!(check = name, "ready"),
                _ => {}
            }
        }
        checks.store = store;
        checks.cluster = cluster;
        checks.had_service_accounts |= service_accounts.is_ok();
        checks.service_accounts = service_accounts;
    }
}
