//! What is known of a token's last use, what becomes of sessions that nobody uses, and of tokens that were replaced.

use nix::sys::signal::Signal;
use rusqlite::OptionalExtension;
use serde_json::json;

use crate::support::rig::{Account, Rig, login};
use crate::support::wire::Response;
use crate::support::{database, expect};

const TARGET: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn the_last_use_of_a_token_is_known_after_the_gate_has_stopped() {
    let mut rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let (api_name, api_bearer) = rig.token(&account.bearer, 0).await;
    let (unused, _) = rig.token(&account.bearer, 0).await;
    let (name, bearer) = rig.token(&account.bearer, 0).await;
    let authorization = format!("Bearer {bearer}");
    let agent = "kubectl/v1.37.2 (linux/amd64) kubernetes/0000000";
    let lines = [("Authorization", authorization.as_str()), ("User-Agent", agent)];
    assert_eq!(rig.http1().await.request("GET", TARGET, &lines, b"").await.status, 200);
    assert_eq!(rig.api("GET", "/v3/tokens", &api_bearer, &serde_json::Value::Null).await.status, 200);
    stop(&mut rig).await;
    let (at, address, known_agent) = last_use(&rig, &name).unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let ago = now - u128::try_from(at).unwrap();
    assert!(ago < 60_000, "{ago} ms");
    assert_eq!((address.as_str(), known_agent.as_str()), ("127.0.0.1", agent));
    let (_, address, agent) = last_use(&rig, &api_name).unwrap();
    assert_eq!((address.as_str(), agent.as_str()), ("127.0.0.1", ""));
    assert_eq!(last_use(&rig, &unused), None);
}

#[tokio::test]
async fn refused_requests_are_no_use_and_a_strange_client_gets_nothing_strange_into_the_store() {
    let mut rig = Rig::start().await;
    let [mut alice, bob] = [rig.account("alice", &[]).await, rig.account("bob", &[]).await];
    let (_, key) = bob.bearer.split_once(':').unwrap();
    alice.bearer = format!("{}:{}", alice.token_name, key.chars().rev().collect::<String>());
    expect::unauthorized(&get(&rig, &alice).await);
    let agent = format!("a\tb\u{202e}<script>{}", "x".repeat(10_000));
    let authorization = bob.authorization();
    let lines = [("Authorization", authorization.as_str()), ("User-Agent", agent.as_str())];
    let response = rig.http1().await.request("GET", TARGET, &lines, b"").await;
    assert_eq!(response.status, 200);
    stop(&mut rig).await;
    assert_eq!(last_use(&rig, &alice.token_name), None);
    let (_, _, agent) = last_use(&rig, &bob.token_name).unwrap();
    assert!(agent.starts_with("a?b???<script>xxx"), "{agent}");
    assert!(agent.len() == 256 && agent.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{agent:?}");
}

#[tokio::test]
async fn a_session_that_was_unused_for_too_long_is_refused_and_stays_so() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let session = login(&rig.gate, "alice", &account.password).await;
    // Sessions live for 960 minutes, and may be unused for as long.
    age(&rig, &session, 961);
    for _ in 0..2 {
        expect::unauthorized(&get_with(&rig, &session).await);
        let refused = rig.api("GET", "/v3/tokens", &session, &serde_json::Value::Null).await;
        assert_eq!(refused.status, 401);
    }
    assert_eq!(get(&rig, &account).await.status, 200, "an API key may be unused for as long as it lives");
    let metrics = rig.gate.admin_request("/metrics").await.1;
    assert!(metrics.contains("portcullis_authentications_total{result=\"idle\"} 4\n"), "{metrics}");
}

#[tokio::test]
async fn a_new_limit_for_idle_sessions_holds_at_the_next_request() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let session = login(&rig.gate, "alice", &account.password).await;
    age(&rig, &session, 30);
    let setting = "/v3/settings/auth-user-session-idle-ttl-minutes";
    let set = async |minutes: &str| {
        let changed = rig.api("PUT", setting, rig.admin(), &json!({ "value": minutes })).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
    };
    set("20").await;
    expect::unauthorized(&get_with(&rig, &session).await);
    set("0").await;
    assert_eq!(get_with(&rig, &session).await.status, 200);
    set("1").await;
    assert_eq!(get_with(&rig, &session).await.status, 200, "it was used a moment ago");
}

#[tokio::test]
async fn a_session_that_is_used_stays_in_use_beyond_the_next_start() {
    let mut rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let session = login(&rig.gate, "alice", &account.password).await;
    age(&rig, &session, 959);
    assert_eq!(get_with(&rig, &session).await.status, 200);
    stop(&mut rig).await;
    age(&rig, &session, 2);
    rig.gate.restart().await;
    assert_eq!(get_with(&rig, &session).await.status, 200, "made 961 minutes ago, used since");
}

#[tokio::test]
async fn the_use_of_a_token_that_was_replaced_is_reported_and_after_its_end_counted() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let (old, bearer) = rig.token(&account.bearer, 3_600_000).await;
    let sql = "UPDATE tokens SET replaced_by = 'token-bcdfg' WHERE name = ?1";
    assert_eq!(database::open(&rig.gate).execute(sql, [&old]).unwrap(), 1);
    let response = get_with(&rig, &bearer).await;
    assert_eq!(response.status, 200);
    let warning = response.header("warning").unwrap();
    assert!(
        warning.starts_with(&format!("299 - \"token {old} was replaced by token-bcdfg and")),
        "{warning}"
    );
    assert_eq!(get_with(&rig, &bearer).await.status, 200);

    let (ended, bearer) = rig.token(&account.bearer, 0).await;
    let sql = "UPDATE tokens SET replaced_by = 'token-ghjkl', ttl = 1 WHERE name = ?1";
    assert_eq!(database::open(&rig.gate).execute(sql, [&ended]).unwrap(), 1);
    for _ in 0..3 {
        expect::unauthorized(&get_with(&rig, &bearer).await);
    }
    let metrics = rig.gate.admin_request("/metrics").await.1;
    assert!(metrics.contains("portcullis_authentications_total{result=\"rotated\"} 3\n"), "{metrics}");
    for (name, successor, expired) in [(&old, "token-bcdfg", false), (&ended, "token-ghjkl", true)] {
        let reports = reports(&rig, name);
        assert_eq!(reports.len(), 1, "at most once a minute: {reports:?}");
        assert_eq!(reports[0]["replaced_by"], successor);
        assert_eq!(reports[0]["is_expired"], expired);
        assert_eq!(reports[0]["client"], "127.0.0.1");
        assert_eq!(reports[0]["level"], "INFO");
    }
    rig.gate.wait_until("logging", async || rig.gate.stdout().contains("\"reason\":\"rotated\"")).await;
}

/// Lines of the program's log that say that this token was replaced.
fn reports(rig: &Rig, name: &str) -> Vec<serde_json::Value> {
    let log = rig.gate.stderr();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter(|line| line["token"] == name && !line["replaced_by"].is_null()).collect()
}

/// Makes a session older by so many minutes, behind the gate's back, and as long-lived.
fn age(rig: &Rig, bearer: &str, minutes: i64) {
    let sql = "UPDATE tokens SET created_at = created_at - ?2, ttl = ttl + ?2 WHERE name = ?1";
    let name = bearer.split_once(':').unwrap().0;
    assert_eq!(database::open(&rig.gate).execute(sql, (name, minutes * 60_000)).unwrap(), 1);
}

fn last_use(rig: &Rig, name: &str) -> Option<(i64, String, String)> {
    let sql = "SELECT last_used_at, last_used_address, last_used_user_agent FROM tokens
               WHERE name = ?1 AND last_used_at IS NOT NULL";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    database::open(&rig.gate).query_row(sql, [name], row).optional().unwrap()
}

async fn stop(rig: &mut Rig) {
    rig.gate.signal(Signal::SIGTERM);
    assert_eq!(rig.gate.exit_code().await, Some(0));
}

async fn get(rig: &Rig, account: &Account) -> Response {
    get_with(rig, &account.bearer).await
}

async fn get_with(rig: &Rig, bearer: &str) -> Response {
    let authorization = format!("Bearer {bearer}");
    rig.http1().await.request("GET", TARGET, &[("Authorization", &authorization)], b"").await
}
