//! What holds: one snapshot of every setting's value and its source.

use std::collections::BTreeMap;
use std::fmt;

use super::check::check_pair;
use super::{Setting, SettingError};
use crate::clock::MINUTE;

/// Values by setting, as one source has them.
pub type Values = BTreeMap<Setting, String>;

/// Whole minutes; 0 stands for "no end" or "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Minutes(pub u32);

/// Who says what a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The server's environment: it wins, and can't be changed from outside.
    Env,
    /// An administrator, in the store.
    Store,
    /// Nobody.
    Default,
}

/// Every setting's value at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<Setting, Effective>,
    session_ttl: Minutes,
    session_idle_ttl: Minutes,
    token_max_ttl: Minutes,
    kubeconfig_ttl: Minutes,
    kubeconfig_generate_token: bool,
    password_min_length: u32,
    token_quota: u32,
    client_impersonation: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Effective {
    value: String,
    default: String,
    source: Source,
}

impl Minutes {
    /// Whether it stands for "no end".
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// As milliseconds.
    pub fn millis(self) -> u64 {
        u64::from(self.0) * MINUTE
    }
}

impl fmt::Display for Minutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Source {
    /// The word for it in the API: Rancher's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Store => "db",
            Self::Default => "default",
        }
    }
}

impl Settings {
    /// What holds if the environment, the store and the server's own configuration say this. A value that its setting
    /// does not take, as an older or newer version may have stored it, counts as absent.
    pub fn of(environment: &Values, stored: &Values, configured: &Values) -> Self {
        let values: BTreeMap<_, _> = Setting::ALL
            .into_iter()
            .map(|setting| {
                let given =
                    |values: &Values| values.get(&setting).and_then(|value| setting.check(value).ok());
                let configured = configured.get(&setting).cloned();
                let default = configured.unwrap_or_else(|| setting.default().to_owned());
                let (value, source) = match (given(environment), given(stored)) {
                    (Some(value), _) => (value, Source::Env),
                    (None, Some(value)) => (value, Source::Store),
                    (None, None) => (default.clone(), Source::Default),
                };
                (setting, Effective { value, default, source })
            })
            .collect();
        let number = |setting| number(&values, setting);
        let is_true = |setting| values.get(&setting).is_some_and(|effective| effective.value == "true");
        Self {
            session_ttl: Minutes(number(Setting::SessionTtl)),
            session_idle_ttl: Minutes(number(Setting::SessionIdleTtl)),
            token_max_ttl: Minutes(number(Setting::TokenMaxTtl)),
            kubeconfig_ttl: Minutes(number(Setting::KubeconfigTtl)),
            kubeconfig_generate_token: is_true(Setting::KubeconfigGenerateToken),
            password_min_length: number(Setting::PasswordMinLength),
            token_quota: number(Setting::TokenQuota),
            client_impersonation: is_true(Setting::ClientImpersonation),
            values,
        }
    }

    /// The value as text.
    pub fn value(&self, setting: Setting) -> &str {
        self.values.get(&setting).map_or("", |effective| effective.value.as_str())
    }

    /// What would hold if nobody had set it.
    pub fn default_of(&self, setting: Setting) -> &str {
        self.values.get(&setting).map_or("", |effective| effective.default.as_str())
    }

    /// Who says so.
    pub fn source(&self, setting: Setting) -> Source {
        self.values.get(&setting).map_or(Source::Default, |effective| effective.source)
    }

    /// How long a session lives.
    pub fn session_ttl(&self) -> Minutes {
        self.session_ttl
    }

    /// How long a session may be unused.
    pub fn session_idle_ttl(&self) -> Minutes {
        self.session_idle_ttl
    }

    /// The longest life of a token of a bounded kind.
    pub fn token_max_ttl(&self) -> Minutes {
        self.token_max_ttl
    }

    /// How long a kubeconfig's token lives, before the maximum is applied.
    pub fn kubeconfig_ttl(&self) -> Minutes {
        self.kubeconfig_ttl
    }

    /// Whether a kubeconfig carries a token.
    pub fn kubeconfig_generate_token(&self) -> bool {
        self.kubeconfig_generate_token
    }

    /// The shortest password, in characters.
    pub fn password_min_length(&self) -> usize {
        usize::try_from(self.password_min_length).unwrap_or(usize::MAX)
    }

    /// How many tokens a user may have; `None` without a limit.
    pub fn token_quota(&self) -> Option<u32> {
        (self.token_quota != 0).then_some(self.token_quota)
    }

    /// Whether clients may impersonate, as far as the cluster's RBAC lets them.
    pub fn client_impersonation(&self) -> bool {
        self.client_impersonation
    }

    /// How clients reach the server: an origin without a path, and without a slash at its end.
    pub fn server_url(&self) -> &str {
        self.value(Setting::ServerUrl).trim_end_matches('/')
    }

    /// The certificate authorities that clients trust, in PEM; empty if they need none of ours.
    pub fn ca_certificates(&self) -> &str {
        self.value(Setting::CaCertificates)
    }

    /// The rule between two settings: the life of kubeconfigs' tokens within the maximum.
    pub fn check_pair(&self) -> Result<(), SettingError> {
        check_pair(self.kubeconfig_ttl, self.token_max_ttl)
    }
}

/// The conflict among `values` alone, if they say both halves of a pair and these don't go together.
pub fn first_conflict(values: &Values) -> Option<SettingError> {
    let both = [Setting::KubeconfigTtl, Setting::TokenMaxTtl].iter().all(|half| values.contains_key(half));
    if !both {
        return None;
    }
    Settings::of(values, &Values::new(), &Values::new()).check_pair().err()
}

/// Every value here has passed its check, and so has every default.
fn number(values: &BTreeMap<Setting, Effective>, setting: Setting) -> u32 {
    values.get(&setting).and_then(|effective| effective.value.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(Setting, &str)]) -> Values {
        pairs.iter().map(|(setting, value)| (*setting, (*value).to_owned())).collect()
    }

    #[test]
    fn the_environment_beats_the_store_and_the_store_the_default() {
        let environment = values(&[(Setting::SessionTtl, "10")]);
        let stored = values(&[(Setting::SessionTtl, "20"), (Setting::TokenMaxTtl, "30")]);
        let configured = values(&[(Setting::ServerUrl, "https://gate")]);
        let settings = Settings::of(&environment, &stored, &configured);
        assert_eq!(
            (settings.session_ttl(), settings.source(Setting::SessionTtl)),
            (Minutes(10), Source::Env)
        );
        assert_eq!(
            (settings.token_max_ttl(), settings.source(Setting::TokenMaxTtl)),
            (Minutes(30), Source::Store)
        );
        let idle = (settings.session_idle_ttl(), settings.source(Setting::SessionIdleTtl));
        assert_eq!(idle, (Minutes(960), Source::Default));
        assert_eq!(settings.server_url(), "https://gate");
        assert_eq!(
            (settings.value(Setting::ServerUrl), settings.default_of(Setting::ServerUrl)),
            ("https://gate", "https://gate")
        );
        assert_eq!(settings.default_of(Setting::TokenMaxTtl), "129600");
    }

    #[test]
    fn without_anything_set_everything_has_its_default() {
        let settings = Settings::of(&Values::new(), &Values::new(), &Values::new());
        assert_eq!(settings.session_ttl().millis(), 57_600_000);
        assert_eq!(
            (settings.token_max_ttl(), settings.kubeconfig_ttl()),
            (Minutes(129_600), Minutes(43_200))
        );
        assert!(settings.kubeconfig_generate_token() && !settings.client_impersonation());
        assert_eq!((settings.password_min_length(), settings.token_quota()), (12, Some(500)));
        assert_eq!(settings.check_pair(), Ok(()));
    }

    #[test]
    fn a_stored_value_that_cannot_be_is_none() {
        let stored = values(&[(Setting::TokenMaxTtl, "-5"), (Setting::PasswordMinLength, "0")]);
        let settings = Settings::of(&Values::new(), &stored, &Values::new());
        assert_eq!((settings.token_max_ttl(), settings.password_min_length()), (Minutes(129_600), 12));
        assert_eq!(settings.source(Setting::TokenMaxTtl), Source::Default);
    }

    #[test]
    fn only_what_is_said_can_be_in_conflict() {
        let both = values(&[(Setting::KubeconfigTtl, "61"), (Setting::TokenMaxTtl, "60")]);
        assert!(first_conflict(&both).is_some());
        assert_eq!(first_conflict(&values(&[(Setting::TokenMaxTtl, "60")])), None);
    }
}
