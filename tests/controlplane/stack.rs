//! The whole cluster: control plane and node, started in the order they need each other and stopped in the reverse.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::daemon::run_watched;
use crate::directory::RunDirectory;
use crate::error::Error;
use crate::events::Interrupt;
use crate::flags::{AUDIT_LOG, Addresses, issue_certificates};
use crate::network::Network;
use crate::node::{self, Node};
use crate::pki::Authority;
use crate::plane::Plane;
use crate::programs::Programs;
use crate::say;

/// What is wanted.
pub(crate) struct Wanted {
    /// A node besides the control plane.
    pub(crate) node: bool,
    /// Where its files go; they stay there.
    pub(crate) directory: Option<PathBuf>,
}

/// A cluster that runs. Dropping it ends everything at once; [`Stack::stop`] does so in order.
pub(crate) struct Stack {
    node: Result<Node, String>,
    plane: Plane,
    kubectl: PathBuf,
    directory: RunDirectory,
}

impl Stack {
    /// Starts everything and waits until it is ready to use.
    pub(crate) fn start(wanted: &Wanted, interrupt: &Interrupt) -> Result<Self, Error> {
        let programs = Programs::build(interrupt)?;
        let begun = Instant::now();
        let directory = RunDirectory::create(wanted.directory.as_deref())?;
        let network = open_network(wanted, &programs, &directory, interrupt)?;
        let authority = Authority::create(&directory, "ca")?;
        let addresses = Addresses::take(network.as_ref().map_or(Ipv4Addr::LOCALHOST, Network::host))?;
        issue_certificates(&authority, &directory, &addresses)?;
        say("starting etcd and kube-apiserver");
        let mut plane = Plane::start(&programs, &directory, addresses)?;
        let mut node = match network {
            Ok(network) => Ok(Node::start(network, &programs, &directory, interrupt)?),
            Err(reason) => Err(reason),
        };
        plane.wait_ready(interrupt)?;
        say(&format!("the apiserver is ready after {:.1} s", begun.elapsed().as_secs_f32()));
        plane.start_controllers(&programs, &directory)?;
        if let Ok(node) = &mut node {
            node.start_kubelet(&programs, &authority, &directory, plane.addresses())?;
        }
        let mut stack = Self { node, plane, kubectl: programs.find("kubectl")?, directory };
        stack.wait_usable(&programs, interrupt)?;
        say(&format!("the cluster is ready after {:.1} s", begun.elapsed().as_secs_f32()));
        Ok(stack)
    }

    /// What a client needs to know, in the form it is handed over.
    pub(crate) fn describe(&self) -> Value {
        let addresses = self.plane.addresses();
        json!({
            "kubeconfig": self.kubeconfig(),
            "kubectl": self.kubectl,
            "server": addresses.server(),
            "ca_file": self.directory.file("pki/ca.crt"),
            "audit_log": self.directory.file(AUDIT_LOG),
            "host_address": addresses.host,
            "directory": self.directory.path(),
            "no_node": self.node.as_ref().err(),
        })
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.file("admin.kubeconfig")
    }

    /// `kubectl`, as built.
    pub(crate) fn kubectl(&self) -> &Path {
        &self.kubectl
    }

    /// Does what a line on standard input asks for.
    pub(crate) fn obey(&mut self, line: &str, interrupt: &Interrupt) -> Result<(), Error> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("kill-apiserver", _) => self.plane.kill_apiserver(),
            ("start-apiserver", _) => self.plane.start_apiserver(&self.directory, interrupt)?,
            ("freeze-apiserver", _) => self.plane.signal_apiserver(Signal::SIGSTOP),
            ("thaw-apiserver", _) => self.plane.signal_apiserver(Signal::SIGCONT),
            ("import", archive) => match &self.node {
                Ok(node) => node.import(&self.directory, Path::new(archive))?,
                Err(reason) => return Err(Error::Missing(reason.clone())),
            },
            _ => return Err(Error::Missing(format!("there is no command {line:?}"))),
        }
        Ok(())
    }

    /// The first program that ended by itself, as an error.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        self.plane.failure().or_else(|| self.node.as_mut().ok().and_then(Node::failure))
    }

    /// Ends everything, in order, and leaves nothing behind.
    pub(crate) fn stop(mut self) {
        if let Ok(node) = &mut self.node {
            node.stop();
        }
        self.plane.stop();
    }

    // The tests make pods at once: they need the service account that pods run as, and a node to run on.
    fn wait_usable(&mut self, programs: &Programs, interrupt: &Interrupt) -> Result<(), Error> {
        if programs.find("kube-controller-manager").is_ok() {
            self.wait_for(&["--for=create", "serviceaccount/default"], interrupt)?;
        }
        if self.node.is_err() {
            return Ok(());
        }
        let object = format!("node/{}", node::NAME);
        let ready = self
            .wait_for(&["--for=create", &object], interrupt)
            .and_then(|()| self.wait_for(&["--for=condition=Ready", &object], interrupt));
        match (ready, &self.node) {
            (Err(Error::Command { .. }), Ok(node)) => Err(node.not_ready()),
            (ready, _) => ready,
        }
    }

    fn wait_for(&mut self, arguments: &[&str], interrupt: &Interrupt) -> Result<(), Error> {
        let mut command = self.plane.kubectl();
        command.args(["wait", "--timeout=90s"]).args(arguments);
        run_watched(&mut command, interrupt, || self.failure().map_or(Ok(()), Err)).map(drop)
    }
}

// The network, or the reason why there is none and thus no node. Only being told to stop ends the start here.
fn open_network(
    wanted: &Wanted,
    programs: &Programs,
    directory: &RunDirectory,
    interrupt: &Interrupt,
) -> Result<Result<Network, String>, Error> {
    if !wanted.node {
        return Ok(Err("no node was asked for".to_owned()));
    }
    let opened =
        node::prerequisites(programs, interrupt).and_then(|()| node::open_network(directory, interrupt));
    match opened {
        Ok(network) => Ok(Ok(network)),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(reason) => {
            say(&format!("no node, the control plane only: {reason}"));
            Ok(Err(reason.to_string()))
        }
    }
}
