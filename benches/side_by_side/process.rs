//! Programs under measurement: each on its core, with its files in a place that goes with the run.

use std::collections::HashMap;
use std::fs::{File, read_dir, read_to_string, write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::certificates::Authority;

/// The core of the proxy.
pub(crate) const PROXY: usize = 0;
/// The core of origin and clients.
pub(crate) const OTHERS: usize = 1;

/// The variable by which programs with OpenSSL find what they are to offer.
pub(crate) const OPENSSL: (&str, &str) =
    ("OPENSSL_CONF", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/openssl.cnf"));

/// What `/proc` counts time in, whatever the kernel's own clock.
const TICKS_PER_SECOND: u32 = 100;
/// For a program to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the files of a run lie: certificates, configurations, programs. Gone with it.
pub(crate) struct Place {
    programs: PathBuf,
    directory: PathBuf,
    /// The certificate of the authority that all trust.
    pub(crate) ca_pem: String,
}

impl Place {
    pub(crate) fn new(programs: &Path) -> Self {
        let directory = std::env::temp_dir().join(format!("portcullis-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let authority = Authority::new();
        let issued = authority.issue(&["localhost", "127.0.0.1"]);
        let place = Self { programs: programs.to_owned(), directory, ca_pem: authority.pem() };
        place.stand_before_origin();
        place.write("server.crt", &issued.certificate_pem);
        place.write("server.key", &issued.key_pem);
        place.write("server.pem", &format!("{}{}", issued.certificate_pem, issued.key_pem));
        place
    }

    /// Upstream stands nginx again, which looks at no credential.
    pub(crate) fn stand_before_origin(&self) {
        self.stand_before(&self.ca_pem, "of-the-proxy");
    }

    /// What proxies that start now trust upstream, and what they present there. nginx and Envoy present what their
    /// configurations say.
    pub(crate) fn stand_before(&self, authorities_pem: &str, credential: &str) {
        self.write("ca.crt", authorities_pem);
        self.write("credential", credential);
    }

    /// What a proxy presents upstream.
    pub(crate) fn credential(&self) -> String {
        read_to_string(self.directory.join("credential")).unwrap()
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// To start one of them.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        command.env(OPENSSL.0, OPENSSL.1);
        command
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        write(&path, text).unwrap();
        path
    }

    /// One of the configurations in `benches/peers`, with what stands in double braces filled in.
    pub(crate) fn configuration(&self, name: &str, as_name: &str, values: &[(&str, &str)]) -> PathBuf {
        let path = format!("{}/benches/peers/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut text = read_to_string(path).unwrap();
        let credential = self.credential();
        let everywhere = [("DIRECTORY", self.directory.to_str().unwrap()), ("CREDENTIAL", &credential)];
        for (key, value) in values.iter().copied().chain(everywhere) {
            text = text.replace(&format!("{{{{{key}}}}}"), value);
        }
        self.write(as_name, &text)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.directory);
    }
}

/// A program that runs on a core until it is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it on one core, and waits until it listens.
    pub(crate) fn start(place: &Place, core: usize, command: &Command, listens: SocketAddr) -> Self {
        Self::start_on(place, &core.to_string(), command, listens)
    }

    /// The same on several, as taskset names them.
    pub(crate) fn start_on(place: &Place, cores: &str, command: &Command, listens: SocketAddr) -> Self {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", cores]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            pinned.env(name, value.unwrap_or_default());
        }
        let errors = place.directory().join(format!("{}.errors", listens.port()));
        pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors).unwrap());
        // From here on it is stopped whatever happens.
        let mut running = Self(pinned.spawn().unwrap());
        let begun = Instant::now();
        while TcpStream::connect(listens).is_err() {
            let ended = running.0.try_wait().unwrap();
            let says = || read_to_string(&errors).unwrap_or_default();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{command:?} does not listen: {}", says());
            sleep(Duration::from_millis(1));
        }
        running
    }

    /// Its number, which is that of the program itself where that was not started by a shell that stays.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// User and system time of it and of all its children so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let process = nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap());
        // Not killed outright: nginx would leave its worker behind.
        let _ = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM);
        let begun = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            if begun.elapsed() > Duration::from_secs(3) {
                let _ = self.0.kill();
            }
            sleep(Duration::from_millis(20));
        }
    }
}

/// Moves this program to the core of origin and clients, for scenarios whose client it is itself.
pub(crate) fn move_to_others() {
    let (core, process) = (OTHERS.to_string(), std::process::id().to_string());
    let moved = Command::new("taskset").args(["-a", "-p", "-c", &core, &process]).output().unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
}

/// User and system time of a process and of all its children so far.
pub(crate) fn cpu_of(root: u32) -> Duration {
    let ticks: u32 = tree(root).iter().map(|(_, ticks)| ticks).sum();
    Duration::from_secs(1) * ticks / TICKS_PER_SECOND
}

/// An address that nobody listens at.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

/// A process and all below it, each with its ticks in user and system so far.
pub(crate) fn tree(root: u32) -> Vec<(u32, u32)> {
    let stats: HashMap<u32, (u32, u32)> =
        read_dir("/proc").unwrap().flatten().filter_map(|entry| stat(&entry.path())).collect();
    let is_of_it = |mut process: u32| loop {
        if process == root {
            break true;
        }
        match stats.get(&process) {
            Some((parent, _)) if *parent > 1 => process = *parent,
            _ => break false,
        }
    };
    let of_it = stats.iter().filter(|(process, _)| is_of_it(**process));
    of_it.map(|(process, (_, ticks))| (*process, *ticks)).collect()
}

/// Process, its parent, and its ticks in user and system.
fn stat(directory: &Path) -> Option<(u32, (u32, u32))> {
    let process = directory.file_name()?.to_str()?.parse().ok()?;
    let text = read_to_string(directory.join("stat")).ok()?;
    // The name of the program stands in parentheses and may have anything in it.
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some((process, (number(1)?, number(11)? + number(12)?)))
}
