//! Two real control planes behind one gate: added while it runs, used by one kubeconfig, and taken away again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::person::Person;
use crate::real_gate::{RealGate, Running, fail, service_account, succeed};
use crate::support::wire::Http1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters_are_used_by_one_kubeconfig_and_the_files_other_contexts_stay() {
    let (gate, admin) = gate_and_administrator("pilot").await;
    add(&admin, "travel", &[]);
    let person = Person::new(&gate, "traveller", &[]).await;
    for cluster in [gate.cluster, Cluster::second()] {
        may_view(cluster, "traveller");
    }
    person.log_in();
    let file = fs::read_to_string(gate.cluster.kubeconfig()).unwrap();
    fs::write(person.file("both.yaml"), &file).unwrap();
    let merged = ["kubeconfig", "travel", "local", "--merge", "--output-file", "both.yaml"];
    succeed(&mut person.portcullis(&merged));
    assert_eq!(who_am_i(&person, "both.yaml", &[]), "kubernetes-admin", "its current context stays");
    for (context, cluster) in [("local", gate.cluster), ("travel", Cluster::second())] {
        let at = ["--context", context];
        assert_eq!(who_am_i(&person, "both.yaml", &at), "traveller");
        let uid = succeed(kubectl(&person, "both.yaml", &at).args(UID));
        assert_eq!(uid, succeed(cluster.kubectl().args(UID)), "{context} is the cluster of this name");
    }
    assert_eq!(person.tokens("kubeconfig-").await.len(), 1, "one token for both");

    let current = [&merged[..], &["--current", "travel", "--reuse"]].concat();
    succeed(&mut person.portcullis(&current));
    assert_eq!(who_am_i(&person, "both.yaml", &[]), "traveller");
    assert_eq!(person.tokens("kubeconfig-").await.len(), 1, "the same token again");
    delete(&admin, "travel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_one_cluster_is_refused_at_the_other_and_by_the_api() {
    let (gate, admin) = gate_and_administrator("divider").await;
    let id = add(&admin, "scoped", &[]);
    let person = Person::new(&gate, "scoped-user", &[]).await;
    person.log_in();
    let each = ["kubeconfig", "local", "scoped", "--cluster-scoped", "--output-file", "each.yaml"];
    succeed(&mut person.portcullis(&each));
    for context in ["local", "scoped"] {
        assert_eq!(who_am_i(&person, "each.yaml", &["--context", context]), "scoped-user");
    }
    let config: Value =
        serde_saphyr::from_str(&fs::read_to_string(person.file("each.yaml")).unwrap()).unwrap();
    let bearer = |place: usize| {
        let bearer = config["users"][place]["user"]["token"].as_str().unwrap();
        gate.gate.keep_secret(bearer.split_once(':').unwrap().1);
        bearer.to_owned()
    };
    let (of_local, of_scoped) = (bearer(0), bearer(1));
    assert_ne!(of_local, of_scoped);
    let scoped = format!("/k8s/clusters/{id}/version");
    for (bearer, path, status) in [
        (&of_local, "/version", 200),
        (&of_local, "/k8s/clusters/local/version", 200),
        (&of_local, scoped.as_str(), 401),
        (&of_local, "/v3/tokens", 403),
        (&of_scoped, scoped.as_str(), 200),
        (&of_scoped, "/version", 401),
        (&of_scoped, "/v3/tokens", 403),
    ] {
        assert_eq!(get(&gate, bearer, path).await, status, "{path}");
    }
    // The names in the kubeconfig changed over, as somebody who tries would do it.
    let swapped = fs::read_to_string(person.file("each.yaml")).unwrap().replace(&of_local, &of_scoped);
    fs::write(person.file("swapped.yaml"), swapped).unwrap();
    let refused = fail(kubectl(&person, "swapped.yaml", &["--context", "local"]).args(["get", "pods"]));
    assert!(refused.contains("provide credentials"), "{refused}");
    let dry = succeed(&mut admin.portcullis(&["cluster", "delete", "scoped", "--dry-run"]));
    assert!(dry.contains("deletes 1 token that is good for it alone"), "{dry}");
    delete(&admin, "scoped");
    assert_eq!(person.tokens("kubeconfig-").await.len(), 1, "it went with its cluster");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_named_neither_sees_nor_uses_a_cluster() {
    let (gate, admin) = gate_and_administrator("doorkeeper").await;
    let id = add(&admin, "club", &["--group", "members", "--user", "guest"]);
    let names = [("member", &["members"][..]), ("guest", &[]), ("stranger", &["others"])];
    for (name, groups) in names {
        let person = Person::new(&gate, name, groups).await;
        person.log_in();
        let admitted = name != "stranger";
        let listed = succeed(&mut person.portcullis(&["cluster", "list", "-o", "name"]));
        assert_eq!(listed.lines().any(|line| line == id), admitted, "{name}: {listed}");
        let shown = person.portcullis(&["cluster", "show", "club", "-o", "json"]).output().unwrap();
        assert_eq!(shown.status.success(), admitted, "{name}");
        let bearer = &person.account.bearer;
        let status = get(&gate, bearer, &format!("/k8s/clusters/{id}/version")).await;
        assert_eq!(status == 200, admitted, "{name}: {status}");
        assert_eq!(get(&gate, bearer, &format!("/v3/clusters/{id}")).await == 200, admitted, "{name}");
        if admitted {
            let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
            assert!(shown["endpoints"].is_null() && shown["credential"].is_null(), "{shown}");
        }
    }
    delete(&admin, "club");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_cluster_is_gone_with_its_watches_and_no_other_is_touched() {
    let (gate, admin) = gate_and_administrator("demolisher").await;
    let id = add(&admin, "doomed", &[]);
    let person = Person::new(&gate, "watcher", &[]).await;
    for cluster in [gate.cluster, Cluster::second()] {
        may_view(cluster, "watcher");
    }
    person.log_in();
    succeed(&mut person.portcullis(&["kubeconfig", "local", "doomed", "--output-file", "both.yaml"]));
    let watch = |context: &str| {
        let mut command = kubectl(&person, "both.yaml", &["--context", context]);
        let arguments = ["get", "configmaps", "--all-namespaces", "--watch", "--output=name"];
        let mut running = Running::start(command.args(arguments));
        running.line_with("configmap/");
        running
    };
    let (mut doomed, mut spared) = (watch("doomed"), watch("local"));
    let dry = succeed(&mut admin.portcullis(&["cluster", "delete", "doomed", "--dry-run"]));
    assert!(dry.contains("cuts 1 open stream"), "{dry}");
    delete(&admin, "doomed");
    let _refused_or_not = doomed.ends_well();
    let refused = get(&gate, &person.account.bearer, &format!("/k8s/clusters/{id}/version")).await;
    assert_eq!(refused, 404);
    assert!(fail(admin.portcullis(&["cluster", "show", "doomed"]).arg("-oname")).contains("no cluster has"));

    let name = format!("spared-{}", std::process::id());
    succeed(gate.cluster.kubectl().args(["create", "configmap", &name]));
    spared.line_with(&name);
    succeed(gate.cluster.kubectl().args(["delete", "configmap", &name]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_come_and_go_under_traffic_and_nobody_notices() {
    let (gate, admin) = gate_and_administrator("builder").await;
    let account = gate.account("commuter", &[]).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let endpoint = gate.gate.endpoint.clone();
            let (authorization, stop, served) =
                (account.authorization(), Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                let mut client = Http1::connect(&endpoint).await;
                while !stop.load(Ordering::Relaxed) {
                    let lines = [("Authorization", authorization.as_str())];
                    let response = client.request("GET", "/version", &lines, b"").await;
                    assert_eq!(response.status, 200, "{}", response.text());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..5 {
        let name = format!("shuttle-{round}");
        let id = add(&admin, &name, &[]);
        let path = format!("/k8s/clusters/{id}/version");
        assert_eq!(get(&gate, &account.bearer, &path).await, 200, "it is there once that was acknowledged");
        delete(&admin, &name);
        assert_eq!(get(&gate, &account.bearer, &path).await, 404);
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 100, "{served:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_cluster_is_named_before_and_after_it_is_added() {
    let (gate, admin) = gate_and_administrator("inspector").await;
    let second = Cluster::second();
    let (good, powerless) = (credential(second), powerless_token(second));
    for secret in [&good, &powerless] {
        gate.gate.keep_secret(secret);
    }
    let file = |name: &str, text: &[u8]| -> String {
        fs::write(admin.file(name), text).unwrap();
        name.to_owned()
    };
    let (token, bad_token) = (file("good", good.as_bytes()), file("bad", b"no-token-of-anybody"));
    let no_rights = file("powerless", powerless.as_bytes());
    let ca = file("ca", &fs::read(second.ca_file()).unwrap());
    let other_ca = file("other", &fs::read(gate.cluster.ca_file()).unwrap());
    let server = second.server();
    let nowhere = "https://no-such-host.invalid:6443";
    for (server, ca, token, problem, said) in [
        (server, &other_ca, &token, "certificate", "certificate"),
        (server, &ca, &bad_token, "refused", "refuses our credential"),
        (server, &ca, &no_rights, "rights", "impersonate"),
        (nowhere, &ca, &token, "name", "looked up"),
        ("https://127.0.0.1:1", &ca, &token, "connection", "refused"),
    ] {
        let name = format!("broken-{problem}");
        let flags =
            ["--server", server, "--certificate-authority", ca.as_str(), "--token-file", token.as_str()];
        let arguments = [&["cluster", "add", &name], &flags[..]].concat();
        let refused = fail(&mut admin.portcullis(&arguments));
        assert!(refused.contains(said), "{problem}: {refused}");
        let listed = succeed(&mut admin.portcullis(&["cluster", "list"]));
        assert!(!listed.contains(&name), "{listed}");

        succeed(admin.portcullis(&arguments).arg("--no-test"));
        let tested = admin.portcullis(&["cluster", "test", &name, "-o", "json"]).output().unwrap();
        assert_eq!(tested.status.code(), Some(1), "{tested:?}");
        let verdict: Value = serde_json::from_slice(&tested.stdout).unwrap();
        assert_eq!(verdict["problem"], problem, "{verdict}");
        assert!(verdict["message"].as_str().unwrap().contains(said), "{verdict}");
        if problem == "refused" {
            let path = format!("/v3/clusters?name={name}");
            let state = async || gate.api("GET", &path, &Value::Null).await.json()["data"][0].clone();
            gate.gate.wait_until("aware of it", async || state().await["state"] == "unavailable").await;
            let message = state().await["transitioningMessage"].clone();
            assert!(message.as_str().unwrap().contains("refuses our credential"), "{message}");
            // The right one in its place, with the address that it is for.
            let set = [&["cluster", "set", &name], &flags[..5], &["good"]].concat();
            succeed(&mut admin.portcullis(&set));
            succeed(&mut admin.portcullis(&["cluster", "test", &name]));
        }
        delete(&admin, &name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_shown_nowhere_once_it_was_given() {
    let (gate, admin) = gate_and_administrator("keeper").await;
    let second = Cluster::second();
    let secret = credential(second);
    gate.gate.keep_secret(&secret);
    let id = add(&admin, "vault", &[]);
    let path = format!("/v3/clusters/{id}");
    for target in [path.as_str(), "/v3/clusters", &format!("{path}?_format=json"), "/v3/auditevents"] {
        let answer = gate.api("GET", target, &Value::Null).await;
        assert!(answer.status == 200 && !answer.text().contains(&secret), "{target}");
    }
    let shown = gate.api("GET", &path, &Value::Null).await.json();
    assert_eq!(shown["credential"], json!({ "kind": "token" }));
    let changed = gate.api("PUT", &path, &shown).await;
    assert_eq!(
        changed.status,
        200,
        "a resource that is sent back as it is changes nothing: {}",
        changed.text()
    );
    for endpoint in ["https://127.0.0.1:1", "https://evil.example.org"] {
        let moved = gate.api("PUT", &path, &json!({ "endpoints": [endpoint] })).await;
        assert_eq!(moved.status, 422, "nobody has it sent elsewhere: {}", moved.text());
    }
    succeed(&mut admin.portcullis(&["cluster", "test", "vault"]));
    delete(&admin, "vault");
}

/// A gate, and somebody logged in who is an administrator there.
pub(crate) async fn gate_and_administrator(name: &str) -> (Arc<RealGate>, Person) {
    let gate = RealGate::shared().await;
    let admin = Person::new(&gate, name, &[]).await;
    let path = format!("/v3/users/{}", admin.account.user_id);
    assert_eq!(gate.api("PUT", &path, &json!({ "admin": true })).await.status, 200);
    admin.log_in();
    (gate, admin)
}

/// Adds the second cluster under this name by a kubeconfig, and gives its id.
pub(crate) fn add(admin: &Person, name: &str, more: &[&str]) -> String {
    let file = format!("{name}.kubeconfig");
    fs::write(admin.file(&file), service_account(Cluster::second())).unwrap();
    let arguments = ["cluster", "add", name, "--kubeconfig", &file, "--output", "name"];
    succeed(admin.portcullis(&arguments).args(more)).trim().to_owned()
}

pub(crate) fn delete(admin: &Person, name: &str) {
    succeed(&mut admin.portcullis(&["cluster", "delete", name, "--yes"]));
}

/// The token that [`service_account`] gives.
fn credential(cluster: &Cluster) -> String {
    let config: Value = serde_json::from_str(&service_account(cluster)).unwrap();
    config["users"][0]["user"]["token"].as_str().unwrap().to_owned()
}

/// A token of an account without a single right.
fn powerless_token(cluster: &Cluster) -> String {
    let token = ["create", "token", "default", "--namespace=default"];
    succeed(cluster.kubectl().args(token)).trim().to_owned()
}

fn may_view(cluster: &Cluster, user: &str) {
    let binding = format!("{user}-views-{}", std::process::id());
    let create = ["create", "clusterrolebinding", &binding, "--clusterrole=view", "--user", user];
    succeed(cluster.kubectl().args(create));
}

fn kubectl(person: &Person, kubeconfig: &str, more: &[&str]) -> Command {
    let mut command = person.command(PathBuf::from(person.gate.cluster.kubectl_path()));
    command.args(["--kubeconfig", kubeconfig]).args(more);
    command
}

fn who_am_i(person: &Person, kubeconfig: &str, more: &[&str]) -> String {
    let answer = succeed(kubectl(person, kubeconfig, more).args(["auth", "whoami", "--output=json"]));
    let review: Value = serde_json::from_str(&answer).unwrap();
    review["status"]["userInfo"]["username"].as_str().unwrap().to_owned()
}

pub(crate) async fn get(gate: &RealGate, bearer: &str, path: &str) -> u16 {
    let authorization = format!("Bearer {bearer}");
    let lines = [("Authorization", authorization.as_str())];
    Http1::connect(&gate.gate.endpoint).await.request("GET", path, &lines, b"").await.status
}

/// What tells one cluster from another.
const UID: [&str; 4] = ["get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"];
