//! The product, as it is shipped, with a store that has a user and a token.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::fixtures;
use crate::peers::{Peer, Proxy};
use crate::process::{PROXY, Place, Running, free_address};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running gate.
pub(crate) struct Product {
    process: Running,
    address: SocketAddr,
    bearer: String,
}

impl Product {
    /// Starts it on one core and waits until it is ready.
    pub(crate) fn start(place: &Place, origin: SocketAddr) -> Self {
        let (address, admin) = (free_address(), free_address());
        let directory = place.directory().join(format!("portcullis-{}", address.port()));
        std::fs::create_dir_all(directory.join("data")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (store, bearer) = runtime.block_on(fixtures::store(&directory.join("data")));
        drop(store);
        drop(runtime);
        let file = |name: &str| directory.join(name);
        std::fs::write(file("kubeconfig"), kubeconfig(place, origin)).unwrap();
        std::fs::write(file("config.yaml"), configuration(place, address, admin)).unwrap();
        let mut command = Command::new("sh");
        // A file for the access log, as a node's container runtime has one.
        command.args(["-c", "exec \"$0\" \"$@\" >\"$LOG\" 2>\"$LOG.errors\""]).env("LOG", file("access.log"));
        command.env("HOME", &directory).arg(env!("CARGO_BIN_EXE_portcullis")).arg("serve");
        command.arg("--config").arg(file("config.yaml")).arg("--kubeconfig").arg(file("kubeconfig"));
        command.arg("--data-dir").arg(file("data"));
        let process = Running::start(place, PROXY, &command, address);
        let begun = Instant::now();
        while !is_ready(admin) {
            let errors = || std::fs::read_to_string(file("access.log.errors")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "not ready: {}", errors());
            sleep(Duration::from_millis(50));
        }
        Self { process, address, bearer }
    }

    pub(crate) fn into_proxy(self) -> Proxy {
        Proxy {
            peer: Peer::Portcullis,
            address: self.address,
            process: self.process,
            authorization: format!("Bearer {}", self.bearer),
        }
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

fn configuration(place: &Place, listen: SocketAddr, admin: SocketAddr) -> String {
    let directory = place.directory().display();
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Configuration\n\
         listen: '{listen}'\nadminListen: '{admin}'\nworkers: 1\n\
         tls:\n  certificate: '{directory}/server.crt'\n  key: '{directory}/server.key'\n"
    )
}

fn is_ready(admin: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(admin) else { return false };
    let mut answer = String::new();
    let request = b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
    stream.write_all(request).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
