//! The product, as it is shipped, with a store that has a user and a token.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fixtures;
use crate::peers::{Peer, Proxy};
use crate::process::{PROXY, Place, Running, free_address};

const PATIENCE: Duration = Duration::from_secs(30);

/// Configuration and data of a gate, which can be started on them time and again.
pub(crate) struct Installation {
    pub(crate) directory: PathBuf,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

/// A running gate.
pub(crate) struct Product {
    pub(crate) proxy: Proxy,
    /// Its own configuration, certificate and logs.
    pub(crate) installation: Installation,
}

/// What a scenario may want otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'s> {
    /// As taskset names them.
    pub(crate) cores: &'s str,
    pub(crate) workers: usize,
    /// More lines of the configuration.
    pub(crate) more: &'s str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        const { assert!(PROXY == 0, "the core named below") };
        Self { cores: "0", workers: 1, more: "" }
    }
}

impl Installation {
    /// One with no data yet.
    pub(crate) fn new(place: &Place, origin: SocketAddr, setup: Setup<'_>) -> Self {
        let (address, admin) = (free_address(), free_address());
        let directory = place.directory().join(format!("portcullis-{}", address.port()));
        let installation = Self { directory, address, admin };
        std::fs::create_dir_all(installation.data()).unwrap();
        std::fs::write(installation.file("kubeconfig"), kubeconfig(place, origin)).unwrap();
        for name in ["server.crt", "server.key"] {
            std::fs::copy(place.directory().join(name), installation.file(name)).unwrap();
        }
        installation.configure(setup);
        installation
    }

    /// Sets it up otherwise. One that runs is to be told with a SIGHUP.
    pub(crate) fn configure(&self, setup: Setup<'_>) {
        let text = configuration(&self.directory, self.address, self.admin, setup);
        std::fs::write(self.file("config.yaml"), text).unwrap();
    }

    /// Where its store is.
    pub(crate) fn data(&self) -> PathBuf {
        self.file("data")
    }

    /// Starts it on these cores, as taskset names them, and waits until it is ready.
    pub(crate) fn start(&self, place: &Place, cores: &str) -> Running {
        let mut command = Command::new("sh");
        // A file for the access log, as a node's container runtime has one.
        command.args(["-c", "exec \"$0\" \"$@\" >\"$LOG\" 2>\"$LOG.errors\""]);
        command.env("LOG", self.file("access.log"));
        command.env("HOME", &self.directory).arg(env!("CARGO_BIN_EXE_portcullis")).arg("serve");
        command
            .arg("--config")
            .arg(self.file("config.yaml"))
            .arg("--kubeconfig")
            .arg(self.file("kubeconfig"));
        command.arg("--data-dir").arg(self.data());
        // Nobody is to notice its end, and the next one is not to find what a killed one leaves.
        command.args(["--shutdown-delay", "0s"]);
        let process = Running::start_on(place, cores, &command, self.address);
        let begun = Instant::now();
        while !ask_admin(self.admin, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            let errors = || std::fs::read_to_string(self.file("access.log.errors")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "not ready: {}", errors());
            sleep(Duration::from_millis(1));
        }
        process
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Product {
    /// Starts it on one core and waits until it is ready.
    pub(crate) fn start(place: &Place, origin: SocketAddr) -> Self {
        Self::start_with(place, origin, Setup::default())
    }

    /// The same, set up otherwise.
    pub(crate) fn start_with(place: &Place, origin: SocketAddr, setup: Setup<'_>) -> Self {
        let installation = Installation::new(place, origin, setup);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (store, bearer) = runtime.block_on(fixtures::store(&installation.data()));
        drop(store);
        drop(runtime);
        let process = installation.start(place, setup.cores);
        let authorization = format!("Bearer {bearer}");
        let proxy = Proxy { peer: Peer::Portcullis, address: installation.address, process, authorization };
        Self { proxy, installation }
    }

    /// One of its metrics, by name and labels.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = ask_admin(self.installation.admin, "/metrics").unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    pub(crate) fn into_proxy(self) -> Proxy {
        self.proxy
    }
}

fn kubeconfig(place: &Place, origin: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: origin\n\
         clusters: [{{name: origin, cluster: {{server: 'https://{origin}', certificate-authority: '{}/ca.crt'}}}}]\n\
         contexts: [{{name: origin, context: {{cluster: origin, user: gate}}}}]\n\
         users: [{{name: gate, user: {{token: {}}}}}]\n",
        place.directory().display(),
        place.credential()
    )
}

fn configuration(directory: &Path, listen: SocketAddr, admin: SocketAddr, setup: Setup<'_>) -> String {
    let (directory, Setup { workers, more, .. }) = (directory.display(), setup);
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Configuration\n\
         listen: '{listen}'\nadminListen: '{admin}'\nworkers: {workers}\n\
         tls:\n  certificate: '{directory}/server.crt'\n  key: '{directory}/server.key'\n{more}"
    )
}

/// The whole answer, if there is one.
fn ask_admin(admin: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(admin).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
