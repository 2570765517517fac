//! What kubectl says to a credential plugin and wants to hear from it (`client.authentication.k8s.io`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::trust;
use crate::clock::UnixMillis;
use crate::secret::Secret;

/// What kubectl says.
#[derive(Debug)]
pub(super) struct ExecInfo {
    api_version: String,
    /// Whether standard input may be used, which is kubectl's sign that there is somebody to ask.
    pub(super) interactive: bool,
    /// The certificates that the kubeconfig trusts, PEM; only with `provideClusterInfo: true`.
    pub(super) certificate_authority: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: String,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    interactive: Option<bool>,
    cluster: Option<ClusterInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterInfo {
    certificate_authority_data: Option<String>,
}

impl ExecInfo {
    /// From the environment; who starts the plugin by hand gets the newest version.
    pub(super) fn from_environment() -> Result<Self, CliError> {
        match std::env::var_os(VARIABLE) {
            Some(text) => Self::parse(text.as_encoded_bytes()),
            None => Ok(Self {
                api_version: VERSIONS[0].to_owned(),
                interactive: true,
                certificate_authority: None,
            }),
        }
    }

    fn parse(text: &[u8]) -> Result<Self, CliError> {
        let document: Document =
            serde_json::from_slice(text).map_err(|_| CliError::BadExecInfo("is not an ExecCredential"))?;
        if !VERSIONS.contains(&document.api_version.as_str()) {
            return Err(CliError::BadExecInfo("has a version other than v1 and v1beta1"));
        }
        let data = document.spec.cluster.and_then(|cluster| cluster.certificate_authority_data);
        let certificate_authority = match data.filter(|data| !data.is_empty()) {
            Some(data) => Some(authority(&data)?),
            None => None,
        };
        Ok(Self {
            api_version: document.api_version,
            interactive: document.spec.interactive.unwrap_or(true),
            certificate_authority,
        })
    }

    /// The answer: this token, until then.
    pub(super) fn answer(&self, token: &Secret, expires_at: Option<UnixMillis>) -> Value {
        let status = match expires_at {
            Some(moment) => json!({ "token": token.expose(), "expirationTimestamp": moment.to_string() }),
            None => json!({ "token": token.expose() }),
        };
        json!({ "apiVersion": self.api_version, "kind": "ExecCredential", "spec": {}, "status": status })
    }
}

fn authority(data: &str) -> Result<String, CliError> {
    let pem = STANDARD.decode(data).ok().and_then(|pem| trust::certificates(&pem));
    pem.ok_or(CliError::BadExecInfo("has certificate-authority-data without a certificate"))
}

const VARIABLE: &str = "KUBERNETES_EXEC_INFO";

const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(document: &Value) -> Result<ExecInfo, CliError> {
        ExecInfo::parse(document.to_string().as_bytes())
    }

    #[test]
    fn the_answer_has_the_version_of_the_question() {
        for version in VERSIONS {
            let info = parse(&json!({ "apiVersion": version, "spec": { "interactive": false } })).unwrap();
            assert!(!info.interactive);
            let answer = info.answer(&Secret::new("a:b"), Some(UnixMillis(1_767_323_045_999)));
            assert_eq!(answer["apiVersion"], version);
            assert_eq!(answer["status"]["expirationTimestamp"], "2026-01-02T03:04:05Z");
            assert_eq!(answer["status"]["token"], "a:b");
            let for_ever = info.answer(&Secret::new("a:b"), None);
            assert!(for_ever["status"].get("expirationTimestamp").is_none());
        }
    }

    #[test]
    fn other_questions_are_refused() {
        let newest = VERSIONS[0];
        for document in [
            json!({}),
            json!([]),
            json!({ "apiVersion": "client.authentication.k8s.io/v1alpha1" }),
            json!({ "apiVersion": newest, "spec": { "cluster": { "certificate-authority-data": "%" } } }),
            json!({ "apiVersion": newest, "spec": { "cluster": { "certificate-authority-data": "YWJj" } } }),
        ] {
            assert!(matches!(parse(&document), Err(CliError::BadExecInfo(_))), "{document}");
        }
        assert!(ExecInfo::parse(b"\xff").is_err());
    }

    #[test]
    fn without_cluster_info_nothing_is_believed_because_of_the_kubeconfig() {
        for spec in [json!({}), json!({ "cluster": {} }), json!({ "cluster": { "server": "https://a" } })] {
            let info = parse(&json!({ "apiVersion": VERSIONS[0], "spec": spec })).unwrap();
            assert_eq!(info.certificate_authority, None);
            assert!(info.interactive);
        }
    }
}
