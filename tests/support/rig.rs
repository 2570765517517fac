//! A gate in front of a stub, and accounts in it made as users make them.

use serde_json::Value;

use super::accounts;
pub(crate) use super::accounts::{Account, login};
use super::gate::{Gate, Settings};
use super::stub::{OWN_CREDENTIAL, Stub};
use super::wire::{Http1, Http2, Response};

/// A gate and its stub. Dropped, it fails the test if the gate ever sent the stub something that is no HTTP.
pub(crate) struct Rig {
    pub(crate) gate: Gate,
    pub(crate) stub: Stub,
    admin: String,
}

impl Rig {
    /// With a stub that speaks both protocols, as an apiserver does.
    pub(crate) async fn start() -> Self {
        Self::with(&["h2", "http/1.1"], &Settings::default()).await
    }

    /// With a stub that speaks HTTP/1.1 alone, for exact bytes.
    pub(crate) async fn start_http1() -> Self {
        Self::with(&["http/1.1"], &Settings::default()).await
    }

    pub(crate) async fn with(alpn: &[&str], settings: &Settings) -> Self {
        let stub = Stub::start(alpn).await;
        Self::in_front_of(stub, &format!("token: {OWN_CREDENTIAL}"), settings).await
    }

    /// With `user` as the body of the kubeconfig's user: how the gate proves itself to the stub.
    pub(crate) async fn in_front_of(stub: Stub, user: &str, settings: &Settings) -> Self {
        let kubeconfig = kubeconfig(&stub, user);
        Self::at(stub, &kubeconfig, settings).await
    }

    /// With a kubeconfig for `stub` that the test has written.
    pub(crate) async fn at(stub: Stub, kubeconfig: &str, settings: &Settings) -> Self {
        let gate = Gate::start(kubeconfig, settings).await;
        gate.keep_secret(OWN_CREDENTIAL);
        let admin = accounts::administrator(&gate).await;
        Self { gate, stub, admin }
    }

    /// A new user in `groups` with a password and a token that does not expire.
    pub(crate) async fn account(&self, username: &str, groups: &[&str]) -> Account {
        Account::create(&self.gate, &self.admin, username, groups).await
    }

    /// A new token of the owner of `bearer`: name and bearer.
    pub(crate) async fn token(&self, bearer: &str, ttl_millis: u64) -> (String, String) {
        accounts::token(&self.gate, bearer, ttl_millis).await
    }

    /// The first administrator's bearer.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// One request of the management API.
    pub(crate) async fn api(&self, method: &str, target: &str, bearer: &str, body: &Value) -> Response {
        accounts::api(&self.gate, method, target, bearer, body).await
    }

    pub(crate) async fn http1(&self) -> Http1 {
        Http1::connect(&self.gate.endpoint).await
    }

    pub(crate) async fn http2(&self) -> Http2 {
        Http2::connect(&self.gate.endpoint).await
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.stub.violations(), Vec::<String>::new());
        }
    }
}

/// A kubeconfig for the stub; `user` is the body of its one user.
pub(crate) fn kubeconfig(stub: &Stub, user: &str) -> String {
    use base64::Engine;
    let ca = base64::engine::general_purpose::STANDARD.encode(stub.ca_pem.as_bytes());
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: stub\n\
         clusters: [{{name: stub, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority-data: {ca}}}}}]\n\
         contexts: [{{name: stub, context: {{cluster: stub, user: gate}}}}]\n\
         users: [{{name: gate, user: {{{user}}}}}]\n",
        port = stub.port
    )
}
