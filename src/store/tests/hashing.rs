//! Hashing of tokens: turned on once, for every key, and nothing is left of what they were.

use std::path::PathBuf;

use super::super::testing::{TempDir, clear_tokens, find_key, token, user, verify_all};
use super::super::{AuditQuery, BackupError, HashingState, Insertion, Store, StoreError, Write, restore};
use super::writes::event;
use crate::token::{TokenKey, TokenName};

/// Adds a token with its key, as the authority does.
async fn add(store: &Store) -> (TokenName, TokenKey) {
    let owner = store.all_users().await.remove(0);
    let (record, key) = token(&owner.id);
    let name = record.name.clone();
    let insertion = Insertion { record, key: Some(key.clone()), quota: None };
    store.commit(Write::InsertToken(Box::new(insertion)), None).await.unwrap();
    (name, key)
}

fn backup_in(dir: &TempDir) -> PathBuf {
    dir.path().join("before-hashing.db")
}

#[tokio::test]
async fn no_key_is_left_in_any_file_and_every_token_works() {
    let (dir, elsewhere) = (TempDir::new(), TempDir::new());
    let mut tokens = clear_tokens(dir.path(), 3000).await;
    assert!(find_key(dir.path(), &tokens).is_some(), "or this test proves nothing");
    let store = Store::open(dir.path(), Some(false)).unwrap();
    assert_eq!(store.token_hashing().state, HashingState::Off);
    // Of what was deleted or changed in clear there may be a trace.
    assert!(store.delete_token(&tokens[7].0).await.unwrap());
    let (gone, rest) = (tokens.remove(7), tokens);
    verify_all(&store, &rest[..100]).await;

    let backup = backup_in(&elsewhere);
    store.enable_token_hashing(backup.clone(), Some(event("feature.enable"))).await.unwrap();
    let status = store.token_hashing();
    assert_eq!((status.state, &status.backup, &status.error), (HashingState::On, &Some(backup), &None));
    verify_all(&store, &rest).await;
    let new = add(&store).await;
    let every: Vec<_> = rest.iter().cloned().chain([gone, new.clone()]).collect();
    assert_eq!(find_key(dir.path(), &every), None, "while it is open");
    let recorded = store.audit_events(AuditQuery::default()).await.unwrap().items;
    assert_eq!(recorded[0].event.action, "feature.enable");
    store
        .enable_token_hashing("/nowhere/at/all".into(), None)
        .await
        .expect("it is on, there is nothing to do");
    store.close(dir.path());
    assert_eq!(find_key(dir.path(), &every), None, "and when it is closed");

    let refused = Store::open(dir.path(), Some(false)).unwrap_err();
    assert!(matches!(refused, StoreError::HashingIsOn), "{refused:?}");
    let store = Store::open(dir.path(), None).unwrap();
    assert_eq!(store.token_hashing().backup, Some(backup_in(&elsewhere)));
    verify_all(&store, &[new]).await;
}

#[tokio::test]
async fn the_copy_has_every_key_as_it_was() {
    let (dir, elsewhere, other) = (TempDir::new(), TempDir::new(), TempDir::new());
    let tokens = clear_tokens(dir.path(), 100).await;
    let store = Store::open(dir.path(), None).unwrap();
    store.enable_token_hashing(backup_in(&elsewhere), None).await.unwrap();
    restore(&backup_in(&elsewhere), other.path(), false, &mut |_, _| {}).unwrap();
    let restored = Store::open(other.path(), Some(false)).expect("hashing was off then");
    assert_eq!(restored.token_hashing().state, HashingState::Off);
    verify_all(&restored, &tokens).await;
}

#[tokio::test]
async fn writes_that_come_meanwhile_wait_and_are_hashed() {
    let (dir, elsewhere) = (TempDir::new(), TempDir::new());
    let mut tokens = clear_tokens(dir.path(), 500).await;
    let store = Store::open(dir.path(), None).unwrap();
    let enabling = tokio::spawn({
        let (store, backup) = (store.clone(), backup_in(&elsewhere));
        async move { store.enable_token_hashing(backup, None).await }
    });
    let mut rounds = 0;
    while !enabling.is_finished() || rounds < 20 {
        tokens.push(add(&store).await);
        verify_all(&store, &tokens[rounds % 500..][..1]).await;
        rounds += 1;
    }
    enabling.await.unwrap().unwrap();
    assert_eq!(find_key(dir.path(), &tokens), None);
    verify_all(&store, &tokens).await;
}

#[tokio::test]
async fn without_a_copy_nothing_is_hashed() {
    let (dir, elsewhere) = (TempDir::new(), TempDir::new());
    let tokens = clear_tokens(dir.path(), 20).await;
    let store = Store::open(dir.path(), None).unwrap();
    let taken = backup_in(&elsewhere);
    std::fs::write(&taken, "mine").unwrap();
    let nested = dir.path().join("copies");
    std::fs::create_dir(&nested).unwrap();
    for (path, wanted) in [
        (taken.clone(), "exists already"),
        (dir.path().join("copy.db"), "is in the data directory"),
        (nested.join("copy.db"), "is in the data directory"),
        (elsewhere.path().join("none/copy.db"), "can't read or write"),
    ] {
        let refused = store.enable_token_hashing(path, None).await.unwrap_err();
        let StoreError::Backup(error) = &refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(!matches!(**error, BackupError::Store(_)), "{error:?}");
        let status = store.token_hashing();
        assert_eq!((status.state, status.backup), (HashingState::Off, None));
        assert!(status.error.unwrap().contains(wanted));
    }
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
    verify_all(&store, &tokens).await;
    store.enable_token_hashing(elsewhere.path().join("other.db"), None).await.unwrap();
    assert_eq!(store.token_hashing().error, None);
}

#[tokio::test]
async fn a_new_store_hashes_unless_it_is_told_otherwise_and_keeps_to_it() {
    for (first, expected) in
        [(None, HashingState::On), (Some(true), HashingState::On), (Some(false), HashingState::Off)]
    {
        let dir = TempDir::new();
        let store = Store::open(dir.path(), first).unwrap();
        store.insert_user(user("alice", false)).await.unwrap();
        let added = add(&store).await;
        assert_eq!(
            find_key(dir.path(), std::slice::from_ref(&added)).is_some(),
            expected == HashingState::Off
        );
        store.close(dir.path());
        let again = Store::open(dir.path(), Some(true)).unwrap();
        assert_eq!(again.token_hashing().state, expected, "a start alone turns nothing on");
        verify_all(&again, &[added]).await;
    }
}
