//! A gate with a second cluster, which was added by the API and is a stub of its own.

use serde_json::{Value, json};

use super::gate::Settings;
use super::rig::Rig;
use super::stub::Stub;

const CREDENTIAL: &str = "hunter2-of-the-added-cluster-hunter2";

/// A gate, and a stub that is its cluster `id` besides.
pub(crate) struct Added {
    pub(crate) rig: Rig,
    pub(crate) stub: Stub,
    pub(crate) id: String,
}

impl Added {
    pub(crate) async fn start() -> Self {
        Self::with(&Settings::default()).await
    }

    pub(crate) async fn with(settings: &Settings) -> Self {
        let rig = Rig::with(&["h2", "http/1.1"], settings).await;
        let stub = Stub::start(&["h2", "http/1.1"]).await;
        stub.accept_only(&format!("Bearer {CREDENTIAL}"));
        rig.gate.keep_secret(CREDENTIAL);
        let cluster = json!({
            "name": "added",
            "endpoints": [format!("https://127.0.0.1:{}", stub.port)],
            "caCert": &*stub.ca_pem,
            "credential": { "token": CREDENTIAL },
        });
        let answer = rig.api("POST", "/v3/clusters", rig.admin(), &cluster).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        Self { rig, stub, id }
    }

    /// Where a path of the cluster is at the gate.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("/k8s/clusters/{}{path}", self.id)
    }

    /// How a request to the cluster with this token is answered.
    pub(crate) async fn get(&self, bearer: &str) -> u16 {
        let authorization = format!("Bearer {bearer}");
        let (mut client, path) = (self.rig.http1().await, self.path("/api/v1/pods"));
        client.request("GET", &path, &[("authorization", &authorization)], b"").await.status
    }

    /// Changes or deletes the cluster.
    pub(crate) async fn change(&self, method: &str, body: &Value) {
        change(&self.rig, &self.id, method, body).await;
    }
}

/// Changes or deletes a cluster.
pub(crate) async fn change(rig: &Rig, id: &str, method: &str, body: &Value) {
    let answer = rig.api(method, &format!("/v3/clusters/{id}"), rig.admin(), body).await;
    assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
}
