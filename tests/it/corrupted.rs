//! Rows that somebody edited behind the gate's back. What can't be read is refused; what stands beside it is served.

use rusqlite::Connection;

use crate::support::expect;
use crate::support::rig::{Account, Rig};
use crate::support::wire::Response;

const TARGET: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_user_whose_stored_name_means_nobody_gets_500_and_nothing_goes_upstream() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    let names = ["", " ", "\u{a0}", "\t", " admin", "a\nb", "a\rImpersonate-Group: system:masters", "\u{1}"];
    for (number, name) in names.into_iter().enumerate() {
        let bearer = forge(&rig, &account, number, name, "[]", None);
        let response = get(&rig, &bearer).await;
        assert_eq!(response.status, 500, "{name:?}: {}", response.text());
        expect::status(&response, 500, "InternalError");
    }
    assert_eq!(rig.stub.seen().len(), 0);
    assert_eq!(get(&rig, &account.bearer).await.status, 200, "others are served as ever");
}

#[tokio::test]
async fn a_user_whose_stored_groups_are_unreadable_gets_500_and_nothing_goes_upstream() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    let groups =
        ["", "{}", "null", "[\"\"]", "[\" \"]", "[\"a\\nb\"]", "[1]", "[\"a\"", "\"system:masters\""];
    for (number, groups) in groups.into_iter().enumerate() {
        let bearer = forge(&rig, &account, number, &format!("user {number}"), groups, None);
        let response = get(&rig, &bearer).await;
        assert_eq!(response.status, 500, "{groups:?}: {}", response.text());
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn a_token_whose_stored_hash_is_unreadable_is_refused_and_others_are_served() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    let (_, key) = account.bearer.split_once(':').unwrap();
    let long = "$2:".to_owned() + &"A".repeat(10 << 20);
    let hashes =
        ["", ":", "$2", "$2:", "$2::", "$2:AAAA:", "$9:AAAA:AAAA", "$2:ä:ö", key, &account.bearer, &long];
    for (number, hash) in hashes.into_iter().enumerate() {
        let bearer = forge(&rig, &account, number, &format!("user {number}"), "[]", Some(hash));
        let response = get(&rig, &bearer).await;
        assert!(matches!(response.status, 401 | 500), "{hash:.40}: {}", response.text());
    }
    assert_eq!(rig.stub.seen().len(), 0);
    assert_eq!(get(&rig, &account.bearer).await.status, 200);
    let listing = rig.api("GET", "/v3/tokens", &account.bearer, &serde_json::Value::Null).await;
    assert_eq!(listing.status, 200);
    remove_forgeries(&rig);
}

/// Writes a user and a token of theirs into the database and gives the token's bearer. The key is that of `account`.
fn forge(
    rig: &Rig,
    account: &Account,
    number: usize,
    name: &str,
    groups: &str,
    hash: Option<&str>,
) -> String {
    let database = Connection::open(rig.gate.data_directory().join("portcullis.db")).unwrap();
    let (user_id, token_name) = (format!("user-bcd{number:02}"), format!("token-forged{number:02}"));
    database
        .execute(
            "INSERT INTO users SELECT ?1, ?2, ?3, admin, enabled, created_at, password FROM users WHERE id = ?4",
            [&user_id, name, groups, &account.user_id],
        )
        .unwrap();
    database
        .execute(
            "INSERT INTO tokens (name, user_id, kind, description, created_at, ttl, enabled, stored_key)
             SELECT ?1, ?2, kind, description, created_at, ttl, enabled, coalesce(?3, stored_key) FROM tokens WHERE name = ?4",
            (&token_name, &user_id, hash, &account.token_name),
        )
        .unwrap();
    format!("{token_name}:{}", account.bearer.split_once(':').unwrap().1)
}

/// Takes the keys that stand in forged hashes out again: the rig looks for keys in the database at the end.
fn remove_forgeries(rig: &Rig) {
    let database = Connection::open(rig.gate.data_directory().join("portcullis.db")).unwrap();
    database.execute("PRAGMA secure_delete = ON", []).ok();
    database.execute("DELETE FROM tokens WHERE name LIKE 'token-forged%'", []).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

async fn get(rig: &Rig, bearer: &str) -> Response {
    let authorization = format!("Bearer {bearer}");
    rig.http1().await.request("GET", TARGET, &[("Authorization", &authorization)], b"").await
}
