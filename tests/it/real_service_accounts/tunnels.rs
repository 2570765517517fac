//! Commands in pods that run by a service account's token, when that ends.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{BOUND, Direct, Served};
use crate::cluster::{Cluster, require_node};
use crate::real_gate::{Running, kubeconfig, succeed};
use crate::support::report;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exec_ends_with_the_pod_that_its_token_is_bound_to_and_with_its_account() {
    if !require_node(Cluster::shared()) || Cluster::shared().audit_log().is_none() {
        return;
    }
    let served = Served::start("exec", &[]).await;
    served.create_account("doomed");
    served.run_pod("target", "sleep 3600");
    served.run_pod("owner", "sleep 3600");
    served.kubectl(&["wait", "--for=condition=Ready", "pod/target", "--timeout=90s"]);
    let bound = served.token(&["--bound-object-kind=Pod", "--bound-object-name=owner"]);
    let mut ending = vec![
        Exec::start(&served, "the token's pod deleted", &bound),
        Exec::start(&served, "the token's account deleted", &served.token_of("doomed", &[])),
    ];
    let mut steady = Exec::start(&served, "steady", &served.token(&[]));
    for exec in ending.iter_mut().chain([&mut steady]) {
        exec.running.line_with("begun");
        assert!(!exec.direct.refuses().await);
    }

    let mut delete = served.cluster.kubectl();
    delete.args(["--namespace", &served.namespace, "delete", "pod/owner", "serviceaccount/doomed"]);
    delete.args(["--grace-period=0", "--force"]);
    tokio::task::spawn_blocking(move || succeed(&mut delete)).await.unwrap();
    let mut ends = tokio::task::JoinSet::new();
    for exec in ending {
        ends.spawn(exec.late());
    }
    let late = ends.join_all().await;
    // The review that is due then takes its time as well.
    assert!(late.iter().all(|late| *late <= BOUND + Duration::from_secs(1)), "{late:?}");
    writeln!(steady.running.child.stdin.as_mut().unwrap(), "still here").unwrap();
    steady.running.line_with("still here");
    report::write(
        "service-account-exec",
        &json!({
            "command": "cargo test --test it an_exec_ends_with_the_pod",
            "after the apiserver's own refusal": { "exec cut": report::spread(&late) },
        }),
    );
}

/// kubectl's, which says again what it reads, with its standard error kept.
struct Exec {
    name: &'static str,
    running: Running,
    errors: PathBuf,
    direct: Direct,
}

impl Exec {
    fn start(served: &Served, name: &'static str, token: &str) -> Self {
        let directory = served.gate.directory();
        let (file, errors) =
            (directory.join(format!("{name}.kubeconfig")), directory.join(format!("{name}.err")));
        let url = format!("https://{}", served.gate.endpoint.address);
        let user = json!({ "token": token });
        let text = kubeconfig(&url, served.gate.endpoint.ca_pem.as_bytes(), &user, &served.namespace);
        std::fs::write(&file, text).unwrap();
        let mut command = served.cluster.bare_kubectl();
        command.arg("--kubeconfig").arg(file).stderr(File::create(&errors).unwrap());
        command.args(["exec", "-i", "target", "--", "sh", "-c", "echo begun; exec cat"]);
        let running = Running::start(&mut command);
        Self { name, running, errors, direct: Direct::new(served, token) }
    }

    /// How long after the apiserver has refused the token it ended, and as it should.
    async fn late(mut self) -> Duration {
        let ended = tokio::task::spawn_blocking(move || {
            let well = self.running.ends_well();
            (Instant::now(), well)
        });
        let refused = self.direct.refused_at().await;
        let (ended, well) = ended.await.unwrap();
        let said = std::fs::read_to_string(&self.errors).unwrap();
        assert!(!well, "{}: {said}", self.name);
        let reason = "cluster local no longer accepts the service account's token";
        assert!(said.contains(reason), "{}: {said}", self.name);
        ended.saturating_duration_since(refused)
    }
}
