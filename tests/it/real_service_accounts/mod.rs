//! Service accounts of a real cluster: pods on its node with their own tokens, and tokens that are asked for from outside.

mod clusters;
mod outside;
mod pods;
mod python;
mod tunnels;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kube::{Client, Config};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::real_gate::{run_with_input, service_account, settings, succeed};
use crate::support::gate::{Gate, Settings};
use crate::support::wire::Http1;

/// For how long an accepted token may be accepted after the apiserver itself has refused it.
const BOUND: Duration = Duration::from_secs(10);
/// For how long after the deletion: the apiserver itself goes by its cache for ten seconds, and so do we.
const BOUND_OF_BOTH: Duration = Duration::from_secs(25);
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
        served.create_account("client");
        let ca = served.ca_file();
        fs::write(&ca, served.gate.endpoint.ca_pem.as_bytes()).unwrap();
        served.kubectl(&["create", "configmap", "gate-ca", &format!("--from-file=ca.crt={}", ca.display())]);
        served
    }

    /// A service account that may edit the namespace.
    fn create_account(&self, name: &str) {
        self.kubectl(&["create", "serviceaccount", name]);
        let account = format!("{}:{name}", self.namespace);
        let binding = ["create", "rolebinding", name, "--clusterrole=edit", "--serviceaccount", &account];
        self.kubectl(&binding);
    }

    /// kubectl as the administrator, in the namespace.
    fn kubectl(&self, args: &[&str]) -> String {
        succeed(self.cluster.kubectl().args(["--namespace", &self.namespace]).args(args))
    }

    /// A token of the account, as `TokenRequest` gives it.
    fn token(&self, more: &[&str]) -> String {
        self.token_of("client", more)
    }

    fn token_of(&self, account: &str, more: &[&str]) -> String {
        let token = self.kubectl(&[&["create", "token", account], more].concat()).trim().to_owned();
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

    /// The file of the authorities by which the gate is trusted.
    fn ca_file(&self) -> PathBuf {
        self.gate.directory().join("gate-ca.crt")
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

/// The apiserver itself, asked with a token.
struct Direct {
    client: Client,
    target: String,
}

impl Direct {
    fn new(served: &Served, token: &str) -> Self {
        let mut config = Config::new(served.cluster.server().parse().unwrap());
        config.root_cert = Some(certificates(&fs::read(served.cluster.ca_file()).unwrap()));
        config.auth_info.token = Some(token.to_owned().into());
        let target = format!("/api/v1/namespaces/{}/configmaps", served.namespace);
        Self { client: Client::try_from(config).unwrap(), target }
    }

    async fn refuses(&self) -> bool {
        let request = http::Request::get(&self.target).body(Vec::new()).unwrap();
        let answer = self.client.request_text(request).await;
        matches!(answer, Err(kube::Error::Api(status)) if status.code == 401)
    }

    /// Waits until it refuses the token, and says when that was.
    async fn refused_at(&self) -> Instant {
        let start = Instant::now();
        while !self.refuses().await {
            assert!(start.elapsed() < Duration::from_secs(90), "the apiserver still takes it");
            tokio::time::sleep(PAUSE).await;
        }
        Instant::now()
    }
}

fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem).map(|certificate| certificate.unwrap().to_vec()).collect()
}
