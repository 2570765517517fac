//! The store as its users see it, on a real file.

mod backups;
mod clusters;
mod hashing;
mod lists;
mod migration;
mod writes;

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use super::testing::{TempDir, edit, token, user};
use super::{Change, Outage, Store, StoreError, UserUpdate};
use crate::identity::Group;
use crate::token::TokenName;

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = TempDir::new();
    let alice = user("alice", false);
    let (record, key) = token(&alice.id);
    let store = Store::open(dir.path(), None).unwrap();
    store.insert_user(alice.clone()).await.unwrap();
    store.insert_token(record.clone()).await.unwrap();
    drop(store);
    let store = Store::open(dir.path(), None).unwrap();
    let found = store.token(&record.name).await.unwrap().unwrap();
    assert!(found.hash.verify(&key));
    assert_eq!((found.user_id, found.kind, found.ttl), (record.user_id, record.kind, record.ttl));
    assert_eq!(store.user_by_name(&alice.name).await.unwrap().unwrap().id, alice.id);
    store.check().await.unwrap();
}

#[tokio::test]
async fn no_file_of_the_store_is_readable_by_others_or_holds_a_key() {
    let dir = TempDir::new();
    let inner = dir.path().join("data");
    let store = Store::open(&inner, None).unwrap();
    let alice = user("alice", false);
    let (record, key) = token(&alice.id);
    store.insert_user(alice).await.unwrap();
    store.insert_token(record).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    let mut names = HashSet::new();
    for entry in inner.read_dir().unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(key.expose().len()).any(|window| window == key.expose().as_bytes());
        assert!(!found, "{path:?} holds the key");
        names.insert(path.file_name().unwrap().to_owned());
    }
    assert!(names.contains(std::ffi::OsStr::new("portcullis.db-wal")), "{names:?}");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let dir = TempDir::new();
    drop(Store::open(dir.path(), None).unwrap());
    edit(dir.path(), "INSERT INTO schema_migrations VALUES (99, 0)");
    let refused = Store::open(dir.path(), None).unwrap_err();
    assert!(matches!(refused, StoreError::NewerSchema { found: 99, known: 3 }), "{refused:?}");
}

#[test]
fn a_second_process_is_refused_while_the_first_has_the_store() {
    let dir = TempDir::new();
    let first = Store::open(dir.path(), None).unwrap();
    let refused = Store::open_within(dir.path(), None, Duration::ZERO).unwrap_err();
    assert!(matches!(refused, StoreError::InUse(_)), "{refused:?}");
    drop(first);
    Store::open(dir.path(), None).unwrap();
}

#[tokio::test]
async fn a_write_that_fails_does_not_fail_its_neighbours() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let alice = user("alice", false);
    store.insert_user(alice.clone()).await.unwrap();
    let mut writes = JoinSet::new();
    let taken = token(&alice.id).0;
    for number in 0..200 {
        let record = match number % 4 {
            0 => taken.clone(),
            1 => token(&user("nobody", false).id).0,
            _ => token(&alice.id).0,
        };
        let store = store.clone();
        writes.spawn(async move { (number, store.insert_token(record).await) });
    }
    let outcomes = writes.join_all().await;
    let count = |wanted: fn(&StoreError) -> bool| {
        outcomes.iter().filter(|(_, outcome)| outcome.as_ref().err().is_some_and(wanted)).count()
    };
    assert_eq!(count(|error| matches!(error, StoreError::Exists)), 49, "one of the 50 got the name");
    assert_eq!(count(|error| matches!(error, StoreError::UnknownUser)), 50);
    assert_eq!(store.tokens_of(Some(&alice.id)).await.len(), 101);
}

#[tokio::test]
async fn a_write_is_acknowledged_only_when_every_subscriber_has_applied_it() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let (mut first, mut second) = (store.subscribe(), store.subscribe());
    let alice = user("alice", false);
    let writer = store.clone();
    let record = alice.clone();
    let write = tokio::spawn(async move { writer.insert_user(record).await });
    let seen = first.next().await.unwrap();
    assert_eq!(seen.change, Change::User(alice.id.clone()));
    drop(seen);
    let held = second.next().await.unwrap();
    assert!(store.user(&alice.id).await.unwrap().is_some(), "the change comes after the commit");
    assert!(!write.is_finished());
    drop(held);
    write.await.unwrap().unwrap();

    drop(second);
    let (record, _) = token(&alice.id);
    let write = store.insert_token(record);
    let apply = async { drop(first.next().await) };
    tokio::join!(write, apply).0.expect("a subscriber that is gone is not waited for");
}

#[tokio::test]
async fn deleting_a_user_deletes_and_announces_every_token_of_that_user_and_no_other() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let (root, alice, bob) = (user("root", true), user("alice", false), user("bob", false));
    let tokens = [token(&alice.id).0, token(&alice.id).0, token(&bob.id).0];
    for person in [&root, &alice, &bob] {
        store.insert_user(person.clone()).await.unwrap();
    }
    for record in &tokens {
        store.insert_token(record.clone()).await.unwrap();
    }
    let mut feed = store.subscribe();
    let listen = tokio::spawn(async move {
        let mut changes = Vec::new();
        while changes.len() < 3 {
            changes.push(feed.next().await.unwrap().change);
        }
        changes
    });
    assert!(store.delete_user(&alice.id).await.unwrap());
    let changes = listen.await.unwrap();
    assert_eq!(changes[0], Change::User(alice.id.clone()), "the user comes first");
    for record in &tokens[..2] {
        assert!(changes.contains(&Change::Token(record.name.clone())));
        assert!(store.token(&record.name).await.unwrap().is_none());
    }
    assert!(store.token(&tokens[2].name).await.unwrap().is_some());
    assert!(!store.delete_user(&alice.id).await.unwrap());
    let again = store.insert_user(user_with_id_of(&alice)).await;
    assert!(matches!(again, Err(StoreError::Exists)), "an id never comes to mean somebody else: {again:?}");
}

fn user_with_id_of(other: &crate::user::UserRecord) -> crate::user::UserRecord {
    crate::user::UserRecord { id: other.id.clone(), ..user("carol", false) }
}

#[tokio::test]
async fn administrators_can_not_switch_each_other_off_at_once() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let (root, toor) = (user("root", true), user("toor", true));
    store.insert_user(root.clone()).await.unwrap();
    store.insert_user(toor.clone()).await.unwrap();
    let off = || UserUpdate { enabled: Some(false), ..UserUpdate::default() };
    let (first, second) =
        tokio::join!(store.update_user(&root.id, off()), store.update_user(&toor.id, off()));
    assert!(
        matches!((&first, &second), (Ok(true), Err(StoreError::LastAdministrator))),
        "{first:?} {second:?}"
    );
    let demoted =
        store.update_user(&toor.id, UserUpdate { admin: Some(false), ..UserUpdate::default() }).await;
    assert!(matches!(demoted, Err(StoreError::LastAdministrator)));
    assert!(matches!(store.delete_user(&toor.id).await, Err(StoreError::LastAdministrator)));
    assert!(store.delete_user(&root.id).await.unwrap(), "one that is switched off may go");
    assert!(store.user(&toor.id).await.unwrap().unwrap().enabled);
}

#[tokio::test]
async fn an_update_touches_only_the_fields_it_names() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let (root, alice) = (user("root", true), user("alice", false));
    store.insert_user(root).await.unwrap();
    store.insert_user(alice.clone()).await.unwrap();
    let groups = vec![Group::try_from("dev").unwrap(), Group::try_from("a,\"b").unwrap()];
    let update = UserUpdate { enabled: Some(false), ..UserUpdate::default() };
    assert!(store.update_user(&alice.id, update).await.unwrap());
    let update = UserUpdate { groups: Some(groups.clone()), ..UserUpdate::default() };
    assert!(store.update_user(&alice.id, update.clone()).await.unwrap());
    let found = store.user(&alice.id).await.unwrap().unwrap();
    assert_eq!((found.enabled, found.admin, found.groups), (false, false, groups));
    assert!(!store.update_user(&user("nobody", false).id, update).await.unwrap());
}

#[tokio::test]
async fn a_corrupt_row_is_named_and_never_used() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let (alice, bob) = (user("alice", false), user("bob", false));
    let (record, _) = token(&alice.id);
    store.insert_user(alice.clone()).await.unwrap();
    store.insert_user(bob).await.unwrap();
    store.insert_token(record.clone()).await.unwrap();
    for edited in ["name = ''", "name = ' alice'", "name = char(10)", "groups = '[\"\"]'", "groups = '7'"] {
        edit(dir.path(), &format!("UPDATE users SET {edited} WHERE id = '{}'", alice.id));
        let found = store.user(&alice.id).await;
        assert!(
            matches!(&found, Err(StoreError::Corrupt { row, .. }) if row.contains(alice.id.as_str())),
            "{edited}: {found:?}"
        );
        assert_eq!(store.all_users().await.len(), 1, "a listing goes on without the row");
        edit(
            dir.path(),
            &format!("UPDATE users SET name = 'alice', groups = '[]' WHERE id = '{}'", alice.id),
        );
    }
    for edited in ["stored_key = 'secret-hash'", "kind = 'x'", "ttl = -1", "created_at = -1"] {
        edit(dir.path(), &format!("UPDATE tokens SET {edited}"));
        let found = store.token(&record.name).await.unwrap_err();
        assert!(found.to_string().contains(record.name.as_str()), "{edited}: {found}");
        assert!(!found.to_string().contains("secret-hash"));
        assert!(store.tokens_of(None).await.is_empty());
        let sound = format!("kind = 'api-key', ttl = 0, created_at = 0, stored_key = '{}'", record.hash);
        edit(dir.path(), &format!("UPDATE tokens SET {sound}"));
    }
    assert!(store.token(&record.name).await.unwrap().is_some());
}

#[tokio::test]
async fn a_read_that_gets_no_answer_is_an_outage_and_not_an_absence() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let name = TokenName::try_from("token-bcdfg").unwrap();
    let busy = store.occupy_readers().await;
    let found = store.token(&name).await;
    assert!(matches!(found, Err(StoreError::Unreachable(Outage::Timeout))), "{found:?}");
    drop(busy);
    assert!(store.token(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn a_write_nobody_waits_for_is_done_all_the_same() {
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let mut feed = store.subscribe();
    let alice = user("alice", false);
    let writer = store.clone();
    let record = alice.clone();
    let write = tokio::spawn(async move { writer.insert_user(record).await });
    let delivery = feed.next().await.unwrap();
    write.abort();
    drop(delivery);
    assert!(store.user(&alice.id).await.unwrap().is_some());
    let again = tokio::join!(store.insert_user(user("bob", false)), async { drop(feed.next().await) });
    again.0.unwrap();
}
