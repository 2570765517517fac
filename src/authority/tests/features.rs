//! Turning hashing of tokens on.

use super::*;
use crate::store::{AuditEvent, AuditOutcome, HashingState};

#[tokio::test]
async fn hashing_is_turned_on_once_by_an_administrator_and_leaves_a_backup() {
    let house = House::with_hashing(Some(false)).await;
    let authority = &house.authority;
    assert_eq!(authority.token_hashing().state, HashingState::Off);
    let refused = authority.enable_token_hashing(&house.alice).await;
    assert!(matches!(refused, Err(AuthorityError::NotAdministrator)));
    let issued = authority.create_token(&house.alice, NewToken::default()).await.unwrap();
    let key = issued.bearer.key.expose();
    assert!(has(house.dir.path(), key), "until then it is stored in clear");

    let begun = authority.enable_token_hashing(&house.root).await.unwrap();
    assert_ne!(begun.state, HashingState::Off, "what was ordered is seen to be under way");
    authority.enable_token_hashing(&house.root).await.expect("to ask twice is no mistake");
    drop(authority.hashing_order.acquire().await.unwrap());
    let status = authority.token_hashing();
    assert_eq!((status.state, &status.error), (HashingState::On, &None));
    assert!(!has(house.dir.path(), key));
    assert!(has(&house.backups.path().join("new"), key));
    let stored = house.store.token(&issued.record.name).await.unwrap().unwrap();
    assert!(stored.hash.verify(&issued.bearer.key), "tokens that are held by clients go on working");

    let again = authority.enable_token_hashing(&house.root).await.unwrap();
    assert_eq!(again.backup, status.backup, "no second backup");
    let events = house.store.audit_events(AuditQuery::default()).await.unwrap().items;
    let done = events.iter().filter(|record| record.event.action == "feature.enable");
    let outcomes: Vec<_> = done.map(|record| record.event.outcome.as_str()).collect();
    assert_eq!(outcomes, ["success", "refused"]);
}

#[tokio::test]
async fn hashing_is_never_turned_off_and_who_tries_is_written_down() {
    let house = House::with_hashing(None).await;
    for (caller, expected) in [(&house.root, "readable"), (&house.alice, "administrators")] {
        let refused = house.authority.disable_token_hashing(caller).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
        let events = house.store.audit_events(AuditQuery::default()).await.unwrap().items;
        let is_of = |event: &AuditEvent| {
            event.action == "feature.disable" && event.actor.as_ref() == Some(&caller.id)
        };
        let event = events.iter().map(|record| &record.event).find(|event| is_of(event)).unwrap();
        assert_eq!((event.outcome, &event.message), (AuditOutcome::Refused, &refused));
    }
    assert_eq!(house.authority.token_hashing().state, HashingState::On);
}

/// Whether a file in `dir` has this text in it.
fn has(dir: &Path, text: &str) -> bool {
    let files = dir.read_dir().unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}
