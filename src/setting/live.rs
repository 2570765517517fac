//! The settings that hold now, shared by everybody who has to ask.

use std::sync::{Arc, PoisonError, RwLock};

use super::Settings;

/// A holder of the newest [`Settings`]; clones share it.
#[derive(Debug, Clone)]
pub struct LiveSettings(Arc<RwLock<Arc<Settings>>>);

impl LiveSettings {
    /// A holder that begins with `settings`.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(settings))))
    }

    /// What holds now. Take it once for each act, so that the act sees one state.
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on, `settings` hold.
    pub fn replace(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::{Setting, Values};

    #[test]
    fn every_holder_sees_the_replacement_and_who_has_a_snapshot_keeps_it() {
        let none = Values::new();
        let live = LiveSettings::new(Settings::of(&none, &none, &none));
        let (elsewhere, before) = (live.clone(), live.current());
        let stored = Values::from([(Setting::PasswordMinLength, "20".to_owned())]);
        live.replace(Settings::of(&none, &stored, &none));
        assert_eq!((before.password_min_length(), elsewhere.current().password_min_length()), (12, 20));
    }
}
