//! The real binary as its users start it, in a directory of its own, on ports of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::canary;
use super::directory::Directory;
use super::message::text;
use super::wire::Endpoint;
use super::{PATIENCE, within};

/// How a gate is started.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Trace unless a test moves so many bytes that tracing them would be the test.
    pub(crate) log_level: &'static str,
    /// Keys of `limits` in the configuration.
    pub(crate) limits: Vec<(&'static str, &'static str)>,
    /// Other keys of the configuration.
    pub(crate) keys: Vec<(&'static str, &'static str)>,
    /// The address to listen on.
    pub(crate) host: IpAddr,
}

/// A running gate. It is killed when dropped, after its output and its data were searched for secrets.
pub(crate) struct Gate {
    child: Child,
    pub(crate) endpoint: Endpoint,
    pub(crate) admin: SocketAddr,
    output: Arc<Output>,
    secrets: Mutex<Vec<String>>,
    directory: Directory,
}

#[derive(Default)]
struct Output {
    stdout: Mutex<Vec<u8>>,
    stderr: Mutex<Vec<u8>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { log_level: "trace", limits: Vec::new(), keys: Vec::new(), host: Ipv4Addr::LOCALHOST.into() }
    }
}

impl Gate {
    /// Starts it in front of the cluster that `kubeconfig` describes and waits until it is ready.
    pub(crate) async fn start(kubeconfig: &str, settings: &Settings) -> Self {
        let gate = Self::start_unready(kubeconfig, settings).await;
        gate.wait_until("ready", async || gate.admin_request("/readyz").await.0 == 200).await;
        gate
    }

    /// Starts it and waits only until it listens.
    pub(crate) async fn start_unready(kubeconfig: &str, settings: &Settings) -> Self {
        let directory = Directory::new();
        let path = directory.path();
        std::fs::write(path.join("kubeconfig"), kubeconfig).unwrap();
        write_configuration(path, settings);
        let output = Arc::new(Output::default());
        let child = spawn(path, &output);
        let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = Endpoint { address: unspecified, ca_pem: "".into() };
        let secrets = Mutex::default();
        let mut gate = Self { child, endpoint, admin: unspecified, output, secrets, directory };
        gate.find_endpoints().await;
        gate
    }

    /// The next start is with other settings.
    pub(crate) fn configure(&self, settings: &Settings) {
        write_configuration(self.directory.path(), settings);
    }

    /// Gives the running gate other settings, and waits until it has taken them over.
    pub(crate) async fn reconfigure(&self, settings: &Settings) {
        let before = self.metric(TAKEN_OVER).await;
        self.configure(settings);
        self.signal(Signal::SIGHUP);
        self.wait_until("following its configuration", async || self.metric(TAKEN_OVER).await > before).await;
    }

    /// Starts it again on what it left behind, after it has ended, and waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        std::fs::remove_file(self.data_directory().join("endpoints.json")).unwrap();
        self.child = spawn(self.directory.path(), &self.output);
        self.find_endpoints().await;
        self.wait_until("ready", async || self.admin_request("/readyz").await.0 == 200).await;
    }

    /// Another one on a copy of what this one, which has ended, has left behind.
    pub(crate) async fn twin(&self) -> Self {
        let directory = Directory::new();
        std::fs::create_dir(directory.path().join("data")).unwrap();
        for part in ["", "data"] {
            for entry in std::fs::read_dir(self.directory.path().join(part)).unwrap().flatten() {
                if entry.file_type().unwrap().is_file() && entry.file_name() != "endpoints.json" {
                    std::fs::copy(entry.path(), directory.path().join(part).join(entry.file_name())).unwrap();
                }
            }
        }
        let output = Arc::new(Output::default());
        let child = spawn(directory.path(), &output);
        let (endpoint, admin, secrets) = (self.endpoint.clone(), self.admin, Mutex::new(self.secrets()));
        let mut twin = Self { child, endpoint, admin, output, secrets, directory };
        twin.find_endpoints().await;
        twin.wait_until("ready", async || twin.admin_request("/readyz").await.0 == 200).await;
        twin
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process_id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end; `None` if a signal killed it.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "the gate does not end: {}", self.stderr());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Its resident memory.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Where the gate keeps its store.
    pub(crate) fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A place for a test's files that goes with the gate.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// From now on `secret` may appear nowhere.
    pub(crate) fn keep_secret(&self, secret: &str) {
        self.secrets.lock().unwrap().push(secret.to_owned());
    }

    /// What may appear nowhere.
    pub(crate) fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap().clone()
    }

    /// Standard output so far: the access log.
    pub(crate) fn stdout(&self) -> String {
        text(&self.output.stdout.lock().unwrap())
    }

    /// Standard error so far: diagnostics.
    pub(crate) fn stderr(&self) -> String {
        text(&self.output.stderr.lock().unwrap())
    }

    /// A GET of the admin listener: status and body.
    pub(crate) async fn admin_request(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        within("the admin listener", async {
            let mut stream = TcpStream::connect(self.admin).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_to_end(&mut answer).await.unwrap();
        })
        .await;
        let answer = text(&answer);
        let status = answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// The sum of the series of its metrics that have this name, and these labels if there are any.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.admin_request("/metrics").await;
        let series = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Asks until the answer is yes. For states of another process that announces no change of them.
    pub(crate) async fn wait_until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let start = Instant::now();
        while !condition().await {
            assert!(start.elapsed() < PATIENCE, "the gate is not {what}: {}", self.stderr());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The first secret found in what the gate has written so far, in output or in files.
    pub(crate) fn leak(&self) -> Option<String> {
        let secrets = self.secrets.lock().unwrap();
        let streams = [("stdout", &self.output.stdout), ("stderr", &self.output.stderr)];
        let in_streams = streams.into_iter().find_map(|(name, stream)| {
            canary::leak(&stream.lock().unwrap(), &secrets).map(|leak| format!("{name} has {leak}"))
        });
        in_streams.or_else(|| leak_in_files(&self.data_directory(), &secrets))
    }

    async fn find_endpoints(&mut self) {
        let file = self.data_directory().join("endpoints.json");
        let start = Instant::now();
        while !file.exists() {
            let exited = self.child.try_wait().unwrap();
            assert!(
                exited.is_none() && start.elapsed() < PATIENCE,
                "no endpoints: {exited:?} {}",
                self.stderr()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let endpoints: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let address = |name: &str| endpoints[name].as_str().unwrap().parse::<SocketAddr>().unwrap();
        self.endpoint.address = address("listen");
        self.endpoint.ca_pem =
            std::fs::read_to_string(self.data_directory().join("ca.crt")).unwrap_or_default().into();
        self.admin = address("admin");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let (stdout, stderr) = (self.stdout(), self.stderr());
            eprintln!("the gate's last words:\n{}\n{}", tail(&stdout, 3_000), tail(&stderr, 6_000));
        } else if let Some(leak) = self.leak() {
            panic!("a secret leaked: {leak}");
        }
    }
}

/// Counts changes of the configuration that are in use.
pub(crate) const TAKEN_OVER: &str = "portcullis_reload_total{what=\"configuration\",result=\"ok\"}";

/// Starts the binary on the files in `path`.
fn spawn(path: &Path, output: &Arc<Output>) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("serve")
        .args([Path::new("--config"), &path.join("config.yaml")])
        .args([Path::new("--kubeconfig"), &path.join("kubeconfig")])
        .args([Path::new("--data-dir"), &path.join("data")])
        .args(["--admin-listen", "127.0.0.1:0"])
        .env_clear()
        .env("HOME", path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    collect(child.stdout.take().unwrap(), output, |output| &output.stdout);
    collect(child.stderr.take().unwrap(), output, |output| &output.stderr);
    child
}

/// The end of a text, from the beginning of a line.
fn tail(text: &str, bytes: usize) -> &str {
    let from = (text.len().saturating_sub(bytes)..text.len()).find(|from| text.is_char_boundary(*from));
    &text[from.unwrap_or(0)..]
}

fn write_configuration(directory: &Path, settings: &Settings) {
    std::fs::write(directory.join("config.yaml"), configuration(settings)).unwrap();
}

fn configuration(settings: &Settings) -> String {
    let mut text = "apiVersion: portcullis.dev/v1alpha1\nkind: Configuration\n".to_owned();
    text += &format!("log:\n  format: json\n  level: {}\n  access: true\n", settings.log_level);
    text += &format!("listen: '{}'\n", SocketAddr::from((settings.host, 0)));
    for (key, value) in &settings.keys {
        text += &format!("{key}: {value}\n");
    }
    text += "limits:\n";
    // No load balancer has to notice that a test's gate goes away.
    if settings.limits.iter().all(|(key, _)| *key != "shutdownDelay") {
        text += "  shutdownDelay: 0s\n";
    }
    for (key, value) in &settings.limits {
        text += &format!("  {key}: {value}\n");
    }
    text
}

fn leak_in_files(directory: &Path, secrets: &[String]) -> Option<String> {
    std::fs::read_dir(directory).ok()?.flatten().find_map(|entry| {
        let bytes = std::fs::read(entry.path()).ok()?;
        canary::leak(&bytes, secrets).map(|leak| format!("{} has {leak}", entry.path().display()))
    })
}

fn collect(stream: impl Read + Send + 'static, output: &Arc<Output>, part: fn(&Output) -> &Mutex<Vec<u8>>) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        loop {
            let length = match reader.fill_buf() {
                Ok([]) | Err(_) => return,
                Ok(bytes) => {
                    part(&output).lock().unwrap().extend_from_slice(bytes);
                    bytes.len()
                }
            };
            reader.consume(length);
        }
    });
}
