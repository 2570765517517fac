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

/// A running gate.
pub(crate) struct Product {
    pub(crate) proxy: Proxy,
    /// Where its own configuration, certificate and logs lie.
    pub(crate) directory: PathBuf,
    admin: SocketAddr,
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

impl Product {
    /// Starts it on one core and waits until it is ready.
    pub(crate) fn start(place: &Place, origin: SocketAddr) -> Self {
        Self::start_with(place, origin, Setup::default())
    }

    /// The same, set up otherwise.
    pub(crate) fn start_with(place: &Place, origin: SocketAddr, setup: Setup<'_>) -> Self {
        let (address, admin) = (free_address(), free_address());
        let directory = place.directory().join(format!("portcullis-{}", address.port()));
        std::fs::create_dir_all(directory.join("data")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (store, bearer) = runtime.block_on(fixtures::store(&directory.join("data")));
        drop(store);
        drop(runtime);
        let file = |name: &str| directory.join(name);
        for name in ["server.crt", "server.key"] {
            std::fs::copy(place.directory().join(name), file(name)).unwrap();
        }
        std::fs::write(file("kubeconfig"), kubeconfig(place, origin)).unwrap();
        std::fs::write(file("config.yaml"), configuration(&directory, address, admin, setup)).unwrap();
        let mut command = Command::new("sh");
        // A file for the access log, as a node's container runtime has one.
        command.args(["-c", "exec \"$0\" \"$@\" >\"$LOG\" 2>\"$LOG.errors\""]).env("LOG", file("access.log"));
        command.env("HOME", &directory).arg(env!("CARGO_BIN_EXE_portcullis")).arg("serve");
        command.arg("--config").arg(file("config.yaml")).arg("--kubeconfig").arg(file("kubeconfig"));
        command.arg("--data-dir").arg(file("data"));
        let process = Running::start_on(place, setup.cores, &command, address);
        let begun = Instant::now();
        while !ask_admin(admin, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            let errors = || std::fs::read_to_string(file("access.log.errors")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "not ready: {}", errors());
            sleep(Duration::from_millis(50));
        }
        let authorization = format!("Bearer {bearer}");
        let proxy = Proxy { peer: Peer::Portcullis, address, process, authorization };
        Self { proxy, directory, admin }
    }

    /// Sets it up otherwise while it runs; to be told with a SIGHUP.
    pub(crate) fn configure(&self, setup: Setup<'_>) {
        let text = configuration(&self.directory, self.proxy.address, self.admin, setup);
        std::fs::write(self.directory.join("config.yaml"), text).unwrap();
    }

    /// One of its metrics, by name and labels.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = ask_admin(self.admin, "/metrics").unwrap();
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
         users: [{{name: gate, user: {{token: of-the-proxy}}}}]\n",
        place.directory().display()
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
