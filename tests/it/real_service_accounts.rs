//! Service accounts of a real cluster: pods on its node with their own tokens, and tokens that are asked for from outside.

use std::fs;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::cluster::{Cluster, require_node};
use crate::real_gate::{Running, fail, run_with_input, service_account, settings, succeed};
use crate::support::gate::{Gate, Settings};
use crate::support::report;
use crate::support::wire::Http1;

/// Pods that are deleted at the same time.
const PODS: usize = 5;
/// For how long an accepted token may be accepted after the apiserver itself has refused it.
const BOUND: Duration = Duration::from_secs(10);
/// How often both are asked. What is measured is exact to about two of these.
const PAUSE: Duration = Duration::from_millis(100);

/// A gate that pods reach, and a namespace in the cluster behind it with a service account that may read it.
struct Served {
    gate: Gate,
    cluster: &'static Cluster,
    namespace: String,
}

impl Served {
    async fn start(name: &str, keys: &[(&'static str, &'static str)]) -> Self {
        let cluster = Cluster::shared();
        let settings = Settings { host: cluster.host_address(), keys: keys.to_vec(), ..settings() };
        // Ready means that the rights for it are there: those of our manifest.
        let gate = Gate::start(&service_account(cluster), &settings).await;
        let namespace = format!("{name}-{}", std::process::id());
        let served = Self { gate, cluster, namespace };
        succeed(cluster.kubectl().args(["create", "namespace", &served.namespace]));
        served.kubectl(&["create", "serviceaccount", "client"]);
        let account = format!("{}:client", served.namespace);
        served.kubectl(&[
            "create",
            "rolebinding",
            "client",
            "--clusterrole=edit",
            "--serviceaccount",
            &account,
        ]);
        let ca = served.gate.directory().join("gate-ca.crt");
        fs::write(&ca, served.gate.endpoint.ca_pem.as_bytes()).unwrap();
        served.kubectl(&["create", "configmap", "gate-ca", &format!("--from-file=ca.crt={}", ca.display())]);
        served
    }

    /// kubectl as the administrator, in the namespace.
    fn kubectl(&self, args: &[&str]) -> String {
        succeed(self.cluster.kubectl().args(["--namespace", &self.namespace]).args(args))
    }

    /// A token of the account, as `TokenRequest` gives it.
    fn token(&self, more: &[&str]) -> String {
        let token = self.kubectl(&[&["create", "token", "client"], more].concat()).trim().to_owned();
        self.gate.keep_secret(&token);
        token
    }

    fn username(&self) -> String {
        format!("system:serviceaccount:{}:client", self.namespace)
    }

    /// The status that the gate answers to a token.
    async fn status(&self, token: &str) -> u16 {
        let target = format!("/api/v1/namespaces/{}/configmaps", self.namespace);
        let mut client = Http1::connect(&self.gate.endpoint).await;
        client.request("GET", &target, &[("authorization", &format!("Bearer {token}"))], b"").await.status
    }

    /// Runs a pod of the account that finds the gate where Kubernetes says that the apiserver is.
    fn run_pod(&self, name: &str, script: &str) {
        let pod = pod(self, name, script);
        let output = run_with_input(
            self.cluster.kubectl().args(["--namespace", &self.namespace, "create", "--filename", "-"]),
            pod.to_string().as_bytes(),
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let mut command = self.cluster.kubectl();
        let _ = command.args(["delete", "namespace", &self.namespace, "--wait=false"]).output();
    }
}

/// As docs/service-accounts.md says: the two variables, and our authority in the place of the cluster's.
fn pod(served: &Served, name: &str, script: &str) -> Value {
    let address = served.gate.endpoint.address;
    let tools = served.cluster.kubectl_path().parent().unwrap();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "serviceAccountName": "client", "automountServiceAccountToken": false, "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "client", "image": served.cluster.image(), "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script],
                "env": [
                    { "name": "KUBERNETES_SERVICE_HOST", "value": address.ip().to_string() },
                    { "name": "KUBERNETES_SERVICE_PORT", "value": address.port().to_string() },
                    { "name": "HOME", "value": "/tmp" },
                ],
                "volumeMounts": [
                    { "name": "account", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" },
                    { "name": "tools", "mountPath": "/tools", "readOnly": true },
                ],
            }],
            "volumes": [
                { "name": "account", "projected": { "sources": [
                    { "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } },
                    { "configMap": { "name": "gate-ca" } },
                    { "downwardAPI": { "items": [
                        { "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } },
                    ] } },
                ] } },
                { "name": "tools", "hostPath": { "path": tools } },
            ],
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_and_a_controller_in_a_pod_work_through_the_gate_by_their_in_cluster_configuration() {
    if !require_node(Cluster::shared()) || Cluster::shared().audit_log().is_none() {
        return;
    }
    let served = Served::start("in-cluster", &[]).await;
    served.run_pod(
        "client",
        "set -e\n/tools/kubectl auth whoami --output json\n/tools/kubectl create configmap made --from-literal=a=b\n\
         A=/var/run/secrets/kubernetes.io/serviceaccount\n\
         sleep 3600 | /tools/informer --server https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT \
         --ca-file $A/ca.crt --token-file $A/token --namespace $(cat $A/namespace)",
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
    direct: Client,
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
        let mut config = Config::new(served.cluster.server().parse().unwrap());
        config.root_cert = Some(certificates(&fs::read(served.cluster.ca_file()).unwrap()));
        config.auth_info.token = Some(token.into());
        let direct = Client::try_from(config).unwrap();
        let pod = Self { watch, target, authorization, gate: served.gate.endpoint.clone(), direct };
        assert!(!pod.is_refused_by_gate().await && !pod.is_refused_by_apiserver().await);
        pod
    }

    async fn until_refused(self, start: Instant) -> Ends {
        let (mut apiserver, mut gate) = (None, None);
        while apiserver.is_none() || gate.is_none() {
            assert!(start.elapsed() < Duration::from_secs(90), "{apiserver:?} {gate:?}");
            if apiserver.is_none() && self.is_refused_by_apiserver().await {
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

    async fn is_refused_by_apiserver(&self) -> bool {
        let request = http::Request::get(&self.target).body(Vec::new()).unwrap();
        let answer = self.direct.request_text(request).await;
        matches!(answer, Err(kube::Error::Api(status)) if status.code == 401)
    }
}

fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem).map(|certificate| certificate.unwrap().to_vec()).collect()
}

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
    let (claims, signature) = good.rsplit_once('.').unwrap();
    let mut forged: Vec<char> = signature.chars().collect();
    forged.swap(10, 11);
    forged.reverse();
    assert_eq!(served.status(&format!("{claims}.{}", forged.iter().collect::<String>())).await, 401);
    let legacy = legacy_token(&served);
    assert_eq!(served.status(&legacy).await, 200, "the apiserver takes it for its own audience");

    served.kubectl(&["delete", "serviceaccount", "client"]);
    let start = Instant::now();
    // The apiserver itself goes by its cache for ten seconds, and so do we.
    while served.status(&good).await != 401 || served.status(&legacy).await != 401 {
        assert!(start.elapsed() < Duration::from_secs(25), "still accepted after {:?}", start.elapsed());
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
    let ca = served.gate.directory().join("gate-ca.crt");
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
