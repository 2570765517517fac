//! Two clusters with service accounts of the same names.

use crate::cluster::Cluster;
use crate::real_clusters::{add, delete, gate_and_administrator, get};
use crate::real_gate::succeed;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_s_token_is_refused_at_every_cluster_but_its_own() {
    let (gate, admin) = gate_and_administrator("surveyor").await;
    let id = add(&admin, "abroad", &[]);
    let namespace = format!("twins-{}", std::process::id());
    let [here, abroad] = [gate.cluster, Cluster::second()].map(|cluster| {
        succeed(cluster.kubectl().args(["create", "namespace", &namespace]));
        let kubectl = |args: &[&str]| succeed(cluster.kubectl().args(["--namespace", &namespace]).args(args));
        kubectl(&["create", "serviceaccount", "twin"]);
        let account = format!("--serviceaccount={namespace}:twin");
        kubectl(&["create", "rolebinding", "twin", "--clusterrole=view", &account]);
        let token = kubectl(&["create", "token", "twin"]).trim().to_owned();
        gate.gate.keep_secret(&token);
        token
    });
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let (named, other) = (format!("/k8s/clusters/local{path}"), format!("/k8s/clusters/{id}{path}"));
    // Twice: what is remembered of a token at one cluster must not count at the other.
    for _ in 0..2 {
        for (token, path, status) in [
            (&here, &path, 200),
            (&here, &named, 200),
            (&here, &other, 401),
            (&abroad, &other, 200),
            (&abroad, &named, 401),
            (&abroad, &path, 401),
        ] {
            assert_eq!(get(&gate, token, path).await, status, "{path}");
        }
    }
    delete(&admin, "abroad");
    assert_eq!(get(&gate, &abroad, &other).await, 401, "nobody can vouch for it any more");
    for cluster in [gate.cluster, Cluster::second()] {
        succeed(cluster.kubectl().args(["delete", "namespace", &namespace, "--wait=false"]));
    }
}
