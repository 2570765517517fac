//! Users and tokens, made as users make them: by the management API of a running gate.

use serde_json::{Value, json};

use super::gate::Gate;
use super::wire::{Http1, Response};

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

impl Account {
    /// A new user in `groups` with a password and a token that does not expire.
    pub(crate) async fn create(gate: &Gate, admin: &str, username: &str, groups: &[&str]) -> Self {
        let beginning: String = username.chars().take(60).collect();
        let password = format!("pässword-of-{beginning}-0123456789");
        gate.keep_secret(&password);
        let user = json!({ "username": username, "groups": groups, "password": password, "enabled": true });
        let user = api(gate, "POST", "/v3/users", admin, &user).await;
        assert_eq!(user.status, 201, "{}", user.text());
        let session = login(gate, username, &password).await;
        let (token_name, bearer) = token(gate, &session, 0).await;
        Self {
            user_id: user.json()["id"].as_str().unwrap().to_owned(),
            username: username.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            password,
            token_name,
            bearer,
        }
    }

    /// The `Authorization` value.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.bearer)
    }
}

/// Logs in as the administrator of the first start and gives the session's bearer.
pub(crate) async fn administrator(gate: &Gate) -> String {
    let password = std::fs::read_to_string(gate.data_directory().join("admin-password")).unwrap();
    login(gate, "admin", password.trim()).await
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

/// A new token of the owner of `bearer`: name and bearer.
pub(crate) async fn token(gate: &Gate, bearer: &str, ttl_millis: u64) -> (String, String) {
    let token = json!({ "ttl": ttl_millis, "description": "made by a test" });
    let token = api(gate, "POST", "/v3/tokens", bearer, &token).await;
    assert_eq!(token.status, 201, "{}", token.text());
    let token = token.json();
    let bearer = token["token"].as_str().unwrap();
    gate.keep_secret(bearer.split_once(':').unwrap().1);
    (token["id"].as_str().unwrap().to_owned(), bearer.to_owned())
}

/// One request of the management API.
pub(crate) async fn api(gate: &Gate, method: &str, target: &str, bearer: &str, body: &Value) -> Response {
    let authorization = format!("Bearer {bearer}");
    let lines = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Http1::connect(&gate.endpoint).await.request(method, target, &lines, body.as_bytes()).await
}
