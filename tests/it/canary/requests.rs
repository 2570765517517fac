//! Secrets in requests of the API: where they are made, where they are used, and where they are sent by mistake.

use serde_json::{Value, json};

use super::everywhere::Watch;
use crate::support::rig;
use crate::support::wire::Response;

const LOGIN: &str = "/v3-public/localProviders/local?action=login";
const OWN_PASSWORD: &str = "/v3/users?action=changepassword";

impl Watch {
    pub(super) async fn walk_requests(&mut self) {
        let hashing = self.ask("GET", "/v3/features/token-hashing", &Value::Null).await;
        assert_eq!(hashing.json()["value"], true, "what is stored in clear can't be kept from the files");
        let keys = self.make_keys().await;
        for bearer in &keys {
            self.use_everywhere(bearer).await;
        }
        self.telemetry().await;
        self.passwords().await;
        self.mistakes(&keys[0]).await;
        for bearer in &keys {
            self.end(bearer).await;
        }
        let targets = ["tokens", "users", "auditevents", "settings", "features", "clusters", "schemas"];
        for target in targets.map(|name| format!("/v3/{name}?limit=-1")) {
            let answer = self.ask("GET", &target, &Value::Null).await;
            assert_eq!(answer.status, 200, "{target}");
            self.saw_answer(&target, &answer);
        }
        let events = self.ask("GET", "/v3/auditevents?limit=-1", &Value::Null).await.json();
        assert!(events["data"].as_array().unwrap().len() > 20, "{events}");
    }

    /// One of each kind that users and administrators make, and those that come from others.
    async fn make_keys(&mut self) -> Vec<String> {
        let owner = self.account.user_id.clone();
        let own = self.account.bearer.clone();
        let mut keys = vec![own.clone()];
        for kind in
            ["api-key", "kubeconfig", "kubectl-shell", "agent", "compose-token", "helm-token", "drain-node"]
        {
            let lease = kind == "kubectl-shell";
            let token = json!({ "kind": kind, "userId": owner, "lease": lease, "description": "canary" });
            let maker = if matches!(kind, "api-key" | "kubeconfig") { &own } else { self.rig.admin() };
            keys.push(self.new_key(maker, "/v3/tokens", &token).await);
        }
        let rotate = format!("/v3/tokens/{}?action=rotate", name(&keys[1]));
        keys.push(self.new_key(&own, &rotate, &json!({ "overlapSeconds": 600 })).await);
        let session = rig::login(&self.rig.gate, &self.account.username, &self.account.password).await;
        let config = "/v3/clusters/local?action=generateKubeconfig";
        let made = self.rig.api("POST", config, &session, &json!({})).await.json();
        let line =
            made["config"].as_str().unwrap().lines().find_map(|line| line.trim().strip_prefix("token: "));
        keys.push(line.unwrap().trim_matches(['"', '\'']).to_owned());
        let again = self.rig.api("POST", config, &session, &json!({ "reuse": keys.last() })).await;
        assert!(again.text().contains(keys.last().unwrap()), "{}", again.text());
        let login = json!({
            "username": self.account.username, "password": self.account.password, "responseType": "kubeconfig"
        });
        keys.push(self.send(LOGIN, &login.to_string()).await.json()["token"].as_str().unwrap().to_owned());
        keys.push(session);
        for bearer in &keys {
            self.keep(bearer);
        }
        keys
    }

    /// The bearer in an answer that shows it once.
    async fn new_key(&self, maker: &str, target: &str, body: &Value) -> String {
        let made = self.rig.api("POST", target, maker, body).await;
        assert_eq!(made.status, 201, "{body}: {}", made.text());
        made.json()["token"].as_str().unwrap().to_owned()
    }

    async fn use_everywhere(&mut self, bearer: &str) {
        let token = format!("/v3/tokens/{}", name(bearer));
        let wrong = format!("{}:{}", name(bearer), reversed(bearer));
        self.keep(&wrong);
        for (presented, target) in [
            (bearer, "/api/v1/namespaces/default/pods"),
            (bearer, "/k8s/clusters/local/version"),
            (bearer, "/k8s/clusters/nowhere/version"),
            (bearer, "/v3/users?me=true"),
            (bearer, "/v3/tokens?kind=nonsense"),
            (bearer, token.as_str()),
            (&wrong, "/api/v1/pods"),
            (&wrong, "/v3/tokens"),
        ] {
            let answer = self.rig.api("GET", target, presented, &Value::Null).await;
            self.saw_answer(target, &answer);
        }
        let renewed = self.rig.api("POST", &format!("{token}?action=renewLease"), bearer, &json!({})).await;
        self.saw_answer("renewLease", &renewed);
        let reuse = json!({ "reuse": wrong });
        let refused =
            self.rig.api("POST", "/v3/clusters/local?action=generateKubeconfig", bearer, &reuse).await;
        if let Some(config) = refused.json()["config"].as_str() {
            let made = config.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap();
            self.keep(made.trim_matches(['"', '\'']));
        } else {
            self.saw_answer("reuse", &refused);
        }
    }

    async fn telemetry(&mut self) {
        let token = json!({ "kind": "telemetry", "userId": self.account.user_id });
        let bearer = self.new_key(self.rig.admin(), "/v3/tokens", &token).await;
        self.keep(&bearer);
        for (target, status) in [("/metrics", 200), ("/v3/tokens", 403), ("/api/v1/pods", 403)] {
            let answer = self.rig.api("GET", target, &bearer, &Value::Null).await;
            assert_eq!(answer.status, status, "{target}: {}", answer.text());
            self.saw_answer(target, &answer);
        }
    }

    /// Set by an administrator, changed by its owner, and guessed by others.
    async fn passwords(&mut self) {
        let set = format!("/v3/users/{}?action=setpassword", self.account.user_id);
        let [first, second] = ["canary-set-horse-battery", "canary-changed-staple-battery"];
        let guesses = ["canary-guess-of-login-1", "canary-guess-of-change-1", "canary-9"];
        self.keep_passwords(&guesses);
        self.keep_passwords(&[first, second]);
        let answer = self.ask("POST", &set, &json!({ "newPassword": first })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.saw_answer("setpassword", &answer);
        for (current, new, status) in
            [(guesses[1], second, 422), (first, guesses[2], 422), (first, second, 200)]
        {
            let body = json!({ "currentPassword": current, "newPassword": new });
            let answer = self.rig.api("POST", OWN_PASSWORD, &self.account.bearer, &body).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            self.saw_answer("changepassword", &answer);
        }
        let guess = json!({ "username": self.account.username, "password": guesses[0] });
        let answer = self.send(LOGIN, &guess.to_string()).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
        self.saw_answer("login", &answer);
        second.clone_into(&mut self.account.password);
    }

    /// Bodies that are not what they should be, each with a secret in it.
    async fn mistakes(&mut self, bearer: &str) {
        let secret = "canary-in-a-mistake-0123456789";
        self.rig.gate.keep_secret(secret);
        let set = format!("/v3/users/{}?action=setpassword", self.account.user_id);
        let large = "x".repeat(70_000);
        let bodies = [
            (format!("{{\"password\": \"{secret}\""), 400),
            (format!("{{\"newPassword\": {secret}}}"), 400),
            (secret.to_owned(), 400),
            (
                json!({ "username": [secret], "password": {"x": secret}, "newPassword": [secret] })
                    .to_string(),
                422,
            ),
            (
                json!({ "newPassword": secret, "revokeTokens": secret, "responseType": secret }).to_string(),
                422,
            ),
            (
                json!({ "username": "a", "password": secret, "newPassword": secret, "x": large }).to_string(),
                413,
            ),
            (format!("{}\"{secret}\"{}", "[".repeat(40), "]".repeat(40)), 0),
        ];
        for target in [LOGIN, OWN_PASSWORD, &set, "/v3/users", "/v3/tokens"] {
            for (body, status) in &bodies {
                let answer = self.send_as(bearer, target, body).await;
                assert!(answer.status >= 400 || *status == 422, "{target} {}", answer.status);
                assert!(*status != 413 || answer.status == 413, "{target}: {}", answer.text());
                // An object with members that mean nothing to tokens is a good order of a token.
                if answer.status == 201 {
                    self.keep(answer.json()["token"].as_str().unwrap());
                } else {
                    self.saw_answer(target, &answer);
                }
            }
        }
    }

    async fn end(&mut self, bearer: &str) {
        if bearer == self.account.bearer {
            return;
        }
        let token = format!("/v3/tokens/{}", name(bearer));
        for (method, target) in [("POST", format!("{token}?action=disable")), ("DELETE", token)] {
            let answer = self.ask(method, &target, &Value::Null).await;
            self.saw_answer(&target, &answer);
        }
        let answer = self.rig.api("GET", "/api/v1/pods", bearer, &Value::Null).await;
        assert_eq!(answer.status, 401);
        self.saw_answer("deleted", &answer);
    }

    /// An administrator's request.
    pub(super) async fn ask(&self, method: &str, target: &str, body: &Value) -> Response {
        self.rig.api(method, target, self.rig.admin(), body).await
    }

    /// A body of nobody's.
    async fn send(&self, target: &str, body: &str) -> Response {
        let lines = [("Content-Type", "application/json")];
        self.rig.http1().await.request("POST", target, &lines, body.as_bytes()).await
    }

    async fn send_as(&self, bearer: &str, target: &str, body: &str) -> Response {
        let authorization = format!("Bearer {bearer}");
        let lines = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        self.rig.http1().await.request("POST", target, &lines, body.as_bytes()).await
    }
}

fn name(bearer: &str) -> &str {
    bearer.split_once(':').unwrap().0
}

/// As long as the key and of its letters, and not the key.
fn reversed(bearer: &str) -> String {
    bearer.split_once(':').unwrap().1.chars().rev().collect()
}
