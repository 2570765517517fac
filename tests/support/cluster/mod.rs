//! A real cluster for tests: one that is started for the test binary, or any existing one.
//!
//! `PORTCULLIS_TEST_KUBECONFIG` names the kubeconfig of a cluster to use; then nothing is started. Otherwise the
//! example `controlplane` starts one and stops it when this process ends, however it ends: it sees its standard input
//! close. See `tests/controlplane/README.md`.

#![allow(dead_code, reason = "every test binary includes this and uses its own part of it")]

mod external;
mod supervisor;

use std::io::{Write, stderr};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use supervisor::Supervisor;

/// An image that every cluster of ours has: busybox. It idles unless it is told what to run, and ends on SIGTERM.
/// [`Cluster::image`] also knows what an existing cluster is to take.
pub(crate) const TEST_IMAGE: &str = "portcullis.test/busybox:1";

/// A cluster that runs.
pub(crate) struct Cluster {
    facts: Facts,
    supervisor: Option<Mutex<Supervisor>>,
}

/// What to start.
pub(crate) struct Options {
    /// A node besides the control plane, where this machine can have one.
    pub(crate) node: bool,
    /// Where the cluster's files go and stay, instead of a temporary directory.
    pub(crate) dir: Option<PathBuf>,
}

/// Why there is no cluster, or why it did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The program that starts clusters is not built.
    #[error("{} does not exist: run `cargo build --example controlplane`", .0.display())]
    NotBuilt(PathBuf),
    /// A process or a file could not be had.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The cluster could not be started; the supervisor has said why on standard error.
    #[error("the cluster did not start, for the reason given above")]
    NotStarted,
    /// The supervisor refused a command.
    #[error("{0}")]
    Refused(String),
    /// Only a cluster that we started can be asked for this.
    #[error("the cluster is not ours to control")]
    NotOurs,
    /// The given cluster cannot be used.
    #[error("the cluster of PORTCULLIS_TEST_KUBECONFIG: {0}")]
    External(String),
}

/// What is known of a cluster.
struct Facts {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    home: PathBuf,
    server: String,
    ca_file: PathBuf,
    audit_log: Option<PathBuf>,
    host_address: IpAddr,
    image: String,
    no_node: Option<String>,
}

impl Cluster {
    /// The cluster of this test binary, started by the first test that asks for it.
    #[expect(clippy::panic, reason = "a test without its cluster has failed")]
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<Cluster, Error>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::start(&Options::default())) {
            Ok(cluster) => cluster,
            Err(error) => panic!("{error}"),
        }
    }

    /// A second control plane beside the shared cluster, without a node. It is ours even where an existing cluster is
    /// given: that is one only.
    #[expect(clippy::panic, reason = "a test without its cluster has failed")]
    pub(crate) fn second() -> &'static Self {
        static SECOND: OnceLock<Result<Cluster, Error>> = OnceLock::new();
        match SECOND.get_or_init(|| Self::start_own(&Options { node: false, dir: None })) {
            Ok(cluster) => cluster,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a cluster of its own, unless an existing one is given.
    pub(crate) fn start(options: &Options) -> Result<Self, Error> {
        if let Some(kubeconfig) = std::env::var_os("PORTCULLIS_TEST_KUBECONFIG") {
            return Ok(Self { facts: external::facts(Path::new(&kubeconfig))?, supervisor: None });
        }
        Self::start_own(options)
    }

    fn start_own(options: &Options) -> Result<Self, Error> {
        let (supervisor, facts) = Supervisor::start(options)?;
        Ok(Self { facts, supervisor: Some(Mutex::new(supervisor)) })
    }

    /// The kubeconfig of a member of `system:masters`.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.facts.kubeconfig
    }

    /// The real `kubectl`, as that administrator.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = self.bare_kubectl();
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command
    }

    /// The real `kubectl` without any credential, for a test that brings its own. It does not see the user's files.
    pub(crate) fn bare_kubectl(&self) -> Command {
        bare(&self.facts.kubectl, &self.facts.home)
    }

    /// Where `kubectl` is.
    pub(crate) fn kubectl_path(&self) -> &Path {
        &self.facts.kubectl
    }

    /// The real `helm` without any credential: the one that was built with `kubectl`, else that of `PATH`.
    pub(crate) fn bare_helm(&self) -> Command {
        let beside = self.facts.kubectl.with_file_name("helm");
        bare(if beside.exists() { &beside } else { Path::new("helm") }, &self.facts.home)
    }

    /// The informer of client-go that was built with `kubectl`, without arguments.
    pub(crate) fn informer(&self) -> Option<Command> {
        let beside = self.facts.kubectl.with_file_name("informer");
        beside.exists().then(|| bare(&beside, &self.facts.home))
    }

    /// The apiserver's URL.
    pub(crate) fn server(&self) -> &str {
        &self.facts.server
    }

    /// The certificates that the apiserver's is checked against.
    pub(crate) fn ca_file(&self) -> &Path {
        &self.facts.ca_file
    }

    /// The apiserver's audit log: one JSON line for every request it answered. An existing cluster has none for us.
    pub(crate) fn audit_log(&self) -> Option<&Path> {
        self.facts.audit_log.as_deref()
    }

    /// Whether pods can run.
    pub(crate) fn has_node(&self) -> bool {
        self.facts.no_node.is_none()
    }

    /// Why pods cannot run.
    pub(crate) fn no_node_reason(&self) -> Option<&str> {
        self.facts.no_node.as_deref()
    }

    /// An address of this machine that pods reach: what listens on it, or on all addresses, can be called by them.
    pub(crate) fn host_address(&self) -> IpAddr {
        self.facts.host_address
    }

    /// The image that pods of the tests run: [`TEST_IMAGE`], or what `PORTCULLIS_TEST_IMAGE` says.
    pub(crate) fn image(&self) -> &str {
        &self.facts.image
    }

    /// Gives the node the images of an archive, as `docker save` writes it.
    pub(crate) fn import_images(&self, archive: &Path) -> Result<(), Error> {
        self.ask(&format!("import {}", archive.display()))
    }

    /// Ends the apiserver as a crash would: its connections break, new ones are refused. Its data and address stay.
    pub(crate) fn stop_apiserver(&self) -> Result<(), Error> {
        self.ask("kill-apiserver")
    }

    /// Starts the apiserver again and waits until it is ready.
    pub(crate) fn start_apiserver(&self) -> Result<(), Error> {
        self.ask("start-apiserver")
    }

    /// Stops the apiserver and starts it again.
    pub(crate) fn restart_apiserver(&self) -> Result<(), Error> {
        self.stop_apiserver()?;
        self.start_apiserver()
    }

    /// Makes the apiserver hang: connections to it are accepted and stay unanswered.
    pub(crate) fn freeze_apiserver(&self) -> Result<(), Error> {
        self.ask("freeze-apiserver")
    }

    /// Lets a hanging apiserver go on.
    pub(crate) fn thaw_apiserver(&self) -> Result<(), Error> {
        self.ask("thaw-apiserver")
    }

    /// Stops the cluster and waits until nothing of it is left. An existing one is left alone.
    pub(crate) fn stop(self) -> Result<(), Error> {
        match self.supervisor {
            Some(supervisor) => supervisor.into_inner().unwrap_or_else(PoisonError::into_inner).stop(),
            None => Ok(()),
        }
    }

    fn ask(&self, command: &str) -> Result<(), Error> {
        let supervisor = self.supervisor.as_ref().ok_or(Error::NotOurs)?;
        supervisor.lock().unwrap_or_else(PoisonError::into_inner).ask(command)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { node: true, dir: None }
    }
}

/// Whether a test that needs pods can run. If not, it says so; where `CI` is `true` it fails instead, for there a test
/// that is skipped is a test that nobody runs.
pub(crate) fn require_node(cluster: &Cluster) -> bool {
    let Some(reason) = cluster.no_node_reason() else {
        return true;
    };
    let text = format!("{reason}; give a cluster with PORTCULLIS_TEST_KUBECONFIG=<kubeconfig>");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "this test needs a node: {text}");
    // Not `eprintln!`, which the test harness keeps to itself when a test passes.
    let _ = writeln!(stderr(), "SKIPPED: {text}");
    false
}

fn bare(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("HOME", home).env_remove("KUBECONFIG");
    command
}
