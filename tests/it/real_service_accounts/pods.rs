//! Pods with their own tokens.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{BOUND, BOUND_OF_BOTH, Direct, PAUSE, Served};
use crate::cluster::{Cluster, require_node};
use crate::real_gate::{Running, succeed};
use crate::real_informer::informer;
use crate::support::report;
use crate::support::wire::Http1;

/// Pods that are deleted at the same time.
const PODS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_and_a_controller_in_a_pod_work_through_the_gate_by_their_in_cluster_configuration() {
    if !require_node(Cluster::shared()) || Cluster::shared().audit_log().is_none() {
        return;
    }
    let served = Served::start("in-cluster", &[]).await;
    served.run_pod(
        "client",
        "set -e\n/tools/kubectl auth whoami --output json\n/tools/kubectl create configmap made --from-literal=a=b\n\
         sleep 3600 | /tools/informer --namespace $(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace)",
    );
    served.kubectl(&["wait", "--for=condition=Ready", "pod/client", "--timeout=90s"]);
    let mut log = served.cluster.kubectl();
    log.args(["--namespace", &served.namespace, "logs", "--follow", "client"]);
    let mut log = Running::start(&mut log);
    // kubectl asked the cluster who it is: the account, its pod and its node.
    log.line_with(&served.username());
    log.line_with("made created");
    log.line_with("synced");
    served.kubectl(&["create", "configmap", "seen-in-the-pod"]);
    log.line_with("seen-in-the-pod");

    let audit = fs::read_to_string(served.cluster.audit_log().unwrap()).unwrap();
    let created = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|event| {
        event["verb"] == "create"
            && event["objectRef"]["name"] == "made"
            && event["objectRef"]["namespace"] == served.namespace.as_str()
    });
    let created = created.unwrap_or_else(|| panic!("the creation is in no audit event"));
    assert_eq!(created["user"]["username"], "system:serviceaccount:portcullis:portcullis");
    assert_eq!(created["impersonatedUser"]["username"], served.username());
    let extra = &created["impersonatedUser"]["extra"];
    assert_eq!(extra["authentication.kubernetes.io/pod-name"][0], "client");
    for key in ["credential-id", "node-name", "node-uid", "pod-uid"] {
        assert!(extra[format!("authentication.kubernetes.io/{key}")][0].is_string(), "{key} in {created}");
    }
    assert!(created["impersonatedUser"]["uid"].is_string(), "{created}");

    // A pod's containers are gone before its token is refused; an account goes while they run.
    served.kubectl(&["delete", "serviceaccount", "client"]);
    let deleted = Instant::now();
    log.line_with("\"code\":401");
    log.line_with("\"reason\":\"Unauthorized\"");
    assert!(deleted.elapsed() < BOUND_OF_BOTH, "its watch went on for {:?}", deleted.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_pod_s_token_is_refused_and_its_watch_cut_within_ten_seconds_of_the_apiserver() {
    if !require_node(Cluster::shared()) || Cluster::shared().audit_log().is_none() {
        return;
    }
    let served = Served::start("deleted", &[]).await;
    let names: Vec<_> = (0..PODS).map(|number| format!("client-{number}")).collect();
    for name in &names {
        served.run_pod(name, "sleep 3600");
    }
    let mut pods = Vec::new();
    for name in &names {
        served.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=90s"]);
        let file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
        let token = served.kubectl(&["exec", name, "--", "cat", file]);
        served.gate.keep_secret(&token);
        pods.push(Pod::watch(&served, token).await);
    }
    let token_file = served.gate.directory().join("informer-token");
    fs::write(&token_file, pods[0].token()).unwrap();
    let informer = informer(served.cluster, &served.gate.endpoint, &token_file, &served.namespace);
    let mut informer = informer.map(|mut command| Running::start(&mut command));
    if let Some(informer) = &mut informer {
        informer.line_with("synced");
    }
    let mut delete = served.cluster.kubectl();
    delete
        .args(["--namespace", &served.namespace, "delete", "pod", "--grace-period=0", "--force"])
        .args(&names);
    tokio::task::spawn_blocking(move || succeed(&mut delete)).await.unwrap();
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for pod in pods {
        tasks.spawn(pod.until_refused(start));
    }
    let ends = tasks.join_all().await;
    if let Some(informer) = &mut informer {
        informer.line_with("\"code\":401");
        informer.line_with("\"reason\":\"Unauthorized\"");
        assert!(start.elapsed() < BOUND_OF_BOTH, "its watch went on for {:?}", start.elapsed());
    }
    let later = |of: fn(&Ends) -> Duration| -> Vec<_> {
        ends.iter().map(|end| of(end).saturating_sub(end.apiserver)).collect()
    };
    let (requests, watches) = (later(|end| end.gate), later(|end| end.watch));
    assert!(requests.iter().all(|late| *late <= BOUND + 2 * PAUSE), "{requests:?}");
    // The review that is due then takes its time as well.
    assert!(watches.iter().all(|late| *late <= BOUND + Duration::from_secs(1)), "{watches:?}");
    report::write(
        "service-accounts",
        &json!({
            "command": "cargo test --test it deleted_pod_s_token",
            "pods deleted": PODS,
            "after the apiserver's own refusal": {
                "new request refused": report::spread(&requests),
                "watch cut": report::spread(&watches),
            },
        }),
    );
}

/// A pod's token, and a watch that was opened with it.
struct Pod {
    watch: tokio::task::JoinHandle<(Instant, String)>,
    target: String,
    authorization: String,
    gate: crate::support::wire::Endpoint,
    direct: Direct,
}

/// When each of them refused the token, from the deletion on.
struct Ends {
    apiserver: Duration,
    gate: Duration,
    watch: Duration,
}

impl Pod {
    async fn watch(served: &Served, token: String) -> Self {
        let target = format!("/api/v1/namespaces/{}/configmaps", served.namespace);
        let authorization = format!("Bearer {token}");
        let mut client = Http1::connect(&served.gate.endpoint).await;
        client
            .send(format!(
                "GET {target}?watch=true HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"
            ))
            .await;
        let watch = tokio::spawn(async move {
            let response = client.any_response(true).await.unwrap();
            assert_eq!(response.status, 200);
            (Instant::now(), response.text())
        });
        let direct = Direct::new(served, &token);
        let pod = Self { watch, target, authorization, gate: served.gate.endpoint.clone(), direct };
        assert!(!pod.is_refused_by_gate().await && !pod.direct.refuses().await);
        pod
    }

    fn token(&self) -> &str {
        self.authorization.strip_prefix("Bearer ").unwrap()
    }

    async fn until_refused(self, start: Instant) -> Ends {
        let (mut apiserver, mut gate) = (None, None);
        while apiserver.is_none() || gate.is_none() {
            assert!(start.elapsed() < Duration::from_secs(90), "{apiserver:?} {gate:?}");
            if apiserver.is_none() && self.direct.refuses().await {
                apiserver = Some(start.elapsed());
            }
            if gate.is_none() && self.is_refused_by_gate().await {
                gate = Some(start.elapsed());
            }
            tokio::time::sleep(PAUSE).await;
        }
        let (ended, events) = self.watch.await.unwrap();
        assert!(events.contains("\"ERROR\"") && events.contains("\"code\":401"), "{events}");
        Ends {
            apiserver: apiserver.unwrap(),
            gate: gate.unwrap(),
            watch: ended.saturating_duration_since(start),
        }
    }

    async fn is_refused_by_gate(&self) -> bool {
        let mut client = Http1::connect(&self.gate).await;
        let lines = [("authorization", self.authorization.as_str())];
        client.request("GET", &self.target, &lines, b"").await.status == 401
    }
}
