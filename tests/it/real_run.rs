//! `portcullis run` with the programs that its kinds are named after: they do their work with a token that is gone
//! afterwards, however they end.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::person::Person;
use crate::real_gate::{RealGate, Running, audited, fail, run_with_input, succeed};

#[tokio::test]
async fn a_node_is_drained_with_a_token_that_is_gone_afterwards() {
    let gate = RealGate::shared().await;
    let person = Person::new(&gate, "drainer", &[]).await;
    let name = format!("drained-{}", std::process::id());
    // A node of its own, which never was: others' pods run on the real one.
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
        "spec": { "nodeName": name, "containers": [{ "name": "c", "image": gate.cluster.image() }] },
    });
    for object in [&node, &pod] {
        let mut create = gate.cluster.kubectl();
        let done = run_with_input(create.args(["create", "--filename=-"]), object.to_string().as_bytes());
        assert!(done.status.success(), "{done:?}");
    }
    let binding = ["create", "clusterrolebinding", &name, "--clusterrole=cluster-admin", "--user=drainer"];
    succeed(gate.cluster.kubectl().args(binding));
    person.log_in();

    let mut drain = run(&person, "drain-node", &["kubectl", "drain", &name]);
    let said = succeed(drain.args(["--force", "--grace-period=0", "--timeout=60s"]));
    assert!(said.contains(&format!("node/{name} drained")), "{said}");
    assert!(person.tokens("drain-node-").await.is_empty());
    let pods = ["get", "pod", &name, "--ignore-not-found", "--output=name"];
    assert_eq!(succeed(gate.cluster.kubectl().args(pods)), "");
    succeed(gate.cluster.kubectl().args(["delete", "node", &name]));
    succeed(gate.cluster.kubectl().args(["delete", "clusterrolebinding", &name]));
}

#[tokio::test]
async fn helm_upgrades_with_a_token_that_is_gone_afterwards() {
    let gate = RealGate::shared().await;
    let user = gate.user("deployer").await;
    let person = Person::of(&gate, user.account.clone());
    person.log_in();
    let helm = gate.cluster.bare_helm().get_program().to_str().unwrap().to_owned();
    let namespace = format!("--namespace={}", user.namespace);
    let upgrade = |chart: &'static str| {
        let mut command = run(&person, "helm-token", &[&helm, "upgrade", "--install", "greeting", chart]);
        command.args([&namespace, "--set=greeting=hello", "--wait", "--timeout=60s"]);
        command
    };
    succeed(&mut upgrade(CHART));
    let value = ["get", "configmap", "greeting", "--output=jsonpath={.data.greeting}"];
    assert_eq!(succeed(user.kubectl().args(value)), "hello");
    assert!(person.tokens("helm-token-").await.is_empty());

    let said = fail(&mut upgrade("/no/such/chart"));
    assert!(said.contains("/no/such/chart"), "helm's own words: {said}");
    assert!(person.tokens("helm-token-").await.is_empty(), "after a failure as well");
}

#[tokio::test]
async fn a_token_goes_with_its_lease_when_run_is_killed() {
    let gate = RealGate::shared().await;
    let person = Person::new(&gate, "killed", &[]).await;
    person.log_in();
    let script = "kubectl auth whoami --output=name && echo ready && read line";
    let mut running = Running::start(&mut run(&person, "kubectl-shell", &["sh", "-c", script]));
    running.line_with("ready");
    let names = person.tokens("kubectl-shell-").await;
    let [name] = names.as_slice() else { panic!("{names:?}") };
    if let Some(events) = audited(gate.cluster, name) {
        assert!(!events.is_empty(), "the cluster knows the token's name");
    }
    running.child.kill().unwrap();
    let start = Instant::now();
    let target = format!("/v3/tokens/{name}");
    while gate.api("GET", &target, &Value::Null).await.status != 404 {
        assert!(start.elapsed() < Duration::from_secs(80), "the token outlives its lease");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // Twenty seconds at most had gone since the lease was renewed.
    assert!(start.elapsed() > Duration::from_secs(35), "{:?}", start.elapsed());
}

fn run(person: &Person, kind: &str, command: &[&str]) -> Command {
    let mut run = person.portcullis(&["run", "--kind", kind, "--"]);
    run.args(command).env("TMPDIR", person.file("")).stderr(Stdio::piped());
    run
}

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/chart");
