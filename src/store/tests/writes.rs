//! Writes: whole or not at all, with their event, and heard of by every subscriber.

use std::slice;

use super::super::testing::{TempDir, insertion, token, user};
use super::super::{
    AuditEvent, AuditOutcome, AuditQuery, Bulk, Change, Insertion, Revoke, Store, StoreError, TokenFilter,
    TokenUpdate, Usage, UserUpdate, Write,
};
use crate::clock::{self, UnixMillis};
use crate::token::{LastUse, TokenKind, TokenName, TokenRecord, Ttl};
use crate::user::UserRecord;

async fn store(dir: &TempDir) -> (Store, UserRecord) {
    let store = Store::open(dir.path(), None).unwrap();
    let alice = user("alice", false);
    store.insert_user(alice.clone()).await.unwrap();
    (store, alice)
}

pub(super) fn event(action: &str) -> AuditEvent {
    AuditEvent {
        at: clock::now(),
        action: action.to_owned(),
        actor: None,
        token: None,
        user: None,
        cluster: None,
        client: None,
        outcome: AuditOutcome::Success,
        message: String::new(),
    }
}

async fn events(store: &Store) -> Vec<AuditEvent> {
    let page = store.audit_events(AuditQuery { descending: false, ..AuditQuery::default() }).await.unwrap();
    page.items.into_iter().map(|record| record.event).collect()
}

async fn add(store: &Store, record: TokenRecord) -> TokenName {
    store.insert_token(record.clone()).await.unwrap();
    record.name
}

#[tokio::test]
async fn an_act_and_its_event_are_written_together_or_not_at_all() {
    let dir = TempDir::new();
    let (store, alice) = store(&dir).await;
    let record = token(&alice.id).0;
    let write = || Write::InsertToken(insertion(record.clone()));
    assert!(store.commit(write(), Some(event("first"))).await.unwrap().changed());
    let again = store.commit(write(), Some(event("second"))).await;
    assert!(matches!(again, Err(StoreError::Exists)));
    let delete = || Write::DeleteToken(record.name.clone());
    assert!(store.commit(delete(), Some(event("third"))).await.unwrap().changed());
    assert!(!store.commit(delete(), Some(event("fourth"))).await.unwrap().changed());
    let actions: Vec<_> = events(&store).await.into_iter().map(|event| event.action).collect();
    assert_eq!(actions, ["first", "third"], "what was refused, or changed nothing, has no event");
}

#[tokio::test]
async fn a_quota_holds_against_requests_that_come_at_once() {
    let dir = TempDir::new();
    let (store, alice) = store(&dir).await;
    let mut expired = token(&alice.id).0;
    (expired.created_at, expired.ttl) = (UnixMillis(1), Ttl(1));
    add(&store, expired).await;
    add(&store, TokenRecord { kind: TokenKind::Session, ..token(&alice.id).0 }).await;
    let writes = (0..20).map(|_| {
        let insertion = Insertion { quota: Some(5), ..*insertion(token(&alice.id).0) };
        let store = store.clone();
        tokio::spawn(async move { store.commit(Write::InsertToken(Box::new(insertion)), None).await })
    });
    let mut made = 0;
    for write in writes.collect::<Vec<_>>() {
        match write.await.unwrap() {
            Ok(_) => made += 1,
            Err(refused) => assert!(matches!(refused, StoreError::QuotaReached { quota: 5 })),
        }
    }
    assert_eq!(made, 5, "expired tokens and sessions are not counted");
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_never_lengthens_a_life() {
    let dir = TempDir::new();
    let (store, alice) = store(&dir).await;
    let name = add(&store, TokenRecord { description: "ci".to_owned(), ..token(&alice.id).0 }).await;
    let update = async |update| store.commit(Write::UpdateToken(name.clone(), update), None).await;
    let none = TokenUpdate::default;
    let ttl = |ttl| TokenUpdate { ttl: Some(Ttl(ttl)), ..none() };
    assert!(update(TokenUpdate { enabled: Some(false), ..none() }).await.unwrap().changed());
    update(ttl(5_000)).await.unwrap();
    update(ttl(4_000)).await.unwrap();
    for longer in [4_001, 0] {
        assert!(matches!(update(ttl(longer)).await, Err(StoreError::TtlNotShorter)), "{longer}");
    }
    update(TokenUpdate { lease_until: Some(UnixMillis(7)), ..none() }).await.unwrap();
    let found = store.token(&name).await.unwrap().unwrap();
    assert_eq!((found.enabled, found.ttl, found.description.as_str()), (false, Ttl(4_000), "ci"));
    assert_eq!(found.lease_until, None, "a token without a lease gets none");
    let nobody = Write::UpdateToken(TokenName::try_from("token-none").unwrap(), ttl(1));
    assert!(!store.commit(nobody, None).await.unwrap().changed());
}

#[tokio::test]
async fn a_rotated_token_lives_on_for_the_overlap_and_is_replaced_once() {
    let dir = TempDir::new();
    let (store, alice) = store(&dir).await;
    let start = clock::now();
    for (ttl, overlap, expected) in [(0, 1_000, 1_000), (500, 1_000, 500), (0, 0, 1)] {
        let old = TokenRecord { created_at: start, ttl: Ttl(ttl), ..token(&alice.id).0 };
        let old = add(&store, old).await;
        let successor = token(&alice.id).0;
        let rotate = |successor: &TokenRecord| Write::RotateToken {
            old: old.clone(),
            successor: insertion(successor.clone()),
            ends_at: start.plus(overlap),
        };
        let committed = store.commit(rotate(&successor), None).await.unwrap();
        assert_eq!(committed.tokens, [successor.name.clone(), old.clone()]);
        let found = store.token(&old).await.unwrap().unwrap();
        assert_eq!(found.ttl, Ttl(expected));
        assert_eq!(found.replaced_by.as_ref(), Some(&successor.name));
        let third = token(&alice.id).0;
        let again = store.commit(rotate(&third), None).await;
        assert!(matches!(again, Err(StoreError::AlreadyReplaced)), "{again:?}");
        assert!(store.token(&third.name).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_filter_deletes_part_by_part_and_announces_and_records_each_token() {
    let dir = TempDir::new();
    let (store, alice) = store(&dir).await;
    let kept = add(&store, TokenRecord { enabled: false, ..token(&alice.id).0 }).await;
    let mut doomed = Vec::new();
    for _ in 0..5 {
        doomed.push(add(&store, token(&alice.id).0).await);
    }
    doomed.sort_by_key(TokenName::to_string);
    let mut feed = store.subscribe();
    let listen = tokio::spawn(async move {
        let mut changes = Vec::new();
        while changes.len() < 5 {
            changes.push(feed.next().await.unwrap().change);
        }
        changes
    });
    let filter = TokenFilter { enabled: Some(true), ..TokenFilter::default() };
    let (mut after, mut deleted) = (None, Vec::new());
    loop {
        let bulk = Bulk { filter: filter.clone(), after: after.take(), limit: 2 };
        let committed = store.commit(Write::DeleteTokens(bulk), Some(event("delete"))).await.unwrap();
        assert!(committed.count <= 2);
        let Some(last) = committed.tokens.last() else { break };
        after = Some(last.clone());
        deleted.extend(committed.tokens);
    }
    assert_eq!(deleted, doomed);
    assert_eq!(listen.await.unwrap(), doomed.iter().cloned().map(Change::Token).collect::<Vec<_>>());
    let recorded: Vec<_> = events(&store).await.into_iter().filter_map(|event| event.token).collect();
    assert_eq!(recorded, doomed);
    assert!(store.token(&kept).await.unwrap().is_some());
}

#[tokio::test]
async fn shortening_touches_only_what_lives_longer() {
    let dir = TempDir::new();
    let (store, alice) = store(&dir).await;
    let mut names = Vec::new();
    for ttl in [0, 999, 1_000, 1_001] {
        names.push(add(&store, TokenRecord { ttl: Ttl(ttl), ..token(&alice.id).0 }).await);
    }
    let bulk = Bulk { filter: TokenFilter::default(), after: None, limit: 100 };
    let write = || Write::ShortenTokens(bulk.clone(), Ttl(1_000));
    assert_eq!(store.commit(write(), None).await.unwrap().count, 2);
    assert_eq!(store.commit(write(), None).await.unwrap().count, 0);
    for (name, ttl) in names.iter().zip([1_000, 999, 1_000, 1_000]) {
        assert_eq!(store.token(name).await.unwrap().unwrap().ttl, Ttl(ttl));
    }
}

#[tokio::test]
async fn a_password_can_end_sessions_or_all_tokens_but_the_one_that_is_kept() {
    let dir = TempDir::new();
    let (store, alice) = store(&dir).await;
    let session = || TokenRecord { kind: TokenKind::Session, ..token(&alice.id).0 };
    let (own, other) = (add(&store, session()).await, add(&store, session()).await);
    let api_key = add(&store, token(&alice.id).0).await;
    let revoke = async |revoke| {
        let update = UserUpdate { revoke: Some(revoke), keep: Some(own.clone()), ..UserUpdate::default() };
        let write = Write::UpdateUser(alice.id.clone(), Box::new(update));
        store.commit(write, None).await.unwrap().tokens
    };
    assert_eq!(revoke(Revoke::Sessions).await, slice::from_ref(&other));
    assert_eq!(revoke(Revoke::All).await, slice::from_ref(&api_key));
    assert!(store.token(&own).await.unwrap().is_some());
}

#[tokio::test]
async fn a_use_is_noted_without_a_change_and_never_goes_back() {
    let dir = TempDir::new();
    let (store, alice) = store(&dir).await;
    let name = add(&store, token(&alice.id).0).await;
    let _never_read = store.subscribe();
    let usage = |token: &TokenName, at: u64| Usage {
        token: token.clone(),
        last_use: LastUse {
            at: UnixMillis(at),
            address: format!("192.0.2.{at}"),
            user_agent: "kubectl".to_owned(),
        },
    };
    let gone = TokenName::try_from("token-gone").unwrap();
    let note = async |usages| store.commit(Write::NoteUsage(usages), None).await.unwrap().count;
    assert_eq!(note(vec![usage(&name, 7), usage(&gone, 7)]).await, 1);
    assert_eq!(note(vec![usage(&name, 6)]).await, 0);
    let last_use = store.token(&name).await.unwrap().unwrap().last_used.unwrap();
    assert_eq!(last_use, usage(&name, 7).last_use);
}

#[tokio::test]
async fn purges_take_the_oldest_first_and_no_more_than_asked() {
    let dir = TempDir::new();
    let (store, alice) = store(&dir).await;
    let mut names = Vec::new();
    for end in [30, 10, 20] {
        let record = TokenRecord { created_at: UnixMillis(0), ttl: Ttl(end), ..token(&alice.id).0 };
        names.push(add(&store, record).await);
    }
    let leased = add(&store, TokenRecord { lease_until: Some(UnixMillis(40)), ..token(&alice.id).0 }).await;
    let commit = async |write| store.commit(write, None).await.unwrap();
    let first = commit(Write::PurgeExpired(UnixMillis(30), 1)).await.tokens;
    assert_eq!(first, slice::from_ref(&names[1]));
    assert_eq!(commit(Write::PurgeExpired(UnixMillis(30), 10)).await.tokens, slice::from_ref(&names[2]));
    assert_eq!(commit(Write::EndLeases(UnixMillis(39), 10)).await.count, 0);
    assert_eq!(commit(Write::EndLeases(UnixMillis(40), 10)).await.tokens, [leased]);
    assert!(store.token(&names[0]).await.unwrap().is_some(), "its end is not before the cutoff");
    for at in 0..3 {
        store.record(AuditEvent { at: UnixMillis(at), ..event("x") }).await.unwrap();
    }
    assert_eq!(commit(Write::PurgeAudit(UnixMillis(2), 1)).await.count, 1);
    assert_eq!(commit(Write::PurgeAudit(UnixMillis(2), 9)).await.count, 1);
    assert_eq!(events(&store).await.len(), 1);
}

#[tokio::test]
async fn settings_are_set_together_and_heard_of() {
    let dir = TempDir::new();
    let (store, _) = store(&dir).await;
    let mut feed = store.subscribe();
    let set = |values: &[(&str, Option<&str>)]| {
        let owned = values.iter().map(|(name, value)| ((*name).to_owned(), value.map(ToOwned::to_owned)));
        store.commit(Write::SetSettings(owned.collect()), None)
    };
    let heard = async { feed.next().await.unwrap().change };
    let (done, change) = tokio::join!(set(&[("b", Some("2")), ("a", Some("1"))]), heard);
    assert_eq!((done.unwrap().count, change), (2, Change::Settings));
    drop(feed);
    set(&[("a", Some("3")), ("b", None), ("c", None)]).await.unwrap();
    let settings = store.settings().await.unwrap();
    let [only] = settings.as_slice() else { panic!("{settings:?}") };
    assert_eq!((only.name.as_str(), only.value.as_str()), ("a", "3"));
}
