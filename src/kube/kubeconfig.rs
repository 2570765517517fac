//! The text of a kubeconfig that carries a token, or has kubectl call `portcullis credential` for one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One cluster, one user, one context, all of one name.
#[derive(Clone)]
pub struct Kubeconfig<'a> {
    /// The name of all three.
    pub name: &'a str,
    /// The URL of the cluster, a path included if there is one.
    pub server: &'a str,
    /// The PEM certificates to trust; `None` trusts what the client's machine trusts.
    pub certificate_authority: Option<&'a str>,
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
        let (name, server, user) = (quoted(self.name), quoted(self.server), self.credential.to_yaml());
        let authority = self.certificate_authority.map_or_else(String::new, |pem| {
            format!("    certificate-authority-data: {}\n", quoted(&STANDARD.encode(pem)))
        });
        format!(
            "apiVersion: v1\nkind: Config\n\
             clusters:\n- name: {name}\n  cluster:\n    server: {server}\n{authority}\
             users:\n- name: {name}\n  user:\n{user}\
             contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\n\
             current-context: {name}\n"
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

    #[test]
    fn a_yaml_reader_finds_every_value_unchanged() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for name in ["local", "no", "1e3", "a: b", "\"", "\\", "a\nb", "ä", "#x"] {
            let kubeconfig = Kubeconfig {
                name,
                server: "https://gate:8443/k8s/clusters/local",
                certificate_authority: Some(pem),
                credential: KubeconfigCredential::Token("kubeconfig-user-bcdfgbcdfg:key"),
            };
            let value = read(&kubeconfig);
            assert_eq!(value["current-context"], name);
            assert_eq!(value["contexts"][0]["context"]["cluster"], name);
            assert_eq!(value["contexts"][0]["context"]["user"], value["users"][0]["name"]);
            assert_eq!(value["users"][0]["user"]["token"], "kubeconfig-user-bcdfgbcdfg:key");
            let cluster = &value["clusters"][0]["cluster"];
            assert_eq!(cluster["server"], kubeconfig.server);
            let data = cluster["certificate-authority-data"].as_str().unwrap();
            assert_eq!(STANDARD.decode(data).unwrap(), pem.as_bytes());
        }
    }

    #[test]
    fn without_an_authority_of_ours_the_client_uses_its_own() {
        let kubeconfig = Kubeconfig {
            name: "local",
            server: "https://gate",
            certificate_authority: None,
            credential: KubeconfigCredential::Token("t"),
        };
        assert_eq!(
            read(&kubeconfig)["clusters"][0]["cluster"],
            serde_json::json!({ "server": "https://gate" })
        );
    }

    #[test]
    fn without_a_token_kubectl_calls_the_plugin() {
        let kubeconfig = Kubeconfig {
            name: "local",
            server: "https://gate/k8s/clusters/local",
            certificate_authority: None,
            credential: KubeconfigCredential::Plugin { server: "https://gate", cluster: "local" },
        };
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
