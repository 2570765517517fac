//! Tokens that are asked for from outside the cluster.

use std::time::Instant;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::json;

use super::{BOUND_OF_BOTH, PAUSE, Served, certificates};
use crate::real_gate::{fail, run_with_input, succeed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_rs_works_with_a_token_that_was_asked_for_from_outside() {
    let served = Served::start("outside", &[]).await;
    let token = served.token(&[]);
    let mut config = Config::new(format!("https://{}", served.gate.endpoint.address).parse().unwrap());
    config.root_cert = Some(certificates(served.gate.endpoint.ca_pem.as_bytes()));
    config.auth_info.token = Some(token.into());
    let api: Api<ConfigMap> = Api::namespaced(Client::try_from(config).unwrap(), &served.namespace);
    let made: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "by-kube-rs" } })).unwrap();
    api.create(&PostParams::default(), &made).await.unwrap();
    let names: Vec<_> = api.list(&ListParams::default()).await.unwrap().items;
    assert!(names.iter().any(|map| map.metadata.name.as_deref() == Some("by-kube-rs")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_somebody_else_a_forged_one_and_one_of_a_deleted_account_are_refused() {
    let served = Served::start("refused", &[]).await;
    let good = served.token(&[]);
    assert_eq!(served.status(&good).await, 200);
    assert_eq!(served.status(&served.token(&["--audience=another"])).await, 401);
    assert_eq!(served.status(&forged(&good)).await, 401);
    let legacy = legacy_token(&served);
    assert_eq!(served.status(&legacy).await, 200, "the apiserver takes it for its own audience");

    served.kubectl(&["delete", "serviceaccount", "client"]);
    let start = Instant::now();
    while served.status(&good).await != 401 || served.status(&legacy).await != 401 {
        assert!(start.elapsed() < BOUND_OF_BOTH, "still accepted after {:?}", start.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_audiences_of_our_own_a_token_has_to_be_meant_for_us() {
    let served = Served::start("audience", &[("serviceAccounts", "{ audiences: [portcullis] }")]).await;
    assert_eq!(served.status(&served.token(&["--audience=portcullis"])).await, 200);
    let default = served.token(&[]);
    assert_eq!(served.status(&default).await, 401);
    assert_eq!(served.status(&legacy_token(&served)).await, 401, "it is meant for nobody by name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passed_through_token_is_the_account_itself_to_the_cluster() {
    let served = Served::start("passed", &[("cluster", "{ serviceAccounts: passthrough }")]).await;
    let token = served.token(&[]);
    let ca = served.ca_file();
    let kubectl = |args: &[&str]| {
        let mut command = served.cluster.bare_kubectl();
        let url = format!("https://{}", served.gate.endpoint.address);
        command.args(["--server", &url, "--token", &token, "--certificate-authority"]).arg(&ca).args(args);
        command
    };
    let who = succeed(&mut kubectl(&["auth", "whoami", "--output", "jsonpath={.status.userInfo.username}"]));
    assert_eq!(who, served.username());
    let said = fail(&mut kubectl(&["get", "nodes"]));
    assert!(said.contains("Forbidden") && said.contains(&served.username()), "{said}");
}

/// A token that stands in a secret, as Kubernetes made them before it had `TokenRequest`.
fn legacy_token(served: &Served) -> String {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": { "name": "legacy", "annotations": { "kubernetes.io/service-account.name": "client" } },
    });
    let mut create = served.cluster.kubectl();
    create.args(["--namespace", &served.namespace, "create", "--filename", "-"]);
    assert!(run_with_input(&mut create, secret.to_string().as_bytes()).status.success());
    served.kubectl(&["wait", "--for=jsonpath={.data.token}", "secret/legacy", "--timeout=30s"]);
    let template = "--output=go-template={{.data.token | base64decode}}";
    let token = served.kubectl(&["get", "secret", "legacy", template]);
    served.gate.keep_secret(&token);
    token
}

/// What `token` says, with another signature.
pub(super) fn forged(token: &str) -> String {
    let (claims, signature) = token.rsplit_once('.').unwrap();
    let mut forged: Vec<char> = signature.chars().collect();
    forged.swap(10, 11);
    forged.reverse();
    format!("{claims}.{}", forged.iter().collect::<String>())
}
