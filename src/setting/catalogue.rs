//! Every setting there is.

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// How long a session lives.
    SessionTtl,
    /// How long a session may be unused.
    SessionIdleTtl,
    /// The longest life of a token that is neither a session nor of the system.
    TokenMaxTtl,
    /// How long a token in a kubeconfig lives.
    KubeconfigTtl,
    /// Whether kubeconfigs carry a token, or call the credential helper.
    KubeconfigGenerateToken,
    /// The shortest password, in characters.
    PasswordMinLength,
    /// How clients reach us, as kubeconfigs say it.
    ServerUrl,
    /// The certificate authorities by which clients know us, as kubeconfigs say it.
    CaCertificates,
    /// How many tokens one user may have.
    TokenQuota,
    /// Whether clients may impersonate, as far as the cluster's RBAC lets them.
    ClientImpersonation,
}

/// What is fixed about a setting.
struct Definition {
    name: &'static str,
    unit: &'static str,
    default: &'static str,
    description: &'static str,
}

impl Setting {
    /// Every setting, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::SessionTtl,
        Self::SessionIdleTtl,
        Self::TokenMaxTtl,
        Self::KubeconfigTtl,
        Self::KubeconfigGenerateToken,
        Self::PasswordMinLength,
        Self::TokenQuota,
        Self::ClientImpersonation,
        Self::ServerUrl,
        Self::CaCertificates,
    ];

    /// The name, as in Rancher where Rancher has it.
    pub const fn name(self) -> &'static str {
        self.definition().name
    }

    /// The setting of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// What its value counts, or is.
    pub const fn unit(self) -> &'static str {
        self.definition().unit
    }

    /// The value that holds when nobody sets one; empty where the server's configuration says it.
    pub const fn default(self) -> &'static str {
        self.definition().default
    }

    /// One sentence on what it does.
    pub const fn description(self) -> &'static str {
        self.definition().description
    }

    /// The environment variable that sets it, and fixes it.
    pub fn environment(self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.name().replace('-', "_").to_ascii_uppercase())
    }

    const fn definition(self) -> &'static Definition {
        match self {
            Self::SessionTtl => &SESSION_TTL,
            Self::SessionIdleTtl => &SESSION_IDLE_TTL,
            Self::TokenMaxTtl => &TOKEN_MAX_TTL,
            Self::KubeconfigTtl => &KUBECONFIG_TTL,
            Self::KubeconfigGenerateToken => &KUBECONFIG_GENERATE_TOKEN,
            Self::PasswordMinLength => &PASSWORD_MIN_LENGTH,
            Self::ServerUrl => &SERVER_URL,
            Self::CaCertificates => &CA_CERTIFICATES,
            Self::TokenQuota => &TOKEN_QUOTA,
            Self::ClientImpersonation => &CLIENT_IMPERSONATION,
        }
    }
}

/// What the variables of all settings begin with.
pub const ENVIRONMENT_PREFIX: &str = "PORTCULLIS_SETTING_";

const SESSION_TTL: Definition = Definition {
    name: "auth-user-session-ttl-minutes",
    unit: "minutes",
    default: "960",
    description: "How long a session lives after its login; 0: for ever. The maximum for tokens does not bound it",
};

const SESSION_IDLE_TTL: Definition = Definition {
    name: "auth-user-session-idle-ttl-minutes",
    unit: "minutes",
    default: "960",
    description: "How long a session may be unused before it ends; 0: as long as it lives",
};

const TOKEN_MAX_TTL: Definition = Definition {
    name: "auth-token-max-ttl-minutes",
    unit: "minutes",
    default: "129600",
    description: "The longest life of an API key or a kubeconfig's token; 0: no maximum",
};

const KUBECONFIG_TTL: Definition = Definition {
    name: "kubeconfig-default-token-ttl-minutes",
    unit: "minutes",
    default: "43200",
    description: "How long the token in a generated kubeconfig lives; 0: for ever. At most the maximum",
};

const KUBECONFIG_GENERATE_TOKEN: Definition = Definition {
    name: "kubeconfig-generate-token",
    unit: "true/false",
    default: "true",
    description: "Whether a generated kubeconfig carries a token; false: it asks for a login when it is used",
};

const PASSWORD_MIN_LENGTH: Definition = Definition {
    name: "password-min-length",
    unit: "characters",
    default: "12",
    description: "The shortest password that is taken",
};

const TOKEN_QUOTA: Definition = Definition {
    name: "token-quota-per-user",
    unit: "tokens",
    default: "500",
    description: "How many tokens one user may have, sessions and expired ones not counted; 0: no limit",
};

const CLIENT_IMPERSONATION: Definition = Definition {
    name: "client-impersonation",
    unit: "true/false",
    default: "false",
    description: "Whether clients may impersonate (kubectl --as) whom the cluster's RBAC lets them; false: nobody",
};

const SERVER_URL: Definition = Definition {
    name: "server-url",
    unit: "URL",
    default: "",
    description: "How clients reach the server, for kubeconfigs; default: as configured",
};

const CA_CERTIFICATES: Definition = Definition {
    name: "cacerts",
    unit: "PEM",
    default: "",
    description: "Certificate authorities that clients trust, for kubeconfigs; default: the server's own",
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_give_the_variable() {
        let names: BTreeSet<_> = Setting::ALL.iter().map(|setting| setting.name()).collect();
        assert_eq!(names.len(), Setting::ALL.len());
        for setting in Setting::ALL {
            assert_eq!(Setting::from_name(setting.name()), Some(setting));
            assert!(!setting.description().ends_with('.'));
        }
        assert_eq!(Setting::from_name("server-version"), None);
        assert_eq!(Setting::TokenMaxTtl.environment(), "PORTCULLIS_SETTING_AUTH_TOKEN_MAX_TTL_MINUTES");
        assert_eq!(Setting::CaCertificates.environment(), "PORTCULLIS_SETTING_CACERTS");
    }

    #[test]
    fn the_readme_lists_every_setting() {
        let row = |setting: &Setting| {
            let (name, unit, default) = (setting.name(), setting.unit(), setting.default());
            format!("| `{name}` | {unit} | {default} | {} |\n", setting.description())
        };
        let head = "| setting | unit | default | what it is |\n|---|---|---|---|\n";
        let table = head.to_owned() + &Setting::ALL.iter().map(row).collect::<String>() + "\n";
        assert!(
            include_str!("../../README.md").contains(&table),
            "the table in README.md should be:\n{table}"
        );
    }
}
