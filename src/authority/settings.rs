//! Settings: what holds, changing it, and following what was stored.

use std::sync::Arc;
use std::time::Duration;

use super::audit::Act;
use super::{Authority, AuthorityError, Caller, Policy};
use crate::setting::{Setting, Settings, Source, Values};
use crate::store::{Change, ChangeFeed, Store, StoreError, Write};

impl Authority {
    /// What holds now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.current()
    }

    /// Sets all of these or none; for administrators. `None` and the empty text reset a setting to its default. When
    /// this returns, everybody in this process goes by the new values.
    pub async fn set_settings(
        &self,
        caller: &Caller,
        changes: Vec<(Setting, Option<String>)>,
    ) -> Result<Arc<Settings>, AuthorityError> {
        let act = Act::by(caller, "setting.set");
        let set = self.try_set(caller, changes, &act).await;
        self.judged(&act, set).await?;
        Ok(self.settings())
    }

    /// Keeps the settings as they are stored, until the store closes. A write of settings is acknowledged when this has
    /// applied it.
    pub async fn follow_settings(self: Arc<Self>, mut feed: ChangeFeed) {
        while let Some(delivery) = feed.next().await {
            if delivery.change == Change::Settings {
                self.reload().await;
            }
        }
    }

    async fn try_set(
        &self,
        caller: &Caller,
        changes: Vec<(Setting, Option<String>)>,
        act: &Act,
    ) -> Result<(), AuthorityError> {
        self.check_administrator(caller).await?;
        let _one_at_a_time = self.setting_change.acquire().await.map_err(|_| AuthorityError::Busy)?;
        let before = self.settings();
        let mut stored = stored_values(&self.store).await?;
        let (mut said, mut write) = (Vec::new(), Vec::new());
        for (setting, value) in changes {
            if before.source(setting) == Source::Env {
                return Err(AuthorityError::SettingFixed(setting));
            }
            let value = value.filter(|value| !value.is_empty());
            let value = value.map(|value| setting.check(&value)).transpose()?;
            match &value {
                Some(value) => drop(stored.insert(setting, value.clone())),
                None => drop(stored.remove(&setting)),
            }
            said.push(format!(
                "{} is {} (was {})",
                setting.name(),
                shown(value.as_deref().unwrap_or("default")),
                shown(before.value(setting))
            ));
            write.push((setting, value));
        }
        let touches_pair =
            write.iter().any(|(setting, _)| matches!(setting, Setting::KubeconfigTtl | Setting::TokenMaxTtl));
        // What the environment has set up against the stored values stays; it is no reason to refuse all else.
        if touches_pair {
            Settings::of(&self.policy.environment, &stored, &self.policy.configured).check_pair()?;
        }
        let write = write.into_iter().map(|(setting, value)| (setting.name().to_owned(), value)).collect();
        self.commit(Write::SetSettings(write), act.clone(), said.join(", ")).await?;
        Ok(())
    }

    /// Tries until it is done: nobody may believe that a setting holds that does not.
    async fn reload(&self) {
        loop {
            match load(&self.store, &self.policy).await {
                Ok(settings) => return self.settings.replace(settings),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "settings can't be read");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }
}

/// What holds, with what is stored now.
pub(super) async fn load(store: &Store, policy: &Policy) -> Result<Settings, StoreError> {
    let stored = stored_values(store).await?;
    for (setting, value) in &stored {
        if let Err(error) = setting.check(value) {
            tracing::error!(%error, "a stored setting can't be used, its default holds");
        }
    }
    Ok(Settings::of(&policy.environment, &stored, &policy.configured))
}

/// Settings that a newer version has stored mean nothing to us.
async fn stored_values(store: &Store) -> Result<Values, StoreError> {
    let stored = store.settings().await?;
    let known = |(name, value): (String, String)| Some((Setting::from_name(&name)?, value));
    Ok(stored.into_iter().map(|stored| (stored.name, stored.value)).filter_map(known).collect())
}

/// A value for the audit log: certificates are too long for it.
fn shown(value: &str) -> String {
    let first = value.lines().next().unwrap_or_default();
    if first.len() == value.len() { format!("\"{value}\"") } else { format!("{} bytes", value.len()) }
}

const RETRY_AFTER: Duration = Duration::from_millis(100);
