//! More than one cluster: a token or a user that is good for one is nothing at another, and no cluster stands in the way
//! of another.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::directory::Directory;
use crate::support::expect;
use crate::support::gate::Settings;
use crate::support::live::{PROTOCOLS, Streams};
use crate::support::rig::{Account, Rig, kubeconfig};
use crate::support::stub::Stub;
use crate::support::wire::Response;

const OTHER_CREDENTIAL: &str = "hunter2-of-the-other-cluster-hunter2";
const PODS: &str = "/api/v1/pods";
const OTHER_PODS: &str = "/k8s/clusters/other/api/v1/pods";

fn json_type(_target: &str) -> &'static str {
    "application/json"
}

/// A gate in front of two stubs: the default cluster, and one called `other`.
struct Two {
    rig: Rig,
    other: Stub,
    files: Directory,
}

impl Two {
    /// `rules` are further fields of the other cluster, `more` further keys of the configuration.
    async fn start(rules: &str, more: Vec<(&'static str, &'static str)>) -> Self {
        let (other, files) = (Stub::start(&["h2", "http/1.1"]).await, Directory::new());
        other.accept_only(&format!("Bearer {OTHER_CREDENTIAL}"));
        let path = files.path().join("other");
        std::fs::write(&path, kubeconfig(&other, &format!("token: {OTHER_CREDENTIAL}"))).unwrap();
        let missing = files.path().join("missing");
        let list = format!(
            "[{{id: other, kubeconfig: {}{rules}}}, {{id: broken, kubeconfig: {}}}]",
            path.display(),
            missing.display()
        );
        let keys = [("clusters", &*list.leak())].into_iter().chain(more).collect();
        let rig = Rig::with(&["h2", "http/1.1"], &Settings { keys, ..Settings::default() }).await;
        rig.gate.keep_secret(OTHER_CREDENTIAL);
        Self { rig, other, files }
    }

    async fn get(&self, path: &str, bearer: &str) -> Response {
        let authorization = format!("Bearer {bearer}");
        self.rig.http1().await.request("GET", path, &[("authorization", &authorization)], b"").await
    }

    /// A token of the account's that is good for one cluster alone: name and bearer.
    async fn scoped(&self, account: &Account, cluster: &str) -> (String, String) {
        let body = json!({ "clusterId": cluster });
        let made = self.rig.api("POST", "/v3/tokens", &account.bearer, &body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made: Value = serde_json::from_str(&made.text()).unwrap();
        assert_eq!(made["clusterId"], cluster);
        (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn a_request_goes_to_the_cluster_of_its_path_with_the_credential_of_that_cluster() {
    let two = Two::start("", Vec::new()).await;
    let account = two.rig.account("alice", &["dev"]).await;
    for _ in 0..2 {
        two.rig.stub.forget();
        two.other.forget();
        assert_eq!(two.get(OTHER_PODS, &account.bearer).await.status, 200);
        assert_eq!(two.rig.stub.seen().len(), 0);
        let seen = two.other.only();
        assert_eq!(seen.target, PODS);
        assert_eq!(seen.values("authorization"), [format!("Bearer {OTHER_CREDENTIAL}")]);
        assert_eq!(seen.values("impersonate-user"), ["alice"]);
        two.other.forget();
        assert_eq!(two.get(PODS, &account.bearer).await.status, 200);
        assert_eq!(two.other.seen().len(), 0);
        expect::exactly(&two.rig.stub.only(), &account, two.rig.stub.port, &[]);
    }
}

#[tokio::test]
async fn a_token_of_one_cluster_is_refused_at_every_other_also_after_it_was_used() {
    let two = Two::start("", Vec::new()).await;
    let account = two.rig.account("alice", &[]).await;
    let (name, bearer) = two.scoped(&account, "other").await;
    two.rig.stub.forget();
    for _ in 0..3 {
        assert_eq!(two.get(OTHER_PODS, &bearer).await.status, 200);
        for path in
            [PODS, "/k8s/clusters/local/api/v1/pods", "/k8s/clusters/broken/api", "/k8s/clusters/none/api"]
        {
            let refused = two.get(path, &bearer).await;
            expect::unauthorized(&refused);
            let stranger =
                two.get(path, "token-bbbbb:bcdfghjklmnpqrstvwxz2456789bcdfghjklmnpqrstvwxz2456789").await;
            assert_eq!(refused.text(), stranger.text(), "who is refused learns nothing of why");
        }
    }
    for path in ["/v3/tokens", "/v3/users", "/v3/clusters"] {
        let refused = two.rig.api("GET", path, &bearer, &Value::Null).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
    }
    let me = two.rig.api("GET", "/v3/users?me=true", &bearer, &Value::Null).await;
    assert_eq!((me.status, &me.json()["data"][0]["username"]), (200, &json!("alice")));
    let shown = two.rig.api("GET", &format!("/v3/tokens/{name}"), &bearer, &Value::Null).await;
    assert_eq!((shown.status, &shown.json()["clusterId"]), (200, &json!("other")));
    assert_eq!(two.rig.stub.seen().len(), 0);
    let (_, metrics) = two.rig.gate.admin_request("/metrics").await;
    assert!(metrics.contains("result=\"wrong_cluster\"} 12\n"), "{metrics}");
    for reason in ["\"wrong_cluster\"", "\"cluster_alone\""] {
        two.rig.gate.wait_until("logging", async || two.rig.gate.stdout().contains(reason)).await;
    }

    let rotated =
        two.rig.api("POST", &format!("/v3/tokens/{name}?action=rotate"), &account.bearer, &json!({})).await;
    let rotated: Value = serde_json::from_str(&rotated.text()).unwrap();
    let successor = rotated["token"].as_str().unwrap_or_else(|| panic!("{rotated}"));
    assert_eq!(two.get(OTHER_PODS, successor).await.status, 200);
    expect::unauthorized(&two.get(PODS, successor).await);

    // Whoever finds it can end it.
    let path = format!("/v3/tokens/{}", successor.split_once(':').unwrap().0);
    assert_eq!(two.rig.api("DELETE", &path, successor, &Value::Null).await.status, 204);
    expect::unauthorized(&two.get(OTHER_PODS, successor).await);
    assert_eq!(two.rig.api("GET", &path, successor, &Value::Null).await.status, 401);
}

#[tokio::test]
async fn a_token_for_a_cluster_that_is_not_there_is_not_made() {
    let two = Two::start("", Vec::new()).await;
    for cluster in ["none", "c-bbbbb", "OTHER", "../other"] {
        let body = json!({ "clusterId": cluster });
        let refused = two.rig.api("POST", "/v3/tokens", two.rig.admin(), &body).await;
        assert_eq!(refused.status, 422, "{cluster}: {}", refused.text());
    }
}

#[tokio::test]
async fn who_may_not_use_a_cluster_is_told_so_and_nothing_reaches_it() {
    let rules = ", allowedUsers: [bob], allowedGroups: [dev]";
    let two = Two::start(rules, Vec::new()).await;
    let (alice, bob) = (two.rig.account("alice", &["ops"]).await, two.rig.account("bob", &[]).await);
    let carol = two.rig.account("carol", &["ops", "dev"]).await;
    for (bearer, user) in [(alice.bearer.as_str(), "alice"), (two.rig.admin(), "admin")] {
        let refused = two.get(OTHER_PODS, bearer).await;
        assert_eq!(refused.status, 403);
        let status: Value = serde_json::from_str(&refused.text()).unwrap();
        assert_eq!((&status["kind"], &status["reason"]), (&"Status".into(), &"Forbidden".into()));
        assert_eq!(status["message"], format!("user \"{user}\" may not use cluster \"other\""));
        assert_eq!(two.get(PODS, bearer).await.status, 200, "the default cluster is everybody's");
    }
    assert_eq!(two.other.seen().len(), 0);
    assert_eq!(two.get(OTHER_PODS, &bob.bearer).await.status, 200);
    assert_eq!(two.get(OTHER_PODS, &carol.bearer).await.status, 200);
    assert!(two.rig.gate.stdout().contains("\"cluster_denied\""));
}

#[tokio::test]
async fn a_cluster_that_leaves_the_file_takes_its_streams_and_no_others() {
    let two = Two::start("", Vec::new()).await;
    let account = two.rig.account("alice", &[]).await;
    let (here, there) = (Streams::of(&two.rig.stub, json_type), Streams::of(&two.other, json_type));
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    for protocol in PROTOCOLS {
        kept.push(here.open(&two.rig, protocol, "/api/v1/pods?watch=true", &account.bearer).await);
        let target = "/k8s/clusters/other/api/v1/pods?watch=true";
        lost.push(there.open(&two.rig, protocol, target, &account.bearer).await);
    }
    two.rig.gate.reconfigure(&Settings::default()).await;
    let removed = Instant::now();
    for live in lost {
        let ended = live.ended().await;
        assert!(ended.at.saturating_duration_since(removed) < Duration::from_secs(1), "{ended:?}");
        let told = String::from_utf8_lossy(&ended.body).into_owned();
        assert!(told.contains("cluster other was removed") && told.contains("\"code\":404"), "{told}");
    }
    for live in &mut kept {
        live.pass(b"{}\n").await;
    }
    assert_eq!(two.get(OTHER_PODS, &account.bearer).await.status, 404);
    let cut = "portcullis_stream_cuts_total{reason=\"cluster_removed\",kind=\"watch\"}";
    assert_eq!(two.rig.gate.metric(cut).await, 2);
}

#[tokio::test]
async fn the_default_cluster_can_be_closed_to_most_as_well() {
    let two = Two::start("", vec![("cluster", "{allowedGroups: [dev]}")]).await;
    let (alice, bob) = (two.rig.account("alice", &["dev"]).await, two.rig.account("bob", &[]).await);
    assert_eq!(two.get(PODS, &alice.bearer).await.status, 200);
    for path in [PODS, "/k8s/clusters/local/api/v1/pods"] {
        assert_eq!(two.get(path, &bob.bearer).await.status, 403);
    }
    assert_eq!(two.get(OTHER_PODS, &bob.bearer).await.status, 200);
}

#[tokio::test]
async fn a_cluster_whose_credential_is_missing_stands_in_nobodys_way_and_works_when_it_is_there() {
    let two = Two::start("", Vec::new()).await;
    let account = two.rig.account("alice", &[]).await;
    let refused = two.get("/k8s/clusters/broken/api/v1/pods", &account.bearer).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(
        refused.header("retry-after").is_some() && !refused.text().contains("missing"),
        "{}",
        refused.text()
    );
    assert!(two.rig.gate.stderr().contains("missing"), "the log says why");
    assert_eq!(two.get(OTHER_PODS, &account.bearer).await.status, 200);
    assert_eq!(two.get(PODS, &account.bearer).await.status, 200);
    assert_eq!(two.rig.gate.admin_request("/readyz").await.0, 200);

    let text = kubeconfig(&two.other, &format!("token: {OTHER_CREDENTIAL}"));
    std::fs::write(two.files.path().join("missing"), text).unwrap();
    let works = async || two.get("/k8s/clusters/broken/api/v1/pods", &account.bearer).await.status == 200;
    two.rig.gate.wait_until("using the cluster whose kubeconfig is there now", works).await;
}
