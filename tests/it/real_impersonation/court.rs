//! A gate that lets clients impersonate, the apiserver behind it, and callers of both with the same rights.

use std::sync::{Arc, Weak};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::cluster::Cluster;
use crate::real_gate::{RealGate, run_with_input, succeed};
use crate::support::PATIENCE;
use crate::support::accounts::Account;
use crate::support::wire::{Endpoint, Http1, Response};

const SETTING: &str = "/v3/settings/client-impersonation";
const WHO_AM_I: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// Header lines.
pub(super) type Lines = Vec<(String, String)>;

/// A gate that lets clients impersonate, and the apiserver behind it.
pub(super) struct Court {
    pub(super) gate: RealGate,
    apiserver: Endpoint,
}

/// Two callers with the same rights: a user of the gate, and a service account that asks the apiserver itself.
pub(super) struct Pair {
    pub(super) user: Account,
    pub(super) token: String,
}

impl Court {
    async fn open() -> Self {
        let gate = RealGate::start().await;
        let set = gate.api("PUT", SETTING, &json!({ "value": "true" })).await;
        assert_eq!(set.status, 200, "{}", set.text());
        grant_extras(gate.cluster);
        let address = gate.cluster.server().strip_prefix("https://").unwrap().parse().unwrap();
        let ca_pem = std::fs::read_to_string(gate.cluster.ca_file()).unwrap().into();
        Self { gate, apiserver: Endpoint { address, ca_pem } }
    }

    /// Two callers with these rules.
    pub(super) async fn pair(&self, name: &str, rules: &Value) -> Pair {
        let cluster = self.gate.cluster;
        let user = self.gate.account(name, &[]).await;
        let binding = json!([
            { "kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io" },
            { "kind": "ServiceAccount", "name": name, "namespace": "default" },
        ]);
        apply(
            cluster,
            &json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": "default" } }),
        );
        apply(cluster, &cluster_role(name, rules));
        apply(cluster, &cluster_role_binding(name, &binding));
        let token = succeed(cluster.kubectl().args(["create", "token", name, "--namespace=default"]));
        Pair { user, token: token.trim().to_owned() }
    }

    /// Who the apiserver says that this is, asked through the gate and asked directly.
    pub(super) async fn both(&self, pair: &Pair, lines: &[(String, String)]) -> [Response; 2] {
        let through = ask(&self.gate.gate.endpoint, &pair.user.bearer, lines).await;
        [through, ask(&self.apiserver, &pair.token, lines).await]
    }

    /// The same with one credential for both.
    pub(super) async fn both_by(&self, bearer: &str, lines: &[(String, String)]) -> [Response; 2] {
        let through = ask(&self.gate.gate.endpoint, bearer, lines).await;
        [through, ask(&self.apiserver, bearer, lines).await]
    }

    /// Waits until the rules that were given last are known to the apiserver, by a request that needs them.
    pub(super) async fn until_allowed(&self, pair: &Pair, lines: &[(String, String)]) {
        let allowed = async || ask(&self.apiserver, &pair.token, lines).await.status == 201;
        self.gate.gate.wait_until("allowed to impersonate", allowed).await;
    }
}

/// The gate that the tests here share: none of them changes what the others see. It ends with the last of those that run
/// at the same time.
pub(super) async fn court() -> Arc<Court> {
    static SHARED: Mutex<Weak<Court>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(court) = shared.upgrade() {
        return court;
    }
    let court = Arc::new(Court::open().await);
    *shared = Arc::downgrade(&court);
    court
}

async fn ask(endpoint: &Endpoint, bearer: &str, lines: &[(String, String)]) -> Response {
    let authorization = format!("Bearer {bearer}");
    let mut all = vec![("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    all.extend(lines.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let body = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
    Http1::connect(endpoint).await.request("POST", WHO_AM_I, &all, body.as_bytes()).await
}

/// The user of an answer, without what the gate adds.
pub(super) fn user(response: &Response) -> Value {
    let mut user = response.json()["status"]["userInfo"].clone();
    if let Some(extra) = user.get_mut("extra").and_then(Value::as_object_mut) {
        extra.retain(|key, _| !key.starts_with("portcullis.dev/"));
        if extra.is_empty() {
            user.as_object_mut().unwrap().remove("extra");
        }
    }
    user
}

pub(super) fn lines(user: &str, groups: &[&str], uid: Option<&str>, extras: &[(&str, &str)]) -> Lines {
    let mut lines = vec![("Impersonate-User".to_owned(), user.to_owned())];
    lines.extend(groups.iter().map(|group| ("Impersonate-Group".to_owned(), (*group).to_owned())));
    lines.extend(uid.map(|uid| ("Impersonate-Uid".to_owned(), uid.to_owned())));
    lines.extend(extras.iter().map(|(key, value)| (format!("Impersonate-Extra-{key}"), (*value).to_owned())));
    lines
}

pub(super) fn rule(api_group: &str, resources: &[&str], names: &[&str]) -> Value {
    let mut rule = json!({ "apiGroups": [api_group], "resources": resources, "verbs": ["impersonate"] });
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

fn cluster_role(name: &str, rules: &Value) -> Value {
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name }, "rules": rules })
}

fn cluster_role_binding(name: &str, subjects: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": subjects,
    })
}

fn apply(cluster: &Cluster, object: &Value) {
    let applied =
        run_with_input(cluster.kubectl().args(["apply", "--filename", "-"]), object.to_string().as_bytes());
    assert!(applied.status.success(), "{applied:?}");
}

/// As its operator would: the extras that the gate may pass on, and no others.
fn grant_extras(cluster: &'static Cluster) {
    const NAME: &str = "portcullis-extras-of-tests";
    let keys =
        ["scopes", "example.com/a/b", "example.com/escapedᛄscopes", "almost%zzpercent%xxencoded", "100%"];
    let resources: Vec<_> = keys.iter().map(|key| format!("userextras/{key}")).collect();
    let resources: Vec<_> = resources.iter().map(String::as_str).collect();
    apply(cluster, &cluster_role(NAME, &json!([rule("authentication.k8s.io", &resources, &[])])));
    let gate = json!([{ "kind": "ServiceAccount", "name": "portcullis", "namespace": "portcullis" }]);
    apply(cluster, &cluster_role_binding(NAME, &gate));
    // An apiserver hears of rules a moment after they are stored.
    let start = Instant::now();
    while !may_pass_on_scopes(cluster) {
        assert!(start.elapsed() < PATIENCE, "the grant is not known");
    }
}

fn may_pass_on_scopes(cluster: &Cluster) -> bool {
    let question = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": "system:serviceaccount:portcullis:portcullis",
            "resourceAttributes": {
                "verb": "impersonate", "group": "authentication.k8s.io", "resource": "userextras", "subresource": "scopes",
            },
        },
    });
    let mut create = cluster.kubectl();
    create.args(["create", "--raw", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "--filename", "-"]);
    let answer = run_with_input(&mut create, question.to_string().as_bytes());
    serde_json::from_slice::<Value>(&answer.stdout).unwrap()["status"]["allowed"] == true
}
