//! The cluster, and what is in it for the bench: objects, and those who may read them.

use std::fs::{read_dir, read_to_string};
use std::net::SocketAddr;
use std::process::Command;

use http::Method;
use serde_json::json;

use super::client::Client;
use super::way::Way;
use crate::cluster::{Cluster, Options};
use crate::load::Protocol;
use crate::process::{OTHERS, PROXY, Place};

/// How many objects there are…
pub(super) const ITEMS: usize = 1000;
/// …and what makes each so long that all together are 1.2 MB.
const TEXT: usize = 808;
/// One of them, as kubectl asks for it.
pub(super) const OBJECT: &str = "/api/v1/namespaces/measured/configmaps/item-500";
/// All of them, as controllers ask for them: of the apiserver's memory.
pub(super) const LIST: &str = "/api/v1/namespaces/measured/configmaps?resourceVersion=0";

/// A control plane that runs.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    /// Of the apiserver, if it runs here.
    pub(super) process: Option<u32>,
    /// Who vouch for it and for the proxies.
    pub(super) authorities_pem: String,
    /// What a proxy presents.
    pub(super) credential: String,
    /// The header of whoever asks directly.
    pub(super) authorization: String,
    _cluster: Cluster,
}

impl Upstream {
    /// Starts it, on the core of origin and clients; builds it before if it has never been built.
    pub(super) fn start(place: &Place) -> Self {
        build();
        let _pinned = Pinned::to_others();
        let cluster = Cluster::start(&Options { node: false, dir: None }).unwrap();
        let kubectl = |arguments: &str| {
            let mut command = cluster.kubectl();
            let output = command.args(arguments.split(' ')).output().unwrap();
            assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        kubectl(concat!("apply --filename ", env!("CARGO_MANIFEST_DIR"), "/deploy/rbac.yaml"));
        kubectl("create namespace measured");
        kubectl("create serviceaccount direct --namespace measured");
        kubectl("create clusterrole measured --verb=get,list,watch,create,update --resource=configmaps");
        kubectl(
            "create clusterrolebinding measured --clusterrole=measured --user=alice --serviceaccount=measured:direct",
        );
        let token = |account: &str| kubectl(&format!("create token --duration=24h {account}"));
        let (credential, direct) =
            (token("portcullis --namespace portcullis"), token("direct --namespace measured"));
        let address: SocketAddr = cluster.server().trim_start_matches("https://").parse().unwrap();
        let upstream = Self {
            address,
            process: apiserver(address.port()),
            // The relay and the clients of both sides look into the same file.
            authorities_pem: format!("{}{}", place.ca_pem, read_to_string(cluster.ca_file()).unwrap()),
            credential,
            authorization: format!("Bearer {direct}"),
            _cluster: cluster,
        };
        place.stand_before(&upstream.authorities_pem, &upstream.credential);
        upstream.fill(place);
        upstream
    }

    fn fill(&self, place: &Place) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let direct = Way::direct(self);
            let mut client = Client::connect(place, &direct.target(), Protocol::Http2).await;
            for number in 0..ITEMS {
                let object = object(&format!("item-{number:03}"), &"abcdefgh".repeat(TEXT / 8));
                client.ask(Method::POST, "/api/v1/namespaces/measured/configmaps", object).await;
            }
        });
    }
}

/// A `ConfigMap`.
pub(super) fn object(name: &str, text: &str) -> String {
    let metadata = json!({ "name": name, "namespace": "measured" });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "text": text } })
        .to_string()
}

/// The bench itself on the core of origin and clients, and with it every program that it starts and says nothing else of.
pub(super) struct Pinned;

impl Pinned {
    pub(super) fn to_others() -> Self {
        pin(&OTHERS.to_string());
        Self
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        pin(&format!("{PROXY},{OTHERS}"));
    }
}

fn pin(cores: &str) {
    let process = std::process::id().to_string();
    let output = Command::new("taskset").args(["-cp", cores, &process]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Builds the programs of the cluster, with all cores: it takes minutes, once.
fn build() {
    if std::env::var_os("PORTCULLIS_TEST_KUBECONFIG").is_some() {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controlplane/build");
    // Its output is the directory, which whoever starts the cluster asks for again.
    let output = Command::new(script).stderr(std::process::Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{script} failed");
}

/// The process that listens at this port for the cluster.
fn apiserver(port: u16) -> Option<u32> {
    let flag = format!("--secure-port={port}");
    read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let arguments = read_to_string(entry.path().join("cmdline")).ok()?;
        let is_it = arguments.split('\0').any(|argument| argument == flag);
        is_it.then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    })
}
