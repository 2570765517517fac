//! A gate in front of a stub, and accounts in it made as users make them.

use serde_json::{Value, json};

use super::gate::{Gate, Settings};
use super::stub::{OWN_CREDENTIAL, Stub};
use super::wire::{Http1, Http2, Response};

/// A gate and its stub. Dropped, it fails the test if the gate ever sent the stub something that is no HTTP.
pub(crate) struct Rig {
    pub(crate) gate: Gate,
    pub(crate) stub: Stub,
    admin: String,
}

/// A user and a token of theirs.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) user_id: String,
    pub(crate) username: String,
    pub(crate) groups: Vec<String>,
    pub(crate) password: String,
    pub(crate) token_name: String,
    /// What the client sends, `name:key`.
    pub(crate) bearer: String,
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
        let password = std::fs::read_to_string(gate.data_directory().join("admin-password")).unwrap();
        let admin = login(&gate, "admin", password.trim()).await;
        Self { gate, stub, admin }
    }

    /// A new user in `groups` with a password and a token that does not expire.
    pub(crate) async fn account(&self, username: &str, groups: &[&str]) -> Account {
        let password = format!("pässword-of-{username}-0123456789");
        self.gate.keep_secret(&password);
        let user = json!({ "username": username, "groups": groups, "password": password, "enabled": true });
        let user = self.api("POST", "/v3/users", &self.admin, &user).await;
        assert_eq!(user.status, 201, "{}", user.text());
        let session = login(&self.gate, username, &password).await;
        let (token_name, bearer) = self.token(&session, 0).await;
        Account {
            user_id: user.json()["id"].as_str().unwrap().to_owned(),
            username: username.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            password,
            token_name,
            bearer,
        }
    }

    /// A new token of the owner of `bearer`: name and bearer.
    pub(crate) async fn token(&self, bearer: &str, ttl_millis: u64) -> (String, String) {
        let token = json!({ "ttl": ttl_millis, "description": "made by a test" });
        let token = self.api("POST", "/v3/tokens", bearer, &token).await;
        assert_eq!(token.status, 201, "{}", token.text());
        let token = token.json();
        let bearer = token["token"].as_str().unwrap();
        self.gate.keep_secret(bearer.split_once(':').unwrap().1);
        (token["id"].as_str().unwrap().to_owned(), bearer.to_owned())
    }

    /// The first administrator's bearer.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// One request of the management API.
    pub(crate) async fn api(&self, method: &str, target: &str, bearer: &str, body: &Value) -> Response {
        let authorization = format!("Bearer {bearer}");
        let lines = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Http1::connect(&self.gate.endpoint).await.request(method, target, &lines, body.as_bytes()).await
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

/// Logs in by password and gives the session's bearer.
pub(crate) async fn login(gate: &Gate, username: &str, password: &str) -> String {
    let body = json!({ "username": username, "password": password, "responseType": "json" }).to_string();
    let target = "/v3-public/localProviders/local?action=login";
    let lines = [("Content-Type", "application/json")];
    let mut client = Http1::connect(&gate.endpoint).await;
    let response = client.request("POST", target, &lines, body.as_bytes()).await;
    assert_eq!(response.status, 201, "{}", response.text());
    let bearer = response.json()["token"].as_str().unwrap().to_owned();
    gate.keep_secret(bearer.split_once(':').unwrap().1);
    bearer
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

impl Account {
    /// The `Authorization` value.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.bearer)
    }
}
