//! Gates before a real cluster are restarted one after the other behind a load balancer, and kubectl and an informer
//! notice nothing.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::real_gate::{Running, kubeconfig, service_account, succeed};
use crate::real_informer::informer;
use crate::rolling::{Balancer, restart, settings, twins};
use crate::support::accounts::{self, Account};
use crate::support::gate::Gate;
use crate::support::report;

const RESTARTS: usize = 4;
const AT_ONCE: usize = 3;
/// How long after one object the next one is made for the informer to see.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_and_an_informer_notice_nothing_of_a_rolling_restart() {
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
    let token_file = gates[0].directory().join("balanced.token");
    std::fs::write(&token_file, &account.bearer).unwrap();
    let informer = informer(cluster, &balancer.endpoint, &token_file, &namespace);
    let mut informer = informer.map(|mut command| Running::start(&mut command));
    let mut seen = informer.as_mut().map(|informer| informer.lines_to("synced")).unwrap_or_default();
    let server = format!("https://{}", balancer.endpoint.address);
    let ca = balancer.endpoint.ca_pem.as_bytes();
    let file = gates[0].directory().join("balanced.kubeconfig");
    std::fs::write(&file, kubeconfig(&server, ca, &json!({ "token": account.bearer }), &namespace)).unwrap();
    let kubectl = move || {
        let mut command = cluster.bare_kubectl();
        command.arg("--kubeconfig").arg(&file);
        command
    };

    let objects = objects(cluster, &namespace).await;
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let (over, done, kubectl) = (Arc::clone(&over), Arc::clone(&done), kubectl.clone());
            tokio::task::spawn_blocking(move || work(number, &kubectl, &over, &done))
        })
        .collect();
    let maker = tokio::spawn(make(objects.clone(), Arc::clone(&over)));
    for number in 0..RESTARTS {
        let before = done.load(Ordering::Relaxed);
        restart(&mut gates, number % 2, &balancer).await;
        gates[0].wait_until("used again", async || done.load(Ordering::Relaxed) > before).await;
    }
    over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.expect("a command failed");
    }
    let made = maker.await.unwrap();
    if let Some(informer) = &mut informer {
        create(&objects, LAST).await;
        seen.extend(informer.lines_to(LAST));
        judge(&seen, made);
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

/// The namespace's config maps as the cluster's administrator has them.
async fn objects(cluster: &Cluster, namespace: &str) -> Api<ConfigMap> {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Api::namespaced(Client::try_from(config).unwrap(), namespace)
}

/// Makes one object after the other until it is over, and gives their number.
async fn make(objects: Api<ConfigMap>, over: Arc<AtomicBool>) -> usize {
    let mut made = 0;
    while !over.load(Ordering::Relaxed) {
        create(&objects, &format!("{PREFIX}{made}")).await;
        made += 1;
        tokio::time::sleep(PAUSE).await;
    }
    made
}

async fn create(objects: &Api<ConfigMap>, name: &str) {
    let object: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    objects.create(&PostParams::default(), &object).await.unwrap();
}

/// Each object was seen once, by watches that all ended as they may and began where the one before had ended.
fn judge(lines: &[String], made: usize) {
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = |event: &'static str| lines.iter().filter(move |line| line["event"] == event);
    let refused: Vec<_> = events("request").filter(|line| line["code"] != 200).collect();
    assert_eq!(refused, Vec::<&Value>::new());
    assert_eq!(events("error").collect::<Vec<_>>(), Vec::<&Value>::new());
    let ended: Vec<_> = events("ended").collect();
    assert!(ended.iter().all(|line| line["clean"] == true), "{ended:?}");
    assert!(ended.len() >= RESTARTS - 1, "its gate was restarted, and {} watches ended", ended.len());
    assert_eq!(events("request").filter(|line| line["whole"] == true).count(), 1, "it had to list again");

    let mut times = BTreeMap::<&str, usize>::new();
    for name in events("added").map(|line| line["name"].as_str().unwrap()) {
        *times.entry(name).or_default() += 1;
    }
    for number in 0..made {
        let name = format!("{PREFIX}{number}");
        assert_eq!(times.get(name.as_str()), Some(&1), "{name} of {made}");
    }
    report::write(
        "informer-rolling",
        &json!({
            "command": "cargo test --test it real_rolling",
            "restarts": RESTARTS,
            "objects made meanwhile": made,
            "objects missed or seen twice": 0,
            "watches that ended": ended.len(),
            "of these broken": 0,
            "lists after the first": 0,
            "requests that failed": 0,
        }),
    );
}

const PREFIX: &str = "made-";
const LAST: &str = "the-last-one";
