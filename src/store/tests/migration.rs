//! Stores that older versions of the schema have left.

use rusqlite::Connection;

use super::super::testing::{TempDir, token, user};
use super::super::{AuditQuery, Store, StoreError, schema};
use crate::token::Ttl;

/// A database as the first version wrote it, with a token, whose record and key are given back.
fn first_schema(dir: &TempDir) -> (crate::token::TokenRecord, crate::token::TokenKey) {
    let connection = Connection::open(dir.path().join("portcullis.db")).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT;
             INSERT INTO schema_migrations VALUES (1, 0);",
        )
        .unwrap();
    connection.execute_batch(schema::MIGRATIONS[0].1).unwrap();
    let alice = user("alice", true);
    let (record, key) = token(&alice.id);
    connection
        .execute("INSERT INTO users VALUES (?1, 'alice', '[]', TRUE, TRUE, 5, NULL)", [alice.id.as_str()])
        .unwrap();
    connection
        .execute(
            "INSERT INTO tokens VALUES (?1, ?2, 'api-key', 'old', 9223372036854775807, 7, TRUE, ?3)",
            [record.name.as_str(), alice.id.as_str(), &record.hash.to_string()],
        )
        .unwrap();
    (record, key)
}

#[tokio::test]
async fn a_store_of_the_first_version_is_taken_over_and_hashes_its_tokens() {
    let dir = TempDir::new();
    let (record, key) = first_schema(&dir);
    let refused = Store::open(dir.path(), Some(false)).unwrap_err();
    assert!(matches!(refused, StoreError::HashingIsOn), "all it has is hashed: {refused:?}");
    let store = Store::open(dir.path(), Some(true)).unwrap();
    let found = store.token(&record.name).await.unwrap().unwrap();
    assert!(found.hash.verify(&key));
    assert_eq!((found.description.as_str(), found.ttl), ("old", Ttl(7)));
    assert_eq!((found.last_used, found.lease_until, found.replaced_by), (None, None, None));
    assert_eq!(store.tokens_of(None).await.len(), 1, "an expiry past the end of time is the end of time");
}

#[tokio::test]
async fn a_store_of_the_second_version_keeps_its_tokens_which_are_good_for_every_cluster() {
    let dir = TempDir::new();
    let (record, _) = first_schema(&dir);
    let connection = Connection::open(dir.path().join("portcullis.db")).unwrap();
    connection.execute_batch(schema::MIGRATIONS[1].1).unwrap();
    connection
        .execute_batch(
            "INSERT INTO schema_migrations VALUES (2, 0);
             INSERT INTO audit_events (at, action, outcome, message) VALUES (7, 'login', 'success', 'x');",
        )
        .unwrap();
    drop(connection);
    let store = Store::open(dir.path(), None).unwrap();
    let found = store.token(&record.name).await.unwrap().unwrap();
    assert_eq!((found.description.as_str(), found.cluster), ("old", None));
    assert_eq!(store.clusters().await.unwrap(), []);
    let events = store.audit_events(AuditQuery::default()).await.unwrap().items;
    assert_eq!((events[0].event.action.as_str(), events[0].event.cluster.clone()), ("login", None));
}
