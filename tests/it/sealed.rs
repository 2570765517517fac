//! Credentials of clusters that were given by value, when their key file is gone or another one, and in backups.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::canary;
use crate::support::command_line::CommandLine;
use crate::support::rig::{Account, Rig};
use crate::support::stub::Stub;

const CREDENTIAL: &str = "hunter2-of-the-sealed-cluster-hunter2";
const FAILED: &str = "portcullis_reload_total{what=\"cluster-access\",result=\"error\"}";

/// A gate, and a cluster besides whose credential is sealed.
struct Sealed {
    rig: Rig,
    stub: Stub,
    account: Account,
    id: String,
}

impl Sealed {
    async fn start() -> Self {
        let (rig, stub) = (Rig::start().await, Stub::start(&["h2", "http/1.1"]).await);
        stub.accept_only(&format!("Bearer {CREDENTIAL}"));
        rig.gate.keep_secret(CREDENTIAL);
        let account = rig.account("alice", &[]).await;
        let added = rig.api("POST", "/v3/clusters", rig.admin(), &description(&stub, "sealed")).await;
        assert_eq!(added.status, 201, "{}", added.text());
        let id = added.json()["id"].as_str().unwrap().to_owned();
        Self { rig, stub, account, id }
    }

    fn key_file(&self) -> PathBuf {
        self.rig.gate.data_directory().join("cluster.key")
    }

    async fn status(&self, path: &str) -> u16 {
        let lines = [("authorization", &*self.account.authorization())];
        self.rig.http1().await.request("GET", path, &lines, b"").await.status
    }

    async fn sealed(&self) -> u16 {
        self.status(&format!("/k8s/clusters/{}/api/v1/pods", self.id)).await
    }

    async fn shown(&self) -> Value {
        let target = format!("/v3/clusters/{}", self.id);
        self.rig.api("GET", &target, self.rig.admin(), &Value::Null).await.json()
    }
}

fn description(stub: &Stub, name: &str) -> Value {
    json!({
        "name": name,
        "endpoints": [format!("https://127.0.0.1:{}", stub.port)],
        "caCert": &*stub.ca_pem,
        "credential": { "token": CREDENTIAL },
    })
}

#[tokio::test]
async fn a_key_file_that_goes_missing_or_wrong_costs_a_running_gate_nothing_it_has() {
    let sealed = Sealed::start().await;
    let (gate, key) = (&sealed.rig.gate, fs::read(sealed.key_file()).unwrap());
    for (damage, said) in [
        (None, "is missing"),
        (Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), "has another key than"),
        (Some("half of a ke"), "has no key in it"),
    ] {
        let before = gate.metric(FAILED).await;
        match damage {
            None => fs::remove_file(sealed.key_file()).unwrap(),
            Some(text) => fs::write(sealed.key_file(), text).unwrap(),
        }
        gate.signal(Signal::SIGHUP);
        gate.wait_until("missing its key", async || gate.metric(FAILED).await > before).await;
        gate.wait_until("telling why", async || gate.stderr().contains(said)).await;
        assert_eq!((sealed.sealed().await, sealed.status("/api/v1/pods").await), (200, 200), "{said}");
        assert_eq!(gate.admin_request("/readyz").await.0, 200);
    }
    fs::remove_file(sealed.key_file()).unwrap();
    // Another would take the place of the one that has to be put back.
    let another = description(&sealed.stub, "another");
    let refused = sealed.rig.api("POST", "/v3/clusters", sealed.rig.admin(), &another).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("is missing: put it back"), "{}", refused.text());
    assert!(!sealed.key_file().exists());
    fs::write(sealed.key_file(), key).unwrap();
    let added = sealed.rig.api("POST", "/v3/clusters", sealed.rig.admin(), &another).await;
    assert_eq!(added.status, 201, "{}", added.text());
}

#[tokio::test]
async fn without_its_key_a_sealed_cluster_says_what_is_wrong_and_works_once_the_right_one_is_back() {
    let mut sealed = Sealed::start().await;
    let key = fs::read(sealed.key_file()).unwrap();
    for (text, said) in [
        (None, "is missing"),
        (Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), "has another key than"),
    ] {
        sealed.rig.gate.signal(Signal::SIGTERM);
        assert_eq!(sealed.rig.gate.exit_code().await, Some(0));
        match text {
            None => fs::remove_file(sealed.key_file()).unwrap(),
            Some(text) => fs::write(sealed.key_file(), text).unwrap(),
        }
        // It is ready: the default cluster is no worse for it.
        sealed.rig.gate.restart().await;
        assert_eq!((sealed.sealed().await, sealed.status("/api/v1/pods").await), (503, 200));
        let shown = sealed.shown().await;
        assert_eq!((&shown["state"], &shown["transitioning"]), (&"unavailable".into(), &"error".into()));
        let message = shown["transitioningMessage"].as_str().unwrap();
        assert!(message.contains("cluster.key") && message.contains(said), "{message}");
        fs::write(sealed.key_file(), &key).unwrap();
        let gate = &sealed.rig.gate;
        gate.wait_until("using the sealed cluster", async || sealed.sealed().await == 200).await;
        gate.wait_until("content", async || sealed.shown().await["state"] == "active").await;
    }
}

#[tokio::test]
async fn a_backup_holds_a_credential_only_sealed_and_no_key() {
    let sealed = Sealed::start().await;
    let operator = CommandLine::new();
    let data = sealed.rig.gate.data_directory();
    let made = operator.run(&["backup", "backup.db", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let file = operator.home().join("backup.db");
    let bytes = fs::read(&file).unwrap();
    let key = fs::read_to_string(sealed.key_file()).unwrap().trim().to_owned();
    assert_eq!(canary::leak(&bytes, &[CREDENTIAL.to_owned(), key.clone()]), None);

    let backup = rusqlite::Connection::open(&file).unwrap();
    let (name, credential): (String, String) = backup
        .query_row("SELECT name, credential FROM clusters WHERE id = ?1", [&sealed.id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert!(name == "sealed" && credential.contains("\"sealed\":\""), "{credential}");
    // The search finds what is there.
    assert!(canary::leak(&bytes, &[format!("https://127.0.0.1:{}", sealed.stub.port)]).is_some());
}
