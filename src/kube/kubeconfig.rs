//! The text of a kubeconfig that carries a token.

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
    /// The token to present: the whole text is as secret as this.
    pub token: &'a str,
}

impl Kubeconfig<'_> {
    /// The YAML text. Every value is quoted: a name such as `no` or `1e3` must not change its type.
    pub fn to_yaml(&self) -> String {
        let (name, server, token) = (quoted(self.name), quoted(self.server), quoted(self.token));
        let authority = self.certificate_authority.map_or_else(String::new, |pem| {
            format!("    certificate-authority-data: {}\n", quoted(&STANDARD.encode(pem)))
        });
        format!(
            "apiVersion: v1\nkind: Config\n\
             clusters:\n- name: {name}\n  cluster:\n    server: {server}\n{authority}\
             users:\n- name: {name}\n  user:\n    token: {token}\n\
             contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\n\
             current-context: {name}\n"
        )
    }
}

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
                token: "kubeconfig-user-bcdfgbcdfg:key",
            };
            let value = read(&kubeconfig);
            assert_eq!(value["current-context"], name);
            assert_eq!(value["contexts"][0]["context"]["cluster"], name);
            assert_eq!(value["contexts"][0]["context"]["user"], value["users"][0]["name"]);
            assert_eq!(value["users"][0]["user"]["token"], kubeconfig.token);
            let cluster = &value["clusters"][0]["cluster"];
            assert_eq!(cluster["server"], kubeconfig.server);
            let data = cluster["certificate-authority-data"].as_str().unwrap();
            assert_eq!(STANDARD.decode(data).unwrap(), pem.as_bytes());
        }
    }

    #[test]
    fn without_an_authority_of_ours_the_client_uses_its_own() {
        let kubeconfig =
            Kubeconfig { name: "local", server: "https://gate", certificate_authority: None, token: "t" };
        assert_eq!(
            read(&kubeconfig)["clusters"][0]["cluster"],
            serde_json::json!({ "server": "https://gate" })
        );
    }
}
