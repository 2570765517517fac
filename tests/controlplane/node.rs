//! The node: containerd with runc, and the kubelet, inside namespaces of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use serde_json::{Value, json};

use crate::cgroup;
use crate::daemon::{Daemon, run};
use crate::directory::RunDirectory;
use crate::error::{Error, doing};
use crate::events::Interrupt;
use crate::flags::{Addresses, flag};
use crate::image::{self, PAUSE_IMAGE};
use crate::network::Network;
use crate::pki::Authority;
use crate::programs::{Programs, install_packages};

/// The node's name.
pub(crate) const NAME: &str = "node1";

/// A node that runs, or is about to.
pub(crate) struct Node {
    kubelet: Option<Daemon>,
    containerd: Daemon,
    network: Network,
    ctr: PathBuf,
}

/// Whether this machine can have a node, or why it cannot.
pub(crate) fn prerequisites(programs: &Programs, interrupt: &Interrupt) -> Result<(), Error> {
    if !cfg!(target_os = "linux") {
        return Err(Error::Missing("a node needs Linux".to_owned()));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::Missing("a node needs root".to_owned()));
    }
    for name in ["kubelet", "kube-controller-manager", "kube-scheduler", "containerd", "ctr"] {
        programs.find(name)?;
    }
    install_packages(interrupt)
}

impl Node {
    /// Starts containerd and gives it the images. The network is already there: the apiserver's certificate names it.
    pub(crate) fn start(
        network: Network,
        programs: &Programs,
        directory: &RunDirectory,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        directory.write("cni/10-pods.conflist", cni_config(directory, &network.pods()).to_string())?;
        let config = directory.write("containerd.toml", containerd_config(directory)?)?;
        let mut command = network.command(&programs.find("containerd")?);
        command.arg("--config").arg(config).env("PATH", programs.search_path());
        let containerd = Daemon::start("containerd", &command, directory.path())?;
        directory.record(containerd.pid())?;
        let mut node = Self { kubelet: None, containerd, network, ctr: programs.find("ctr")? };
        let images = image::pack(directory)?;
        let mut version = node.ctr(directory);
        version.arg("version");
        node.containerd.wait_ready(interrupt, PATIENCE, || run(&mut version).is_ok())?;
        node.import(directory, &images)?;
        Ok(node)
    }

    /// Imports the images of an archive.
    pub(crate) fn import(&self, directory: &RunDirectory, archive: &Path) -> Result<(), Error> {
        run(self.ctr(directory).args(["--namespace", "k8s.io", "images", "import"]).arg(archive)).map(drop)
    }

    /// Starts the kubelet. The apiserver must be ready.
    pub(crate) fn start_kubelet(
        &mut self,
        programs: &Programs,
        authority: &Authority<'_>,
        directory: &RunDirectory,
        addresses: &Addresses,
    ) -> Result<(), Error> {
        let address = self.network.node();
        authority.serve("kubelet", &[NAME], &[address])?;
        let client = authority.client("kubelet-client", &format!("system:node:{NAME}"), "system:nodes")?;
        let kubeconfig = authority.kubeconfig("kubelet", &addresses.server_for_node(), &client)?;
        directory.write("resolv.conf", "nameserver 127.0.0.1\n")?;
        let config = directory.write("kubelet.json", kubelet_config(directory).to_string())?;
        let mut command = self.network.command(&programs.find("kubelet")?);
        command
            .args([
                flag("config", &config),
                flag("kubeconfig", &kubeconfig),
                flag("root-dir", &directory.file("kubelet")),
                flag("cert-dir", &directory.file("pki")),
                format!("--hostname-override={NAME}"),
                format!("--node-ip={address}"),
            ])
            .env("PATH", programs.search_path());
        let kubelet = Daemon::start("kubelet", &command, directory.path())?;
        directory.record(kubelet.pid())?;
        self.kubelet = Some(kubelet);
        Ok(())
    }

    /// The first program that ended by itself, as an error.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        for program in self.kubelet.iter_mut().chain([&mut self.containerd]) {
            if let Some(status) = program.exited() {
                return Some(program.failure(format!("ended with {status}")));
            }
        }
        None
    }

    /// What to say when the node does not become ready.
    pub(crate) fn not_ready(&self) -> Error {
        self.kubelet.as_ref().unwrap_or(&self.containerd).failure("runs, but the node is not ready")
    }

    /// Ends the node with every pod on it: all are inside the same namespaces.
    pub(crate) fn stop(&mut self) {
        self.network.close();
        self.containerd.kill();
        if let Some(kubelet) = &mut self.kubelet {
            kubelet.kill();
        }
    }

    fn ctr(&self, directory: &RunDirectory) -> Command {
        let mut command = self.network.command(&self.ctr);
        command.arg("--address").arg(directory.file(SOCKET));
        command
    }
}

/// Opens the node's network and its cgroups, which fails where root is not allowed to, as in many containers.
pub(crate) fn open_network(directory: &RunDirectory, interrupt: &Interrupt) -> Result<Network, Error> {
    cgroup::create(directory.name())?;
    Network::open(directory, interrupt)
}

fn containerd_config(directory: &RunDirectory) -> Result<String, Error> {
    let path = directory.path();
    let place = path.display();
    let kind = statfs(path).map_err(|errno| doing(path.display())(errno.into()))?.filesystem_type();
    // An overlay does not go on top of another.
    let snapshotter = if kind == OVERLAYFS_SUPER_MAGIC { "native" } else { "overlayfs" };
    let plugins =
        CNI_PLUGINS.iter().find(|path| Path::new(path).join("ptp").exists()).unwrap_or(&"/opt/cni/bin");
    // Without the right to lower a score (CAP_SYS_RESOURCE) runc dies of trying to: hence `restrict_oom_score_adj`.
    Ok(format!(
        r#"version = 3
root = "{place}/containerd/root"
state = "{place}/containerd/state"
[grpc]
address = "{place}/{SOCKET}"
[plugins.'io.containerd.internal.v1.opt']
path = "{place}/containerd/opt"
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.cri.v1.images']
snapshotter = "{snapshotter}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{plugins}"]
conf_dir = "{place}/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
Root = "{place}/runc"
SystemdCgroup = false
"#
    ))
}

fn cni_config(directory: &RunDirectory, pods: &str) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{ "type": "ptp", "ipMasq": false, "ipam": {
            "type": "host-local",
            "dataDir": directory.file("cni-addresses"),
            "ranges": [[{ "subnet": pods }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        } }],
    })
}

fn kubelet_config(directory: &RunDirectory) -> Value {
    let pki = directory.file("pki");
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": pki.join("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": pki.join("kubelet.crt"),
        "tlsPrivateKeyFile": pki.join("kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", directory.file(SOCKET).display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", directory.name()),
        "failCgroupV1": false,
        "failSwapOn": false,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": false,
        // A full disk is the machine's affair: a test that is evicted for it fails for nothing.
        "evictionHard": { "memory.available": "10Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "podLogsDir": directory.file("pods"),
        // There is no name server: a query is to fail at once.
        "resolvConf": directory.file("resolv.conf"),
        "clusterDNS": ["127.0.0.1"],
        "clusterDomain": "cluster.local",
        "healthzPort": 0,
        "readOnlyPort": 0,
    })
}

const SOCKET: &str = "containerd.sock";
const CNI_PLUGINS: [&str; 3] = ["/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin"];
const PATIENCE: Duration = Duration::from_secs(30);
