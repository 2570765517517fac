//! A gate before a real cluster, with the rights that `deploy/rbac.yaml` gives and no others, and kubectl as one of
//! its users.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::cluster::Cluster;
use crate::support::accounts::{self, Account};
use crate::support::gate::{Gate, Settings};
use crate::support::wire::Response;

/// A gate and the cluster behind it.
pub(crate) struct RealGate {
    pub(crate) gate: Gate,
    pub(crate) cluster: &'static Cluster,
    admin: String,
}

/// A user of the gate who may edit a namespace of the same name.
pub(crate) struct User {
    pub(crate) account: Account,
    pub(crate) namespace: String,
    kubeconfig: PathBuf,
    cluster: &'static Cluster,
}

impl RealGate {
    /// The one that tests share. It ends with the last of those that run at the same time.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RealGate>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(gate) = shared.upgrade() {
            return gate;
        }
        let gate = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&gate);
        gate
    }

    /// One of its own before the shared cluster, for a test that moves so much that others would suffer.
    pub(crate) async fn start() -> Self {
        Self::start_by(Cluster::shared().server()).await
    }

    /// The same, with another way to the apiserver than straight to it.
    pub(crate) async fn start_by(server: &str) -> Self {
        static KUBECONFIG: OnceLock<String> = OnceLock::new();
        let cluster = Cluster::shared();
        let kubeconfig = KUBECONFIG.get_or_init(|| service_account(cluster));
        let gate = Gate::start(&kubeconfig.replace(cluster.server(), server), &settings()).await;
        let admin = accounts::administrator(&gate).await;
        Self { gate, cluster, admin }
    }

    /// A new user with a token.
    pub(crate) async fn account(&self, username: &str, groups: &[&str]) -> Account {
        Account::create(&self.gate, &self.admin, username, groups).await
    }

    /// A new user with a namespace to work in. Several tests share a cluster, so each takes a name of its own.
    pub(crate) async fn user(&self, name: &str) -> User {
        let account = self.account(name, &["developers"]).await;
        let namespace = format!("{name}-{}", std::process::id());
        succeed(self.cluster.kubectl().args(["create", "namespace", &namespace]));
        let binding = ["create", "rolebinding", "may-edit", "--clusterrole=edit", "--user", name];
        succeed(self.cluster.kubectl().args(binding).args(["--namespace", &namespace]));
        let kubeconfig = self.kubeconfig(&account, &namespace);
        User { account, namespace, kubeconfig, cluster: self.cluster }
    }

    /// The real `kubectl` with nothing but the token of `account`.
    pub(crate) fn kubectl(&self, account: &Account) -> Command {
        let mut command = self.cluster.bare_kubectl();
        command.arg("--kubeconfig").arg(self.kubeconfig(account, "default"));
        command
    }

    /// One request of the management API as the administrator.
    pub(crate) async fn api(&self, method: &str, target: &str, body: &Value) -> Response {
        accounts::api(&self.gate, method, target, &self.admin, body).await
    }

    fn kubeconfig(&self, account: &Account, namespace: &str) -> PathBuf {
        let server = format!("https://{}", self.gate.endpoint.address);
        let user = json!({ "token": account.bearer });
        let path = self.gate.directory().join(format!("{}.kubeconfig", account.token_name));
        let text = kubeconfig(&server, self.gate.endpoint.ca_pem.as_bytes(), &user, namespace);
        fs::write(&path, text).unwrap();
        path
    }
}

impl User {
    /// The real `kubectl` as this user, in the user's namespace.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = self.cluster.bare_kubectl();
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command
    }

    /// The real `helm` as this user, in the user's namespace.
    pub(crate) fn helm(&self) -> Command {
        let mut command = self.cluster.bare_helm();
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command
    }

    /// Runs a pod and waits until it is ready.
    pub(crate) fn run_pod(&self, name: &str, more: &[&str], command: &[&str]) {
        let image = format!("--image={}", self.cluster.image());
        let mut run = self.kubectl();
        succeed(run.args(["run", name, &image]).args(more).arg("--").args(command));
        let pod = format!("pod/{name}");
        succeed(self.kubectl().args(["wait", "--for=condition=Ready", &pod, "--timeout=60s"]));
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut command = self.cluster.kubectl();
        let _ = command.args(["delete", "namespace", &self.namespace, "--wait=false"]).output();
    }
}

/// A command that runs beside the test, and not longer.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Read apart, so that whoever waits for a line can stop waiting.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// The next line of its output in which `text` stands.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        self.lines_to(text).pop().unwrap()
    }

    /// The next lines of its output up to the one in which `text` stands, which is among them.
    pub(crate) fn lines_to(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no {text:?} in {lines:#?}: {error}"));
            lines.push(line);
            if lines.last().unwrap().contains(text) {
                return lines;
            }
        }
    }

    /// Waits for its end, and says whether it succeeded.
    pub(crate) fn ends_well(&mut self) -> bool {
        self.rest();
        self.child.wait().unwrap().success()
    }

    /// The lines up to the end of its output.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("the command does not end"),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that has to succeed, and gives its output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that has to fail, and gives what it says.
pub(crate) fn fail(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// Runs a command to its end with `input` as its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // Beside the reading: a pipe holds little, and who waits for the other on both sides waits for ever.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    output
}

/// The cluster's audit log of the requests that came with this token, in order; none for a cluster that keeps it from us.
pub(crate) fn audited(cluster: &Cluster, token_name: &str) -> Option<Vec<Value>> {
    let log = fs::read_to_string(cluster.audit_log()?).unwrap();
    let lines = log.lines().filter(|line| line.contains(token_name));
    let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let with_token = events.filter(|event| event["impersonatedUser"]["extra"][TOKEN_EXTRA][0] == token_name);
    Some(with_token.collect())
}

/// How many of the requests with this token the apiserver has begun to answer and not ended; none for a cluster that
/// keeps its audit log from us.
pub(crate) fn open_upstream(cluster: &Cluster, token_name: &str) -> Option<usize> {
    let events = audited(cluster, token_name)?;
    let at = |stage: &str| -> HashSet<String> {
        let events = events.iter().filter(|event| event["stage"] == stage);
        events.map(|event| event["auditID"].as_str().unwrap().to_owned()).collect()
    };
    Some(at("ResponseStarted").difference(&at("ResponseComplete")).count())
}

/// How long a command may be silent while it is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The extra by which the cluster learns a token's name.
pub(crate) const TOKEN_EXTRA: &str = "portcullis.dev/token-name";

/// Gives the gate an account in the cluster as its operator would, and a kubeconfig with that account's token.
pub(crate) fn service_account(cluster: &Cluster) -> String {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rbac.yaml");
    succeed(cluster.kubectl().args(["apply", "--filename", manifest]));
    let create = ["create", "token", "portcullis", "--namespace=portcullis", "--duration=24h"];
    let token = succeed(cluster.kubectl().args(create));
    let user = json!({ "token": token.trim() });
    kubeconfig(cluster.server(), &fs::read(cluster.ca_file()).unwrap(), &user, "default")
}

/// What a gate needs to be told for tests that move much: of a log at `trace` they would see nothing else.
pub(crate) fn settings() -> Settings {
    Settings { log_level: "info", ..Settings::default() }
}

/// A kubeconfig of one context; `user` is the body of its user.
pub(crate) fn kubeconfig(server: &str, ca_pem: &[u8], user: &Value, namespace: &str) -> String {
    let ca = STANDARD.encode(ca_pem);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "it", "cluster": { "server": server, "certificate-authority-data": ca } }],
        "users": [{ "name": "it", "user": user }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it", "namespace": namespace } }],
        "current-context": "it",
    })
    .to_string()
}
