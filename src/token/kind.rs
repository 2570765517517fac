//! Kinds of tokens: what each is for, how it is called, who makes it, and how long it lives.

/// What a token is for. The kind decides the name's prefix, the lifetime and who may make it: see [`KindRules`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TokenKind {
    /// Made by a login with a password; ends with the session.
    Session,
    /// Made on purpose by its owner, for a program.
    ApiKey,
    /// Carried by a kubeconfig that was handed out.
    Kubeconfig,
    /// A shell with kubectl in a browser.
    KubectlShell,
    /// The deployment of an agent.
    Agent,
    /// The import of a compose file.
    Compose,
    /// The deployment of a chart.
    Helm,
    /// Reads our own metrics, and nothing else.
    Telemetry,
    /// The draining of a node.
    DrainNode,
}

/// The rules of one kind.
#[derive(Debug)]
pub struct KindRules {
    /// The kind as it is stored and shown.
    pub text: &'static str,
    /// The name for people, without its random end.
    pub pattern: &'static str,
    /// What the name begins with.
    pub prefix: &'static str,
    /// Whether the owner's id follows the prefix.
    pub names_owner: bool,
    /// Who may make one.
    pub maker: Maker,
    /// How long it lives if nobody asks for anything else.
    pub default_ttl: DefaultTtl,
    /// Whether the setting `auth-token-max-ttl-minutes` bounds its life.
    pub bounded: bool,
    /// Whether it was derived from another credential, as Rancher's API calls all that is no session.
    pub derived: bool,
}

/// Who may make a token of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// A login, with a password.
    Login,
    /// Everybody for themselves.
    Owner,
    /// Administrators for anybody; others for themselves, if the token is leased: it is gone soon after its command.
    OwnerWithLease,
    /// Administrators, for anybody.
    Administrator,
}

/// How long a token lives if nobody asks for anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultTtl {
    /// As long as a session.
    Session,
    /// As long as the setting for kubeconfigs says.
    Kubeconfig,
    /// As long as any may.
    Maximum,
    /// For ever.
    Never,
}

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Session,
        Self::ApiKey,
        Self::Kubeconfig,
        Self::KubectlShell,
        Self::Agent,
        Self::Compose,
        Self::Helm,
        Self::Telemetry,
        Self::DrainNode,
    ];

    /// The rules of this kind.
    pub const fn rules(self) -> &'static KindRules {
        match self {
            Self::Session => &SESSION,
            Self::ApiKey => &API_KEY,
            Self::Kubeconfig => &KUBECONFIG,
            Self::KubectlShell => &KUBECTL_SHELL,
            Self::Agent => &AGENT,
            Self::Compose => &COMPOSE,
            Self::Helm => &HELM,
            Self::Telemetry => &TELEMETRY,
            Self::DrainNode => &DRAIN_NODE,
        }
    }

    /// The kind as it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        self.rules().text
    }

    /// The kind that [`as_str`](Self::as_str) gives this text for.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

const SESSION: KindRules = KindRules {
    text: "session",
    pattern: "token-",
    prefix: "token-",
    names_owner: false,
    maker: Maker::Login,
    default_ttl: DefaultTtl::Session,
    bounded: false,
    derived: false,
};

const API_KEY: KindRules = KindRules {
    text: "api-key",
    pattern: "token-",
    prefix: "token-",
    names_owner: false,
    maker: Maker::Owner,
    default_ttl: DefaultTtl::Maximum,
    bounded: true,
    derived: true,
};

const KUBECONFIG: KindRules = KindRules {
    text: "kubeconfig",
    pattern: "kubeconfig-<userId>",
    prefix: "kubeconfig-",
    names_owner: true,
    maker: Maker::Owner,
    default_ttl: DefaultTtl::Kubeconfig,
    bounded: true,
    derived: true,
};

/// What the kinds that do a job of the system have in common: they live until the job ends them.
const SYSTEM: KindRules = KindRules {
    text: "",
    pattern: "",
    prefix: "",
    names_owner: false,
    maker: Maker::Administrator,
    default_ttl: DefaultTtl::Never,
    bounded: false,
    derived: true,
};

const KUBECTL_SHELL: KindRules = KindRules {
    text: "kubectl-shell",
    pattern: "kubectl-shell-<userId>",
    prefix: "kubectl-shell-",
    names_owner: true,
    maker: Maker::OwnerWithLease,
    ..SYSTEM
};

const AGENT: KindRules =
    KindRules { text: "agent", pattern: "agent-<userId>", prefix: "agent-", names_owner: true, ..SYSTEM };

const COMPOSE: KindRules = KindRules {
    text: "compose-token",
    pattern: "compose-token-",
    prefix: "compose-token-",
    maker: Maker::OwnerWithLease,
    ..SYSTEM
};

const HELM: KindRules = KindRules {
    text: "helm-token",
    pattern: "helm-token-<userId>",
    prefix: "helm-token-",
    names_owner: true,
    maker: Maker::OwnerWithLease,
    ..SYSTEM
};

const TELEMETRY: KindRules =
    KindRules { text: "telemetry", pattern: "telemetry-", prefix: "telemetry-", ..SYSTEM };

const DRAIN_NODE: KindRules = KindRules {
    text: "drain-node",
    pattern: "drain-node-",
    prefix: "drain-node-",
    maker: Maker::OwnerWithLease,
    ..SYSTEM
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_text() {
        for kind in TokenKind::ALL {
            assert_eq!(TokenKind::from_text(kind.as_str()), Some(kind));
        }
        assert_eq!(TokenKind::from_text("other"), None);
        assert_eq!(TokenKind::from_text(""), None);
    }

    #[test]
    fn the_documentation_lists_every_kind() {
        let row = |kind: TokenKind| {
            let rules = kind.rules();
            let maker = match rules.maker {
                Maker::Login => "a login",
                Maker::Owner => "its owner",
                Maker::OwnerWithLease => "administrators; its owner, on a lease",
                Maker::Administrator => "administrators",
            };
            let life = match rules.default_ttl {
                DefaultTtl::Session => "`auth-user-session-ttl-minutes`",
                DefaultTtl::Kubeconfig => "`kubeconfig-default-token-ttl-minutes`",
                DefaultTtl::Maximum => "the maximum",
                DefaultTtl::Never => "for ever",
            };
            let bounded = if rules.bounded { "yes" } else { "no" };
            format!("| `{}` | `{}` | {maker} | {life} | {bounded} |\n", rules.text, rules.pattern)
        };
        let head =
            "| kind | name | made by | lives by default | bounded by the maximum |\n|---|---|---|---|---|\n";
        let table = head.to_owned() + &TokenKind::ALL.map(row).concat() + "\n";
        let text = include_str!("../../docs/tokens.md");
        assert!(text.contains(&table), "the table in docs/tokens.md should be:\n{table}");
    }

    #[test]
    fn what_lives_for_ever_by_default_is_made_by_administrators_or_on_a_lease() {
        let for_ever: Vec<_> = TokenKind::ALL
            .into_iter()
            .filter(|kind| kind.rules().default_ttl == DefaultTtl::Never)
            .map(TokenKind::as_str)
            .collect();
        assert_eq!(
            for_ever,
            ["kubectl-shell", "agent", "compose-token", "helm-token", "telemetry", "drain-node"]
        );
        for kind in TokenKind::ALL {
            let rules = kind.rules();
            let system = matches!(rules.maker, Maker::Administrator | Maker::OwnerWithLease);
            assert_eq!(rules.default_ttl == DefaultTtl::Never, system, "{kind:?}");
            assert!(
                !(rules.bounded && system),
                "{kind:?}: the maximum is for what people make for themselves"
            );
        }
    }
}
