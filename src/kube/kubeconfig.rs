//! The text of a kubeconfig whose contexts carry tokens, or have kubectl call `portcullis credential` for them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Contexts of one server, each with a cluster and a user of its own name.
#[derive(Clone)]
pub struct Kubeconfig<'a> {
    /// In the order in which they are written.
    pub contexts: Vec<KubeconfigContext<'a>>,
    /// The name of the context that kubectl takes.
    pub current: &'a str,
    /// The PEM certificates to trust; `None` trusts what the client's machine trusts.
    pub certificate_authority: Option<&'a str>,
}

/// One cluster, one user, one context, all of one name.
#[derive(Clone)]
pub struct KubeconfigContext<'a> {
    /// The name of all three.
    pub name: &'a str,
    /// The URL of the cluster, a path included if there is one.
    pub server: String,
    /// How its user is known to the cluster.
    pub credential: KubeconfigCredential<'a>,
}

/// What kubectl presents.
#[derive(Clone)]
pub enum KubeconfigCredential<'a> {
    /// This token: the whole text is as secret as it is.
    Token(&'a str),
    /// What the credential plugin gives it, which asks for a password when it has to.
    Plugin {
        /// The URL of the server that gives tokens.
        server: &'a str,
        /// The id of the cluster.
        cluster: &'a str,
    },
}

impl Kubeconfig<'_> {
    /// The YAML text. Every value is quoted: a name such as `no` or `1e3` must not change its type.
    pub fn to_yaml(&self) -> String {
        let authority = self.certificate_authority.map_or_else(String::new, |pem| {
            format!("    certificate-authority-data: {}\n", quoted(&STANDARD.encode(pem)))
        });
        let (mut clusters, mut users, mut contexts) = (String::new(), String::new(), String::new());
        for context in &self.contexts {
            let (name, server) = (quoted(context.name), quoted(&context.server));
            // Writing to a text can't fail.
            let _ = write!(clusters, "- name: {name}\n  cluster:\n    server: {server}\n{authority}");
            let _ = write!(users, "- name: {name}\n  user:\n{}", context.credential.to_yaml());
            let _ = write!(contexts, "- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\n");
        }
        let current = quoted(self.current);
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n{clusters}users:\n{users}contexts:\n{contexts}\
             current-context: {current}\n"
        )
    }
}

impl KubeconfigCredential<'_> {
    fn to_yaml(&self) -> String {
        match self {
            Self::Token(token) => format!("    token: {}\n", quoted(token)),
            // With the cluster's information the plugin trusts the authority that stands in this file.
            Self::Plugin { server, cluster } => format!(
                "    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: portcullis\n      \
                 args:\n      - credential\n      - {}\n      - {}\n      \
                 interactiveMode: IfAvailable\n      provideClusterInfo: true\n      \
                 installHint: {}\n",
                quoted(&format!("--server={server}")),
                quoted(&format!("--cluster={cluster}")),
                quoted(INSTALL_HINT),
            ),
        }
    }
}

/// What kubectl says where the plugin is not installed.
const INSTALL_HINT: &str = "This kubeconfig gets its tokens from portcullis, which is not in your PATH. \
    Install the portcullis command, or ask for a kubeconfig with a token in it.";

/// A JSON string is a double-quoted YAML scalar.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kubeconfig: &Kubeconfig<'_>) -> serde_json::Value {
        serde_saphyr::from_str(&kubeconfig.to_yaml()).unwrap()
    }

    fn context<'a>(name: &'a str, credential: KubeconfigCredential<'a>) -> KubeconfigContext<'a> {
        KubeconfigContext { name, server: format!("https://gate:8443/k8s/clusters/{name}"), credential }
    }

    #[test]
    fn a_yaml_reader_finds_every_value_unchanged() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for name in ["local", "no", "1e3", "a: b", "\"", "\\", "a\nb", "ä", "#x"] {
            let token = KubeconfigCredential::Token("kubeconfig-user-bcdfgbcdfg:key");
            let contexts = vec![context(name, token)];
            let server = contexts[0].server.clone();
            let value = read(&Kubeconfig { contexts, current: name, certificate_authority: Some(pem) });
            assert_eq!(value["current-context"], name);
            assert_eq!(value["contexts"][0]["context"]["cluster"], name);
            assert_eq!(value["contexts"][0]["context"]["user"], value["users"][0]["name"]);
            assert_eq!(value["users"][0]["user"]["token"], "kubeconfig-user-bcdfgbcdfg:key");
            let cluster = &value["clusters"][0]["cluster"];
            assert_eq!(cluster["server"], server);
            let data = cluster["certificate-authority-data"].as_str().unwrap();
            assert_eq!(STANDARD.decode(data).unwrap(), pem.as_bytes());
        }
    }

    #[test]
    fn each_context_has_a_cluster_and_a_user_of_its_name() {
        let names = ["local", "eu-1"];
        let contexts = names.map(|name| context(name, KubeconfigCredential::Token(name))).to_vec();
        let value = read(&Kubeconfig { contexts, current: "eu-1", certificate_authority: None });
        assert_eq!(value["current-context"], "eu-1");
        for (place, name) in names.into_iter().enumerate() {
            assert_eq!(value["contexts"][place]["name"], name);
            assert_eq!(
                value["contexts"][place]["context"],
                serde_json::json!({ "cluster": name, "user": name })
            );
            assert_eq!(value["users"][place], serde_json::json!({ "name": name, "user": { "token": name } }));
            let server = format!("https://gate:8443/k8s/clusters/{name}");
            assert_eq!(value["clusters"][place]["cluster"], serde_json::json!({ "server": server }));
        }
    }

    #[test]
    fn without_a_token_kubectl_calls_the_plugin() {
        let plugin = KubeconfigCredential::Plugin { server: "https://gate", cluster: "local" };
        let contexts = vec![context("local", plugin)];
        let kubeconfig = Kubeconfig { contexts, current: "local", certificate_authority: None };
        let user = &read(&kubeconfig)["users"][0]["user"];
        let exec = &user["exec"];
        assert_eq!(user.as_object().unwrap().len(), 1);
        assert_eq!(exec["apiVersion"], "client.authentication.k8s.io/v1");
        assert_eq!(exec["command"], "portcullis");
        assert_eq!(
            exec["args"],
            serde_json::json!(["credential", "--server=https://gate", "--cluster=local"])
        );
        assert_eq!(
            (&exec["interactiveMode"], &exec["provideClusterInfo"]),
            (&"IfAvailable".into(), &true.into())
        );
        assert!(exec["installHint"].as_str().unwrap().contains("portcullis"));
    }
}
