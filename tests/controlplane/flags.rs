//! The flags that the programs of the control plane get, and the addresses and certificates they need.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use crate::directory::RunDirectory;
use crate::error::{Error, doing};
use crate::pki::{Authority, service_account_keys};
use crate::programs::Programs;

/// Where the control plane listens.
pub(crate) struct Addresses {
    /// Our end of the node's cable, or loopback if there is no node.
    pub(crate) host: Ipv4Addr,
    /// The apiserver's port.
    pub(crate) apiserver: u16,
    etcd: u16,
    etcd_peer: u16,
}

impl Addresses {
    /// Takes ports that nobody uses.
    pub(crate) fn take(host: Ipv4Addr) -> Result<Self, Error> {
        // Held until all are known, so that they differ.
        let mut listeners = Vec::new();
        let mut port = || {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(doing("take a port"))?;
            let port = listener.local_addr().map_err(doing("take a port"))?.port();
            listeners.push(listener);
            Ok::<u16, Error>(port)
        };
        Ok(Self { host, apiserver: port()?, etcd: port()?, etcd_peer: port()? })
    }

    /// The apiserver as we reach it.
    pub(crate) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver)
    }

    /// The apiserver as the node and its pods reach it.
    pub(crate) fn server_for_node(&self) -> String {
        format!("https://{}:{}", self.host, self.apiserver)
    }

    fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd)
    }
}

/// Issues what the control plane serves and identifies itself with, and writes the kubeconfigs.
pub(crate) fn issue_certificates(
    authority: &Authority<'_>,
    directory: &RunDirectory,
    addresses: &Addresses,
) -> Result<(), Error> {
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    authority.serve("apiserver", &names, &[Ipv4Addr::LOCALHOST, FIRST_SERVICE, addresses.host])?;
    authority.client("apiserver-to-kubelet", "kube-apiserver-kubelet-client", "system:masters")?;
    for (name, user, group) in [
        ("admin", "kubernetes-admin", "system:masters"),
        // Without that group most controllers are forbidden most of what they do.
        ("kube-controller-manager", "system:kube-controller-manager", "system:masters"),
        ("kube-scheduler", "system:kube-scheduler", "system:kube-schedulers"),
    ] {
        let client = authority.client(name, user, group)?;
        authority.kubeconfig(name, &addresses.server(), &client)?;
    }
    let front_proxy = Authority::create(directory, "front-proxy-ca")?;
    front_proxy.client("front-proxy", "front-proxy", "front-proxy")?;
    service_account_keys(directory)
}

/// etcd, on loopback.
pub(crate) fn etcd(
    programs: &Programs,
    directory: &RunDirectory,
    addresses: &Addresses,
) -> Result<Command, Error> {
    let url = addresses.etcd_url();
    let peer = format!("http://127.0.0.1:{}", addresses.etcd_peer);
    let mut command = programs.command("etcd")?;
    command.arg(flag("data-dir", &directory.file("etcd"))).args([
        // The data lives as long as the run.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]);
    Ok(command)
}

/// The apiserver, with an audit log of every request.
pub(crate) fn apiserver(
    programs: &Programs,
    directory: &RunDirectory,
    addresses: &Addresses,
) -> Result<Command, Error> {
    let policy = directory.write("audit-policy.json", AUDIT_POLICY)?;
    let pki = directory.file("pki");
    // The node reaches us at our end of its cable. Without a node there is no reason to listen to the network.
    let bind = if addresses.host.is_loopback() { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    let mut command = programs.command("kube-apiserver")?;
    command.args([
        format!("--etcd-servers={}", addresses.etcd_url()),
        format!("--secure-port={}", addresses.apiserver),
        format!("--bind-address={bind}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-allowed-names=front-proxy".to_owned(),
        flag("cert-dir", &pki),
        flag("tls-cert-file", &pki.join("apiserver.crt")),
        flag("tls-private-key-file", &pki.join("apiserver.key")),
        flag("client-ca-file", &pki.join("ca.crt")),
        flag("requestheader-client-ca-file", &pki.join("front-proxy-ca.crt")),
        flag("service-account-key-file", &pki.join("service-accounts.pub")),
        flag("service-account-signing-key-file", &pki.join("service-accounts.key")),
        flag("kubelet-client-certificate", &pki.join("apiserver-to-kubelet.crt")),
        flag("kubelet-client-key", &pki.join("apiserver-to-kubelet.key")),
        flag("kubelet-certificate-authority", &pki.join("ca.crt")),
        flag("audit-policy-file", &policy),
        flag("audit-log-path", &directory.file(AUDIT_LOG)),
    ]);
    if !addresses.host.is_loopback() {
        command.arg(format!("--advertise-address={}", addresses.host));
    }
    Ok(command)
}

/// The controllers.
pub(crate) fn controller_manager(programs: &Programs, directory: &RunDirectory) -> Result<Command, Error> {
    let pki = directory.file("pki");
    let mut command = programs.command("kube-controller-manager")?;
    command
        .args(["--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=false"])
        .args([
            flag("kubeconfig", &directory.file("kube-controller-manager.kubeconfig")),
            flag("service-account-private-key-file", &pki.join("service-accounts.key")),
            flag("root-ca-file", &pki.join("ca.crt")),
            flag("cluster-signing-cert-file", &pki.join("ca.crt")),
            flag("cluster-signing-key-file", &pki.join("ca.key")),
        ]);
    Ok(command)
}

/// The scheduler.
pub(crate) fn scheduler(programs: &Programs, directory: &RunDirectory) -> Result<Command, Error> {
    let mut command = programs.command("kube-scheduler")?;
    command
        .args(["--leader-elect=false", "--secure-port=0"])
        .arg(flag("kubeconfig", &directory.file("kube-scheduler.kubeconfig")));
    Ok(command)
}

/// A flag whose value is a path.
pub(crate) fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// The audit log's name in the run's directory.
pub(crate) const AUDIT_LOG: &str = "audit.log";

// Who asked for what, and as whom, for every request; no bodies. One line a request, when it is answered.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy",
"omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}"#;

const SERVICES: &str = "10.96.0.0/16";
const FIRST_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
