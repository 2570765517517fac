//! The apiserver asked directly, past the gate: what it lets a gate's own account do, and since when.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::real_gate::{service_account, succeed};
use crate::support::wire::{Endpoint, Http1, Response};

/// An apiserver, and a service account there that may impersonate as `deploy/rbac.yaml` says.
pub(crate) struct Apiserver {
    endpoint: Endpoint,
    account: String,
    admin: String,
}

/// A token that lives as long as a secret, which it is bound to.
pub(crate) struct BoundToken {
    pub(crate) bearer: String,
    secret: String,
}

impl Apiserver {
    /// With a new account of this name.
    pub(crate) fn of(cluster: &Cluster, account: &str) -> Self {
        service_account(cluster);
        let admin = format!("{account}-admin");
        for (name, role) in [(account, "portcullis"), (&admin, "cluster-admin")] {
            let mut create = cluster.kubectl();
            succeed(create.args(["create", "serviceaccount", name, "--namespace=portcullis"]));
            let role = format!("--clusterrole={role}");
            let subject = format!("--serviceaccount=portcullis:{name}");
            succeed(cluster.kubectl().args(["create", "clusterrolebinding", name, &role, &subject]));
        }
        let mut create = cluster.kubectl();
        let token = succeed(create.args(["create", "token", &admin, "--namespace=portcullis"]));
        let address: SocketAddr = cluster.server().trim_start_matches("https://").parse().unwrap();
        let ca_pem = std::fs::read_to_string(cluster.ca_file()).unwrap().into();
        let endpoint = Endpoint { address, ca_pem };
        Self { endpoint, account: account.to_owned(), admin: token.trim().to_owned() }
    }

    /// A new token of the account, bound to a new secret of this name.
    pub(crate) async fn token(&self, secret: &str) -> BoundToken {
        let secrets = "/api/v1/namespaces/portcullis/secrets";
        let object = self.create(secrets, &json!({ "metadata": { "name": secret } })).await;
        let uid = &object["metadata"]["uid"];
        let bound = json!({ "kind": "Secret", "apiVersion": "v1", "name": secret, "uid": uid });
        let target = format!("/api/v1/namespaces/portcullis/serviceaccounts/{}/token", self.account);
        let request = json!({ "spec": { "boundObjectRef": bound, "expirationSeconds": 3_600 } });
        let bearer = self.create(&target, &request).await["status"]["token"].as_str().unwrap().to_owned();
        BoundToken { bearer, secret: secret.to_owned() }
    }

    /// Takes the secret away that a token is bound to, and the token with it.
    pub(crate) async fn revoke(&self, token: &BoundToken) {
        self.delete(&format!("/api/v1/namespaces/portcullis/secrets/{}", token.secret)).await;
    }

    /// Takes the right to impersonate from the account.
    pub(crate) async fn take_right(&self) {
        self.delete(&format!("{BINDINGS}/{}", self.account)).await;
    }

    /// Gives it back.
    pub(crate) async fn give_right(&self) {
        let subject = json!({ "kind": "ServiceAccount", "name": self.account, "namespace": "portcullis" });
        let role =
            json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "portcullis" });
        let metadata = json!({ "name": self.account });
        let binding = json!({ "metadata": metadata, "roleRef": role, "subjects": [subject] });
        self.create(BINDINGS, &binding).await;
    }

    /// What it answers to whoever has `bearer` and wants to be `user`.
    pub(crate) async fn status_for(&self, bearer: &str, user: Option<&str>) -> u16 {
        let authorization = format!("Bearer {bearer}");
        let mut lines = vec![("Authorization", authorization.as_str())];
        lines.extend(user.map(|user| ("Impersonate-User", user)));
        Http1::connect(&self.endpoint).await.request("GET", "/version?directly", &lines, b"").await.status
    }

    async fn create(&self, target: &str, object: &Value) -> Value {
        let response = self.as_admin("POST", target, object.to_string().as_bytes()).await;
        assert_eq!(response.status, 201, "{}", response.text());
        response.json()
    }

    async fn delete(&self, target: &str) {
        let response = self.as_admin("DELETE", target, b"").await;
        assert_eq!(response.status, 200, "{}", response.text());
    }

    async fn as_admin(&self, method: &str, target: &str, body: &[u8]) -> Response {
        let authorization = format!("Bearer {}", self.admin);
        let lines = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        Http1::connect(&self.endpoint).await.request(method, target, &lines, body).await
    }
}

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
