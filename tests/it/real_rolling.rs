//! Gates before a real cluster are restarted one after the other behind a load balancer, and kubectl notices nothing.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::cluster::Cluster;
use crate::real_gate::{kubeconfig, service_account, succeed};
use crate::rolling::{Balancer, restart, settings, twins};
use crate::support::accounts::{self, Account};
use crate::support::gate::Gate;

const RESTARTS: usize = 4;
const AT_ONCE: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_notices_nothing_of_a_rolling_restart() {
    let cluster = Cluster::shared();
    let gate = Gate::start(&service_account(cluster), &settings()).await;
    let admin = accounts::administrator(&gate).await;
    let account = Account::create(&gate, &admin, "steady", &[]).await;
    let namespace = format!("steady-{}", std::process::id());
    succeed(cluster.kubectl().args(["create", "namespace", &namespace]));
    let binding = ["create", "rolebinding", "may-edit", "--clusterrole=edit", "--user=steady"];
    succeed(cluster.kubectl().args(binding).args(["--namespace", &namespace]));

    let mut gates = twins(gate).await;
    let balancer = Balancer::start(&gates).await;
    let server = format!("https://{}", balancer.endpoint.address);
    let ca = balancer.endpoint.ca_pem.as_bytes();
    let file = gates[0].directory().join("balanced.kubeconfig");
    std::fs::write(&file, kubeconfig(&server, ca, &json!({ "token": account.bearer }), &namespace)).unwrap();
    let kubectl = move || {
        let mut command = cluster.bare_kubectl();
        command.arg("--kubeconfig").arg(&file);
        command
    };

    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let (over, done, kubectl) = (Arc::clone(&over), Arc::clone(&done), kubectl.clone());
            tokio::task::spawn_blocking(move || work(number, &kubectl, &over, &done))
        })
        .collect();
    for number in 0..RESTARTS {
        let before = done.load(Ordering::Relaxed);
        restart(&mut gates, number % 2, &balancer).await;
        gates[0].wait_until("used again", async || done.load(Ordering::Relaxed) > before).await;
    }
    over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.expect("a command failed");
    }
    succeed(cluster.kubectl().args(["delete", "namespace", &namespace, "--wait=false"]));
}

/// Makes, reads and deletes an object, again and again. Each command has to succeed.
fn work(number: usize, kubectl: &impl Fn() -> Command, over: &AtomicBool, done: &AtomicUsize) {
    let name = format!("settings-{number}");
    while !over.load(Ordering::Relaxed) {
        succeed(kubectl().args(["create", "configmap", &name, "--from-literal=a=b"]));
        assert!(succeed(kubectl().args(["get", "configmap", &name, "--output=name"])).contains(&name));
        succeed(kubectl().args(["delete", "configmap", &name]));
        done.fetch_add(1, Ordering::Relaxed);
    }
}
