//! The control plane: etcd, the apiserver, the controllers and the scheduler, with the flags they get.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, run};
use crate::directory::RunDirectory;
use crate::error::Error;
use crate::events::Interrupt;
use crate::flags::{self, Addresses, flag};
use crate::programs::Programs;

/// The programs of the control plane that run.
pub(crate) struct Plane {
    // Dropped in this order, which is the order to end them in.
    controllers: Vec<Daemon>,
    apiserver: Option<Daemon>,
    etcd: Daemon,
    apiserver_command: Command,
    kubectl: PathBuf,
    directory: PathBuf,
    addresses: Addresses,
}

impl Plane {
    /// Starts etcd and the apiserver, and does not wait for them.
    pub(crate) fn start(
        programs: &Programs,
        directory: &RunDirectory,
        addresses: Addresses,
    ) -> Result<Self, Error> {
        let etcd = start("etcd", &flags::etcd(programs, directory, &addresses)?, directory)?;
        let apiserver_command = flags::apiserver(programs, directory, &addresses)?;
        let apiserver = start(APISERVER, &apiserver_command, directory)?;
        Ok(Self {
            controllers: Vec::new(),
            apiserver: Some(apiserver),
            etcd,
            apiserver_command,
            kubectl: programs.find("kubectl")?,
            directory: directory.path().to_owned(),
            addresses,
        })
    }

    /// Waits until the apiserver answers that it is ready.
    pub(crate) fn wait_ready(&mut self, interrupt: &Interrupt) -> Result<(), Error> {
        if let Some(status) = self.etcd.exited() {
            return Err(self.etcd.failure(format!("ended with {status}")));
        }
        let (port, mut readyz) = (self.addresses.apiserver, self.kubectl());
        readyz.args(["get", "--raw", "/readyz"]);
        let Some(apiserver) = &mut self.apiserver else {
            return Err(Error::Missing("the apiserver is stopped".to_owned()));
        };
        apiserver.wait_ready(interrupt, PATIENCE, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() && run(&mut readyz).is_ok()
        })
    }

    /// Starts the controllers and the scheduler, as far as there are programs for them. The apiserver must be ready.
    pub(crate) fn start_controllers(
        &mut self,
        programs: &Programs,
        directory: &RunDirectory,
    ) -> Result<(), Error> {
        if let Ok(command) = flags::controller_manager(programs, directory) {
            self.controllers.push(start("kube-controller-manager", &command, directory)?);
        }
        if let Ok(command) = flags::scheduler(programs, directory) {
            self.controllers.push(start("kube-scheduler", &command, directory)?);
        }
        Ok(())
    }

    /// Ends the apiserver as a crash would; its port and its data stay. Asked politely it would wait for every watch.
    pub(crate) fn kill_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Starts the apiserver again, if it is stopped, and waits until it is ready.
    pub(crate) fn start_apiserver(
        &mut self,
        directory: &RunDirectory,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        if self.apiserver.is_none() {
            self.apiserver = Some(start(APISERVER, &self.apiserver_command, directory)?);
        }
        self.wait_ready(interrupt)
    }

    /// Sends the apiserver a signal: SIGSTOP makes it accept connections and answer none.
    pub(crate) fn signal_apiserver(&self, signal: Signal) {
        if let Some(apiserver) = &self.apiserver {
            apiserver.signal(signal);
        }
    }

    /// The first program that ended by itself, as an error.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        let programs = self.controllers.iter_mut().chain(&mut self.apiserver).chain([&mut self.etcd]);
        for program in programs {
            if let Some(status) = program.exited() {
                return Some(program.failure(format!("ended with {status}")));
            }
        }
        None
    }

    /// Ends all of it, in order.
    pub(crate) fn stop(&mut self) {
        for controller in &mut self.controllers {
            // They hold nothing: what they know is in etcd.
            controller.kill();
        }
        if let Some(apiserver) = &mut self.apiserver {
            apiserver.stop();
        }
        self.etcd.stop();
    }

    /// `kubectl` as a member of `system:masters`.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .arg(flag("kubeconfig", &self.directory.join("admin.kubeconfig")))
            .env("HOME", self.directory.join("home"))
            .env_remove("KUBECONFIG");
        command
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }
}

fn start(name: &'static str, command: &Command, directory: &RunDirectory) -> Result<Daemon, Error> {
    let daemon = Daemon::start(name, command, directory.path())?;
    directory.record(daemon.pid())?;
    Ok(daemon)
}

const APISERVER: &str = "kube-apiserver";
const PATIENCE: Duration = Duration::from_secs(90);
