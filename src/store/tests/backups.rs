//! Backups: whole, and put in place whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::testing::{TempDir, edit, token, user};
use super::super::{BackupError, Store, StoreError, backup, restore};
use crate::clock;
use crate::token::{TokenName, TokenRecord};

/// A store with one user and one token, closed; the token's name.
async fn small_store(dir: &Path) -> TokenName {
    let store = Store::open(dir, None).unwrap();
    let alice = user("alice", true);
    let record = token(&alice.id).0;
    store.insert_user(alice).await.unwrap();
    store.insert_token(record.clone()).await.unwrap();
    store.close(dir);
    record.name
}

/// Adds a token that was made later than everything else there.
async fn change(dir: &Path) -> TokenName {
    let store = Store::open(dir, None).unwrap();
    let owner = store.all_users().await.remove(0);
    let record = TokenRecord { created_at: clock::now().plus(60_000), ..token(&owner.id).0 };
    store.insert_token(record.clone()).await.unwrap();
    store.close(dir);
    record.name
}

fn back_up(dir: &Path, file: &Path) -> Result<(), BackupError> {
    backup(dir, file, &mut |_, _| {})
}

fn put_back(file: &Path, dir: &Path, force: bool) -> Result<(), BackupError> {
    restore(file, dir, force, &mut |_, _| {})
}

async fn has(dir: &Path, name: &TokenName) -> bool {
    let store = Store::open(dir, None).unwrap();
    let found = store.token(name).await.unwrap().is_some();
    store.close(dir);
    found
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_beside_a_writer_has_all_that_was_acknowledged_before_it_and_is_whole() {
    let (dir, elsewhere, other) = (TempDir::new(), TempDir::new(), TempDir::new());
    let store = Store::open(dir.path(), None).unwrap();
    let alice = user("alice", true);
    store.insert_user(alice.clone()).await.unwrap();
    let mut before = Vec::new();
    for _ in 0..300 {
        let record = token(&alice.id).0;
        store.insert_token(record.clone()).await.unwrap();
        before.push(record.name);
    }
    let file = elsewhere.path().join("copy.db");
    let copying = tokio::task::spawn_blocking({
        let (dir, file) = (dir.path().to_owned(), file.clone());
        move || {
            let mut seen = Vec::new();
            let done = backup(&dir, &file, &mut |done, total| seen.push((done, total)));
            done.map(|()| seen)
        }
    });
    let mut rounds = 0;
    while !copying.is_finished() || rounds < 50 {
        store.insert_token(token(&alice.id).0).await.unwrap();
        rounds += 1;
    }
    let progress = copying.await.unwrap().unwrap();
    let (done, total) = progress.last().copied().unwrap();
    assert!(done == total && total > 0, "{progress:?}");
    assert_eq!(files(elsewhere.path()).len(), 2, "{:?}", files(elsewhere.path()));
    for path in files(elsewhere.path()) {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
    }
    put_back(&file, other.path(), false).unwrap();
    let copy = Store::open(other.path(), None).unwrap();
    for name in &before {
        assert!(copy.token(name).await.unwrap().is_some());
    }
    copy.insert_token(token(&alice.id).0).await.unwrap();
}

#[tokio::test]
async fn the_checksum_is_one_that_sha256sum_checks() {
    let (dir, elsewhere) = (TempDir::new(), TempDir::new());
    small_store(dir.path()).await;
    back_up(dir.path(), &elsewhere.path().join("copy.db")).unwrap();
    let checked = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "copy.db.sha256"])
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_needs_a_store_and_a_place_outside_of_it() {
    let (dir, elsewhere, empty) = (TempDir::new(), TempDir::new(), TempDir::new());
    small_store(dir.path()).await;
    let file = elsewhere.path().join("copy.db");
    back_up(dir.path(), &file).unwrap();
    let copy = fs::read(&file).unwrap();
    assert!(matches!(back_up(dir.path(), &file), Err(BackupError::Exists(_))));
    assert_eq!(fs::read(&file).unwrap(), copy);
    let inside = dir.path().join("copy.db");
    assert!(matches!(back_up(dir.path(), &inside), Err(BackupError::InDataDirectory(_))));
    assert!(!inside.exists());
    let none = back_up(empty.path(), &elsewhere.path().join("none.db"));
    assert!(matches!(none, Err(BackupError::NoStore(_))), "{none:?}");
    assert!(files(empty.path()).is_empty());
}

#[tokio::test]
async fn a_store_that_has_changed_since_is_replaced_only_by_force() {
    let (dir, elsewhere) = (TempDir::new(), TempDir::new());
    let kept = small_store(dir.path()).await;
    let file = elsewhere.path().join("copy.db");
    back_up(dir.path(), &file).unwrap();
    put_back(&file, dir.path(), false).expect("nothing has changed");
    let later = change(dir.path()).await;
    let refused = put_back(&file, dir.path(), false);
    assert!(matches!(refused, Err(BackupError::StoreIsNewer(_))), "{refused:?}");
    assert!(has(dir.path(), &later).await);
    put_back(&file, dir.path(), true).unwrap();
    let names: Vec<_> = files(dir.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["portcullis.db", "portcullis.lock"], "no journal is left of the old one");
    assert!(has(dir.path(), &kept).await && !has(dir.path(), &later).await);
}

#[tokio::test]
async fn an_old_journal_is_not_played_onto_the_restored_store() {
    let (dir, elsewhere, crashed) = (TempDir::new(), TempDir::new(), TempDir::new());
    small_store(dir.path()).await;
    let file = elsewhere.path().join("copy.db");
    back_up(dir.path(), &file).unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    let owner = store.all_users().await.remove(0);
    let later = TokenRecord { created_at: clock::now().plus(60_000), ..token(&owner.id).0 };
    store.insert_token(later.clone()).await.unwrap();
    // As after a kill: the journal is still there, and has what the database has not.
    for name in ["portcullis.db", "portcullis.db-wal"] {
        fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    drop(store);
    let refused = put_back(&file, crashed.path(), false);
    assert!(matches!(refused, Err(BackupError::StoreIsNewer(_))), "the journal counts: {refused:?}");
    put_back(&file, crashed.path(), true).unwrap();
    assert!(!has(crashed.path(), &later.name).await);
}

#[tokio::test]
async fn what_is_not_a_whole_backup_or_not_for_us_is_refused_and_leaves_the_store_alone() {
    let (dir, elsewhere, source) = (TempDir::new(), TempDir::new(), TempDir::new());
    let name = small_store(dir.path()).await;
    let forged = |file: &str, sql: &str| {
        let path = elsewhere.path().join(file);
        edit(source.path(), sql);
        back_up(source.path(), &path).unwrap();
        path
    };
    small_store(source.path()).await;
    let flipped = forged("flipped.db", "SELECT 1");
    let mut bytes = fs::read(&flipped).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&flipped, bytes).unwrap();
    let unsummed = forged("unsummed.db", "SELECT 1");
    fs::remove_file(elsewhere.path().join("unsummed.db.sha256")).unwrap();
    let newer = forged("newer.db", "INSERT INTO schema_migrations VALUES (99, 0)");
    let foreign = forged("foreign.db", "DROP TABLE schema_migrations");
    let text = elsewhere.path().join("text");
    fs::write(&text, "hello\n").unwrap();
    let sum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  text\n";
    fs::write(elsewhere.path().join("text.sha256"), sum).unwrap();

    for force in [false, true] {
        let refused = |file: &Path| put_back(file, dir.path(), force).unwrap_err();
        assert!(matches!(refused(&flipped), BackupError::ChecksumDiffers(_)));
        assert!(matches!(refused(&unsummed), BackupError::NoChecksum(_)));
        let error = refused(&newer);
        assert!(matches!(error, BackupError::Store(StoreError::NewerSchema { found: 99, .. })), "{error:?}");
        for file in [&foreign, &text] {
            let error = refused(file);
            assert!(matches!(&error, BackupError::Unsound { path, .. } if path == file), "{error:?}");
        }
        assert!(matches!(refused(&elsewhere.path().join("none")), BackupError::NoChecksum(_)));
    }
    assert!(has(dir.path(), &name).await);
    let left = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains("incoming"));
    assert_eq!(left, None);
}

#[tokio::test]
async fn no_store_is_replaced_under_a_server_that_runs() {
    let (dir, elsewhere) = (TempDir::new(), TempDir::new());
    let name = small_store(dir.path()).await;
    let file = elsewhere.path().join("copy.db");
    let store = Store::open(dir.path(), None).unwrap();
    back_up(dir.path(), &file).unwrap();
    let refused = put_back(&file, dir.path(), true);
    assert!(matches!(refused, Err(BackupError::Store(StoreError::InUse(_)))), "{refused:?}");
    assert!(store.token(&name).await.unwrap().is_some());
}
