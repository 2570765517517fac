//! By which authorities the apiserver is trusted, and what we show it of ours, are changed while clients ask.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cluster::{Cluster, Options};
use crate::real_gate::{kubeconfig, service_account, settings, succeed};
use crate::support::accounts::{self, Account};
use crate::support::certificates::{self, Authority, Issued};
use crate::support::expect;
use crate::support::gate::Gate;
use crate::support::load::Load;
use crate::support::message::Reader;
use crate::support::mounted::Mounted;
use crate::support::report;
use crate::support::wire::{Endpoint, Http1, Http2};

const TARGET: &str = "/version";
const OURS: &str = "portcullis-by-certificate";
const ROTATIONS: usize = 2;
/// Within this a file that was put right is in use.
const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_and_certificates_are_replaced_by_the_book_without_a_failed_request() {
    if std::env::var_os("PORTCULLIS_TEST_KUBECONFIG").is_some() {
        // Somebody else's cluster keeps its certificates.
        return;
    }
    let cluster = Cluster::start(&Options { node: false, ..Options::default() }).unwrap();
    let mut site = Site::of(&cluster);
    let (gate, user) = site.gate().await;
    let load = Load::start(&gate.endpoint, &user, TARGET, [4, 4]).await;
    for _ in 0..ROTATIONS {
        site.rotate_authority(&gate).await;
        site.rotate_client_authority(&gate).await;
    }
    let good = site.mounted.read("ca.crt");
    for half in [&good[..good.len() / 2], &format!("{good}{}", &good[..good.len() / 2])] {
        site.is_refused(&gate, &[("ca.crt", half)]).await;
        gate.wait_until("telling", async || gate.stderr().contains("the last one stays in use")).await;
    }
    site.is_refused(&gate, &[("ca.crt", &good), ("client.key", &site.clients.issue_to(OURS).key_pem)]).await;
    let current = site.client.key_pem.clone();
    site.mounted.swap(&[("client.key", &current)]);
    let enough = load.done() + 500;
    gate.wait_until("serving", async || load.done() >= enough).await;
    let outcome = load.stop().await;
    outcome.expect_all_served();

    let stranger = Authority::new();
    let (bad, reason) = (stranger.pem(), "TLS with the cluster failed: invalid peer certificate");
    let trust = site.is_unavailable_with(&gate, &user, &[("ca.crt", &bad)], reason).await;
    let trusted = site.is_back_with(&gate, &user, &[("ca.crt", &good)]).await;
    let shown = stranger.issue_to(OURS);
    let bad = [("client.crt", shown.certificate_pem.as_str()), ("client.key", &shown.key_pem)];
    let known = site.is_unavailable_with(&gate, &user, &bad, "refused our own credential").await;
    let good = site.client.clone();
    let good = [("client.crt", good.certificate_pem.as_str()), ("client.key", &good.key_pem)];
    let known_again = site.is_back_with(&gate, &user, &good).await;
    let row = |time: Duration| json!({ "ms": time.as_millis() });
    report::write(
        "upstream-trust",
        &json!({
            "command": "cargo test --test it real_trust::",
            "authorities of the apiserver, one after the other": ROTATIONS,
            "authorities of our client certificate, one after the other": ROTATIONS,
            "files that were half written or no pair": 3,
            "requests": outcome.requests, "requests a second": outcome.a_second, "failed": 0,
            "after the file was changed": {
                "503 by an authority that does not fit": row(trust), "served by the right one": row(trusted),
                "503 by a client certificate that does not fit": row(known), "served by the right one again": row(known_again),
            },
        }),
    );
    cluster.stop().unwrap();
}

/// An apiserver whose certificates change, and what a gate knows of them.
struct Site {
    server: String,
    /// Where the apiserver has its own.
    pki: PathBuf,
    endpoint: Endpoint,
    /// What all its clients of another kind are vouched for by.
    first_clients: String,
    /// Who vouches for the gate, and what the gate shows.
    clients: Authority,
    client: Issued,
    mounted: Mounted,
}

impl Site {
    fn of(cluster: &Cluster) -> Self {
        service_account(cluster);
        let user = format!("--user={OURS}");
        let bind = ["create", "clusterrolebinding", OURS, "--clusterrole=portcullis", &user];
        succeed(cluster.kubectl().args(bind));
        let pki = cluster.ca_file().parent().unwrap().to_owned();
        let ca = fs::read_to_string(cluster.ca_file()).unwrap();
        let address = cluster.server().trim_start_matches("https://").parse().unwrap();
        let clients = Authority::new();
        let client = clients.issue_to(OURS);
        let mounted = Mounted::new(&[
            ("ca.crt", &ca),
            ("client.crt", &client.certificate_pem),
            ("client.key", &client.key_pem),
        ]);
        fs::write(pki.join("ca.crt"), format!("{ca}{}", clients.pem())).unwrap();
        let endpoint = Endpoint { address, ca_pem: ca.as_str().into() };
        Self {
            server: cluster.server().to_owned(),
            pki,
            endpoint,
            first_clients: ca,
            clients,
            client,
            mounted,
        }
    }

    async fn gate(&self) -> (Gate, Account) {
        let file = |name| self.mounted.path(name);
        let user = json!({ "client-certificate": file("client.crt"), "client-key": file("client.key") });
        let mut config: serde_json::Value =
            serde_json::from_str(&kubeconfig(&self.server, b"", &user, "default")).unwrap();
        config["clusters"][0]["cluster"] =
            json!({ "server": self.server, "certificate-authority": file("ca.crt") });
        let gate = Gate::start(&config.to_string(), &settings()).await;
        let admin = accounts::administrator(&gate).await;
        let account = Account::create(&gate, &admin, "alice", &[]).await;
        (gate, account)
    }

    /// Another authority for what the apiserver serves: trusted first, then used, then trusted alone.
    async fn rotate_authority(&mut self, gate: &Gate) {
        let new = Authority::new();
        let both = self.mounted.read("ca.crt") + &new.pem();
        self.is_taken(gate, &[("ca.crt", &both)]).await;
        let issued = new.issue(&["127.0.0.1", "localhost", "kubernetes"]);
        fs::write(self.pki.join("apiserver.crt"), &issued.certificate_pem).unwrap();
        fs::write(self.pki.join("apiserver.key"), &issued.key_pem).unwrap();
        self.endpoint.ca_pem = both.into();
        gate.wait_until("before an apiserver with a new certificate", async || {
            let stream = self.endpoint.connect("h2").await;
            stream.get_ref().1.peer_certificates().unwrap()[0].to_vec() == issued.certificate_der
        })
        .await;
        self.is_taken(gate, &[("ca.crt", &new.pem())]).await;
    }

    /// Another authority for what the gate shows: accepted first, then used, then accepted alone.
    async fn rotate_client_authority(&mut self, gate: &Gate) {
        let new = Authority::new();
        let client = new.issue_to(OURS);
        let accept = |authorities: &[&str]| fs::write(self.pki.join("ca.crt"), authorities.concat()).unwrap();
        accept(&[&self.first_clients, &self.clients.pem(), &new.pem()]);
        gate.wait_until("before an apiserver that knows the new certificate", async || {
            self.status_for(&client).await == 200
        })
        .await;
        let shown = [("client.crt", client.certificate_pem.as_str()), ("client.key", &client.key_pem)];
        self.is_taken(gate, &shown).await;
        accept(&[&self.first_clients, &new.pem()]);
        gate.wait_until("before an apiserver that knows the old one no more", async || {
            self.status_for(&self.client).await == 401
        })
        .await;
        (self.clients, self.client) = (new, client);
    }

    /// What the apiserver answers to whoever shows this.
    async fn status_for(&self, shown: &Issued) -> u16 {
        let tls = certificates::client_showing(self.endpoint.ca_pem.as_bytes(), shown);
        let socket = TcpStream::connect(self.endpoint.address).await.unwrap();
        let name = self.endpoint.address.ip().into();
        let stream = TlsConnector::from(tls).connect(name, socket).await.unwrap();
        Http1 { reader: Reader::new(stream) }.request("GET", TARGET, &[], b"").await.status
    }

    async fn is_taken(&self, gate: &Gate, files: &[(&str, &str)]) {
        self.is_read(gate, files, "ok").await;
    }

    async fn is_refused(&self, gate: &Gate, files: &[(&str, &str)]) {
        self.is_read(gate, files, "error").await;
    }

    /// Changes files, and waits until the gate has counted that.
    async fn is_read(&self, gate: &Gate, files: &[(&str, &str)], result: &str) {
        let series = format!("portcullis_reload_total{{what=\"cluster-access\",result=\"{result}\"}}");
        let before = gate.metric(&series).await;
        self.mounted.swap(files);
        gate.wait_until(&format!("reading with {result}"), async || gate.metric(&series).await > before)
            .await;
    }

    /// Changes files so that the apiserver and the gate can't have to do with each other: how long until that shows.
    async fn is_unavailable_with(
        &self,
        gate: &Gate,
        user: &Account,
        files: &[(&str, &str)],
        reason: &str,
    ) -> Duration {
        self.mounted.swap(files);
        let changed = Instant::now();
        gate.wait_until("unavailable", async || get(gate, user).await != 200).await;
        let elapsed = changed.elapsed();
        gate.wait_until("unready", async || gate.admin_request("/readyz").await.0 == 503).await;
        assert_eq!(get(gate, user).await, 503);
        assert!(gate.stderr().contains(reason), "{reason}: {}", gate.stderr());
        elapsed
    }

    /// Changes files to what is right: how long until that shows.
    async fn is_back_with(&self, gate: &Gate, user: &Account, files: &[(&str, &str)]) -> Duration {
        self.mounted.swap(files);
        let changed = Instant::now();
        gate.wait_until("available", async || get(gate, user).await == 200).await;
        let elapsed = changed.elapsed();
        assert!(elapsed < LIMIT, "{elapsed:?}");
        gate.wait_until("ready", async || gate.admin_request("/readyz").await.0 == 200).await;
        elapsed
    }
}

/// The status of an answer, which has to be 200, or 503 as it should be.
async fn get(gate: &Gate, user: &Account) -> u16 {
    let authorization = user.authorization();
    let lines = [("authorization", authorization.as_str())];
    let client = Http2::connect(&gate.endpoint).await;
    let response = client.request("GET", TARGET, &lines, b"").await.unwrap();
    if response.status != 200 {
        let message = expect::status(&response, 503, "ServiceUnavailable");
        assert!(response.header("retry-after").is_some() && !message.contains(OURS), "{message}");
    }
    response.status
}
