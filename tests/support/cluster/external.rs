//! An existing cluster, given by its kubeconfig: what the tests need to know is asked of `kubectl`.

use std::fs::{self, DirBuilder};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Error, Facts, bare};

/// Finds out what there is to know of the cluster of a kubeconfig's current context.
pub(super) fn facts(kubeconfig: &Path) -> Result<Facts, Error> {
    let kubeconfig = kubeconfig.canonicalize()?;
    let kubectl = find_kubectl()?;
    let home = private_directory()?;
    let ask = |arguments: &[&str]| {
        let mut command = bare(&kubectl, &home);
        json_of(command.arg("--kubeconfig").arg(&kubeconfig).args(arguments).args(["--output", "json"]))
    };
    let config = ask(&["config", "view", "--raw", "--flatten", "--minify"])?;
    let cluster = |name: &str| config.pointer(&format!("/clusters/0/cluster/{name}")).and_then(Value::as_str);
    let server =
        cluster("server").ok_or_else(|| Error::External("no server is named".to_owned()))?.to_owned();
    let ca_file = home.join("ca.crt");
    let ca = STANDARD.decode(cluster("certificate-authority-data").unwrap_or_default());
    fs::write(&ca_file, ca.map_err(|error| Error::External(error.to_string()))?)?;
    let nodes = ask(&["get", "nodes"])?;
    Ok(Facts {
        no_node: (!has_ready_node(&nodes)).then(|| "none of its nodes is ready".to_owned()),
        host_address: address_towards(&nodes).unwrap_or(Ipv4Addr::LOCALHOST.into()),
        image: std::env::var("PORTCULLIS_TEST_IMAGE").unwrap_or_else(|_| "busybox:1.37".to_owned()),
        audit_log: None,
        kubeconfig,
        kubectl,
        home,
        server,
        ca_file,
    })
}

fn find_kubectl() -> Result<PathBuf, Error> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    assets
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join("kubectl"))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::External("kubectl is in neither KUBEBUILDER_ASSETS nor PATH".to_owned()))
}

// One a user, used again: nothing tells us when the tests are over.
fn private_directory() -> Result<PathBuf, Error> {
    let user = nix::unistd::geteuid().as_raw();
    let path = std::env::temp_dir().join(format!("portcullis-external-{user}"));
    let _ = DirBuilder::new().mode(0o700).create(&path);
    let metadata = fs::symlink_metadata(&path)?;
    if metadata.is_dir() && metadata.uid() == user {
        Ok(path)
    } else {
        Err(Error::External(format!("{} is not a directory of ours", path.display())))
    }
}

fn json_of(command: &mut Command) -> Result<Value, Error> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(Error::External(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Error::External(error.to_string()))
}

fn has_ready_node(nodes: &Value) -> bool {
    items(nodes, "/items").any(|node| {
        items(node, "/status/conditions")
            .any(|condition| is(condition, "type", "Ready") && is(condition, "status", "True"))
    })
}

// The address we would call a node from is one that the node, and so its pods, can call back. Connecting a datagram
// socket chooses it and sends nothing.
fn address_towards(nodes: &Value) -> Option<IpAddr> {
    let internal =
        items(nodes, "/items/0/status/addresses").find(|address| is(address, "type", "InternalIP"))?;
    let node: IpAddr = internal.get("address")?.as_str()?.parse().ok()?;
    let any: IpAddr =
        if node.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((node, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn is(value: &Value, name: &str, expected: &str) -> bool {
    value.get(name).and_then(Value::as_str) == Some(expected)
}
