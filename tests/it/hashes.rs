//! Tokens whose keys were hashed elsewhere: SHA3-512 (`$3`) and the slow scrypt (`$1`).

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use sha3::{Digest, Sha3_512};
use tokio::task::JoinSet;

use crate::support::rig::{Account, Rig};
use crate::support::wire::Response;
use crate::support::{database, expect};

const TARGET: &str = "/api/v1/namespaces/default/pods";
const SALT: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

#[tokio::test]
async fn tokens_with_hashes_from_elsewhere_are_good_and_wrong_keys_for_them_are_not() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    for (name, hash) in [("token-scrypt", scrypt(key(&account), 15, 1)), ("token-sha3", sha3(key(&account)))]
    {
        store(&rig, &account, name, &hash);
        let good = format!("{name}:{}", key(&account));
        let wrong = format!("{name}:{}", key(&account).chars().rev().collect::<String>());
        rig.stub.forget();
        // Before the right key was seen for the first time, and after.
        for _ in 0..2 {
            expect::unauthorized(&get(&rig, &wrong).await);
            assert_eq!(rig.stub.seen().len(), 0, "{name}");
            assert_eq!(get(&rig, &good).await.status, 200, "{name}");
            rig.stub.forget();
        }
        assert_eq!(rig.api("GET", "/v3/users?me=true", &good, &Value::Null).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_slow_hash_is_checked_slowly_once_and_never_after_the_token_is_gone() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    store(&rig, &account, "token-scrypt", &scrypt(key(&account), 16, 2));
    let bearer = format!("token-scrypt:{}", key(&account));
    let first = timed(&rig, &bearer).await;
    let second = (0..5).map(|_| timed(&rig, &bearer));
    let mut fastest = Duration::MAX;
    for second in second {
        fastest = fastest.min(second.await);
    }
    assert!(fastest < first / 2, "first {first:?}, then {fastest:?} at best");
    let deleted = rig.api("DELETE", "/v3/tokens/token-scrypt", rig.admin(), &Value::Null).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    expect::unauthorized(&get(&rig, &bearer).await);
}

#[tokio::test]
async fn a_flood_of_slow_hashes_is_put_off_and_holds_up_nobody_else() {
    let rig = std::sync::Arc::new(Rig::start().await);
    let account = rig.account("alice", &[]).await;
    store(&rig, &account, "token-scrypt", &scrypt(key(&account), 16, 2));
    let wrong = format!("token-scrypt:{}", "b".repeat(54));
    let mut flood = JoinSet::new();
    for _ in 0..60 {
        let (rig, wrong) = (std::sync::Arc::clone(&rig), wrong.clone());
        flood.spawn(async move { get(&rig, &wrong).await });
    }
    let mut put_off = 0;
    while let Some(response) = flood.join_next().await {
        let response = response.unwrap();
        if response.status == 401 {
            continue;
        }
        // Not 401: nobody has found out whether the key is wrong.
        expect::status(&response, 503, "ServiceUnavailable");
        assert_eq!(response.header("retry-after"), Some("1"));
        put_off += 1;
        assert_eq!(get(&rig, &account.bearer).await.status, 200);
    }
    assert!(put_off > 0);
    // The holder of the key is served as soon as there is room again.
    assert_eq!(get(&rig, &format!("token-scrypt:{}", key(&account))).await.status, 200);
    let busy = "portcullis_authentications_total{result=\"busy\"} ";
    let metrics = rig.gate.admin_request("/metrics").await.1;
    assert!(metrics.contains(&format!("{busy}{put_off}\n")), "{metrics}");
}

#[tokio::test]
async fn the_api_puts_a_slow_hash_off_as_well() {
    let rig = std::sync::Arc::new(Rig::start().await);
    let account = rig.account("alice", &[]).await;
    store(&rig, &account, "token-scrypt", &scrypt(key(&account), 16, 2));
    let wrong = format!("token-scrypt:{}", "b".repeat(54));
    let mut flood = JoinSet::new();
    for _ in 0..60 {
        let (rig, wrong) = (std::sync::Arc::clone(&rig), wrong.clone());
        flood.spawn(async move { rig.api("POST", "/v3/tokens", &wrong, &json!({})).await.status });
    }
    let mut statuses = flood.join_all().await;
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [401, 503]);
}

/// Puts a token of the account's into the database as an import from elsewhere would, with this hash of its key.
fn store(rig: &Rig, account: &Account, name: &str, hash: &str) {
    database::copy_token(&rig.gate, &account.token_name, name, None, Some(hash));
}

fn key(account: &Account) -> &str {
    account.bearer.split_once(':').unwrap().1
}

fn scrypt(key: &str, log_n: u8, p: u32) -> String {
    let mut digest = [0; 64];
    let params = scrypt::Params::new(log_n, 8, p).unwrap();
    scrypt::scrypt(key.as_bytes(), &SALT, &params, &mut digest).unwrap();
    format!("$1:0001020304050607:{log_n}:8:{p}:{}", STANDARD_NO_PAD.encode(digest))
}

fn sha3(key: &str) -> String {
    let digest = Sha3_512::new().chain_update(SALT).chain_update(key).finalize();
    format!("$3:1:{}:{}", STANDARD_NO_PAD.encode(SALT), STANDARD_NO_PAD.encode(digest))
}

async fn timed(rig: &Rig, bearer: &str) -> Duration {
    let mut client = rig.http1().await;
    let authorization = format!("Bearer {bearer}");
    let begun = Instant::now();
    let response = client.request("GET", TARGET, &[("Authorization", &authorization)], b"").await;
    assert_eq!(response.status, 200, "{}", response.text());
    begun.elapsed()
}

async fn get(rig: &Rig, bearer: &str) -> Response {
    let authorization = format!("Bearer {bearer}");
    rig.http1().await.request("GET", TARGET, &[("Authorization", &authorization)], b"").await
}
