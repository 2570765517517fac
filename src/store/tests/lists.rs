//! Lists: what a filter lets through, and every row exactly once whatever happens between two pages.

use std::collections::BTreeSet;

use super::super::testing::{TempDir, edit, token, user};
use super::super::{
    AuditEvent, AuditFilter, AuditOutcome, AuditQuery, Marker, Store, StoreError, TokenFilter, TokenQuery,
    TokenSort, UserFilter, UserQuery,
};
use crate::clock::{self, UnixMillis};
use crate::token::{LastUse, TokenKind, TokenName, TokenRecord, Ttl};
use crate::user::UserRecord;

const SORTS: [TokenSort; 4] =
    [TokenSort::Name, TokenSort::CreatedAt, TokenSort::ExpiresAt, TokenSort::LastUsedAt];

/// A store with a user and an administrator.
async fn store(dir: &TempDir) -> (Store, UserRecord, UserRecord) {
    let store = Store::open(dir.path(), None).unwrap();
    let (alice, root) = (user("alice", false), user("root", true));
    store.insert_user(alice.clone()).await.unwrap();
    store.insert_user(root.clone()).await.unwrap();
    (store, alice, root)
}

fn named(name: &str, owner: &UserRecord) -> TokenRecord {
    TokenRecord { name: TokenName::try_from(name).unwrap(), ..token(&owner.id).0 }
}

fn used(at: u64) -> LastUse {
    LastUse { at: UnixMillis(at), address: "192.0.2.7".to_owned(), user_agent: "kubectl".to_owned() }
}

async fn names(store: &Store, filter: TokenFilter) -> Vec<String> {
    let page = store.tokens(TokenQuery { filter: filter.clone(), ..TokenQuery::default() }).await.unwrap();
    assert_eq!(store.count_tokens(filter).await.unwrap(), page.items.len() as u64);
    page.items.iter().map(|token| token.name.to_string()).collect()
}

#[tokio::test]
async fn each_filter_lets_through_what_it_says() {
    let dir = TempDir::new();
    let (store, alice, root) = store(&dir).await;
    let now = clock::now().0;
    let hour = 3_600_000;
    let records = [
        TokenRecord { enabled: false, ..named("a-off", &alice) },
        TokenRecord { created_at: UnixMillis(now - 2 * hour), ttl: Ttl(hour), ..named("b-expired", &alice) },
        TokenRecord { ttl: Ttl(hour), last_used: Some(used(1_000)), ..named("c-hour", &root) },
        TokenRecord { kind: TokenKind::Session, last_used: Some(used(2_000)), ..named("d-session", &alice) },
        TokenRecord { lease_until: Some(UnixMillis(now - 1)), ..named("e-lease", &root) },
        TokenRecord {
            lease_until: Some(UnixMillis(now + hour)),
            ttl: Ttl(2 * hour),
            ..named("f-run", &root)
        },
    ];
    for record in &records {
        store.insert_token(record.clone()).await.unwrap();
    }
    let all = TokenFilter::default;
    let (session, api_key) = (TokenKind::Session, TokenKind::ApiKey);
    for (filter, expected) in [
        (all(), "abcdef"),
        (TokenFilter { owner: Some(alice.id.clone()), ..all() }, "abd"),
        (TokenFilter { kinds: vec![session], ..all() }, "d"),
        (TokenFilter { kinds: vec![session, api_key], ..all() }, "abcdef"),
        (TokenFilter { enabled: Some(false), ..all() }, "a"),
        (TokenFilter { enabled: Some(true), ..all() }, "bcdef"),
        (TokenFilter { expired: Some(true), ..all() }, "be"),
        (TokenFilter { expired: Some(false), ..all() }, "acdf"),
        (TokenFilter { never_expires: Some(true), ..all() }, "ade"),
        (TokenFilter { never_expires: Some(false), ..all() }, "bcf"),
        (TokenFilter { last_used_before: Some(UnixMillis(2_000)), ..all() }, "abcef"),
        (TokenFilter { exceeds: Some(Ttl(hour)), ..all() }, "adef"),
        (TokenFilter { name_contains: Some("-r".to_owned()), ..all() }, "f"),
        (TokenFilter { except: Some(records[0].name.clone()), ..all() }, "bcdef"),
        (TokenFilter { owner: Some(root.id.clone()), expired: Some(false), ..all() }, "cf"),
    ] {
        let found: String =
            names(&store, filter.clone()).await.iter().filter_map(|name| name.chars().next()).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let never = store.never_expiring_tokens().await.unwrap();
    assert_eq!(never, [(api_key, 2), (session, 1)]);
}

#[tokio::test]
async fn pages_have_each_row_once_in_every_order_while_rows_come_and_go() {
    let dir = TempDir::new();
    let (store, alice, root) = store(&dir).await;
    let mut expected = BTreeSet::new();
    for number in 0..60_u64 {
        let owner = if number % 3 == 0 { &root } else { &alice };
        let record = TokenRecord {
            // Many equals, so that pages end between them.
            created_at: UnixMillis(1_000 + number / 10),
            ttl: Ttl(number % 4 * 1_000_000),
            last_used: (number % 2 == 0).then(|| used(number / 8)),
            ..named(&format!("token-{number:02}"), owner)
        };
        store.insert_token(record.clone()).await.unwrap();
        expected.insert(record.name.to_string());
    }
    let mut newcomers = 0;
    for sort in SORTS {
        for descending in [false, true] {
            let mut query = TokenQuery { sort, descending, limit: 7, ..TokenQuery::default() };
            let mut seen = Vec::new();
            loop {
                let page = store.tokens(query.clone()).await.unwrap();
                assert!(page.items.len() <= 7);
                seen.extend(page.items);
                let Some(next) = page.next else { break };
                query.after = Some(Marker::try_from(next.to_string().as_str()).unwrap());
                newcomers += 1;
                let (early, late) =
                    (named(&format!("a-{newcomers:03}"), &alice), named(&format!("z-{newcomers:03}"), &root));
                store.insert_token(early.clone()).await.unwrap();
                store.insert_token(late).await.unwrap();
                assert!(store.delete_token(&early.name).await.unwrap());
            }
            let keys: Vec<_> = seen.iter().map(|token| place(sort, token)).collect();
            let sorted = |pair: &[_]| if descending { pair[0] > pair[1] } else { pair[0] < pair[1] };
            assert!(keys.windows(2).all(sorted), "{sort:?} {descending}: {keys:?}");
            let known: BTreeSet<_> = seen.iter().map(|token| token.name.to_string()).collect();
            assert!(expected.is_subset(&known), "{sort:?} {descending}");
        }
    }
}

fn place(sort: TokenSort, token: &TokenRecord) -> (u64, String) {
    let number = match sort {
        TokenSort::Name => 0,
        TokenSort::CreatedAt => token.created_at.0,
        TokenSort::ExpiresAt => token.expires_at().map_or(u64::MAX, |end| end.0),
        TokenSort::LastUsedAt => token.last_used.as_ref().map_or(0, |last_use| last_use.at.0),
    };
    (number, token.name.to_string())
}

#[tokio::test]
async fn no_order_of_tokens_is_sorted_when_it_is_asked_for() {
    let dir = TempDir::new();
    let (store, alice, _) = store(&dir).await;
    for _ in 0..2 {
        store.insert_token(token(&alice.id).0).await.unwrap();
    }
    let connection = rusqlite::Connection::open(dir.path().join("portcullis.db")).unwrap();
    for owner in [None, Some(alice.id)] {
        for sort in SORTS {
            let filter = TokenFilter { owner: owner.clone(), ..TokenFilter::default() };
            let mut query = TokenQuery { filter, sort, limit: 1, ..TokenQuery::default() };
            query.after = store.tokens(query.clone()).await.unwrap().next;
            let plan = query.selection().plan(&connection);
            let place = if sort == TokenSort::Name { "name>?" } else { ",name)>(?,?)" };
            let sought = plan.starts_with("SEARCH tokens USING INDEX") && plan.contains(place);
            assert!(sought && !plan.contains("TEMP B-TREE"), "{sort:?}: {plan}");
        }
    }
}

#[tokio::test]
async fn a_marker_of_another_list_is_refused() {
    let dir = TempDir::new();
    let (store, alice, _) = store(&dir).await;
    for _ in 0..2 {
        store.insert_token(token(&alice.id).0).await.unwrap();
    }
    let query = TokenQuery { limit: 1, ..TokenQuery::default() };
    let after = store.tokens(query.clone()).await.unwrap().next;
    assert!(after.is_some());
    for wrong in [
        TokenQuery { after: after.clone(), descending: true, ..query.clone() },
        TokenQuery { after: after.clone(), sort: TokenSort::ExpiresAt, ..query.clone() },
    ] {
        assert!(matches!(store.tokens(wrong).await, Err(StoreError::ForeignMarker)));
    }
    let users = store.users(UserQuery { after, ..UserQuery::default() }).await;
    assert!(matches!(users, Err(StoreError::ForeignMarker)));
    for text in ["", "x", "%", "W10", "e30", &"A".repeat(10_000)] {
        assert!(Marker::try_from(text).is_err(), "{text:.20}");
    }
}

#[tokio::test]
async fn a_corrupt_row_ends_no_list_at_any_place() {
    let dir = TempDir::new();
    let (store, alice, _) = store(&dir).await;
    for letter in ["a", "b", "c", "d"] {
        store.insert_token(named(letter, &alice)).await.unwrap();
    }
    edit(dir.path(), "UPDATE tokens SET kind = 'x' WHERE name IN ('b', 'c')");
    let mut query = TokenQuery { limit: 2, ..TokenQuery::default() };
    let first = store.tokens(query.clone()).await.unwrap();
    assert_eq!(first.items.len(), 1);
    query.after = first.next;
    let second = store.tokens(query).await.unwrap();
    assert_eq!((second.items[0].name.as_str(), second.next), ("d", None));
}

#[tokio::test]
async fn users_are_listed_by_name_page_by_page() {
    let dir = TempDir::new();
    let (store, alice, _) = store(&dir).await;
    store.insert_user(UserRecord { enabled: false, ..user("bob", false) }).await.unwrap();
    let list = async |filter: UserFilter, descending| {
        let mut query = UserQuery { filter, descending, limit: 1, after: None };
        let mut names = Vec::new();
        loop {
            let page = store.users(query.clone()).await.unwrap();
            names.extend(page.items.iter().map(|user| user.name.as_str().to_owned()));
            query.after = page.next;
            if query.after.is_none() {
                return names.join(" ");
            }
        }
    };
    let all = UserFilter::default;
    assert_eq!(list(all(), false).await, "alice bob root");
    assert_eq!(list(all(), true).await, "root bob alice");
    assert_eq!(list(UserFilter { name: Some(alice.name.clone()), ..all() }, false).await, "alice");
    assert_eq!(list(UserFilter { enabled: Some(false), ..all() }, false).await, "bob");
    assert_eq!(list(UserFilter { admin: Some(true), ..all() }, false).await, "root");
}

#[tokio::test]
async fn audit_events_are_listed_newest_first() {
    let dir = TempDir::new();
    let (store, alice, root) = store(&dir).await;
    for number in 0..5_u64 {
        let event = AuditEvent {
            at: UnixMillis(number),
            action: if number % 2 == 0 { "login" } else { "token.create" }.to_owned(),
            actor: (number != 4).then(|| alice.id.clone()),
            token: TokenName::try_from("token-bcdfg").ok(),
            user: Some(root.id.clone()),
            cluster: None,
            client: Some("192.0.2.7".to_owned()),
            outcome: AuditOutcome::Refused,
            message: "wrong password".to_owned(),
        };
        store.record(event).await.unwrap();
    }
    let ids = async |filter: AuditFilter| {
        let page = store.audit_events(AuditQuery { filter, ..AuditQuery::default() }).await.unwrap();
        page.items.iter().map(|record| record.id).collect::<Vec<_>>()
    };
    let all = AuditFilter::default;
    assert_eq!(ids(all()).await, [5, 4, 3, 2, 1]);
    assert_eq!(ids(AuditFilter { action: Some("login".to_owned()), ..all() }).await, [5, 3, 1]);
    assert_eq!(ids(AuditFilter { actor: Some(alice.id.clone()), ..all() }).await, [4, 3, 2, 1]);
    assert_eq!(ids(AuditFilter { user: Some(alice.id), ..all() }).await, [0_u64; 0]);
    let two = AuditQuery { limit: 2, ..AuditQuery::default() };
    let first = store.audit_events(two.clone()).await.unwrap();
    let event = &first.items[0].event;
    assert_eq!((event.actor.as_ref(), event.outcome, event.at), (None, AuditOutcome::Refused, UnixMillis(4)));
    let second = store.audit_events(AuditQuery { after: first.next, ..two }).await.unwrap();
    assert_eq!(second.items.iter().map(|record| record.id).collect::<Vec<_>>(), [3, 2]);
}
