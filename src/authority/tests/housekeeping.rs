//! What the server deletes by itself.

use std::sync::Arc;

use super::*;
use crate::store::AuditFilter;
use crate::store::testing::edit;
use crate::token::TokenKind;

#[tokio::test]
async fn what_expired_a_day_ago_is_purged_and_what_expired_today_is_not() {
    let house = House::new().await;
    let mut ages = Vec::new();
    for hours in [0, 23, 25, 1000] {
        let token = house.token_of(&house.alice.id).await;
        let sql = format!(
            "UPDATE tokens SET ttl = 1, created_at = created_at - {hours} * 3600000 WHERE name = '{}'",
            token.name
        );
        edit(house.dir.path(), &sql);
        ages.push(token.name);
    }
    edit(
        house.dir.path(),
        "INSERT INTO audit_events (at, action, outcome, message) VALUES (1, 'login', 'success', 'long ago')",
    );
    let feed = house.store.subscribe();
    let keeping = tokio::spawn(Arc::clone(&house.authority).housekeeping());
    await_deletion(feed, &ages[2]).await;
    let purged = AuditQuery {
        filter: AuditFilter { action: Some("token.purge".to_owned()), ..AuditFilter::default() },
        ..AuditQuery::default()
    };
    assert_eq!(house.store.audit_events(purged).await.unwrap().items.len(), 2);
    let left: Vec<_> = house.store.tokens_of(Some(&house.alice.id)).await;
    let left: Vec<_> = left.into_iter().map(|token| token.name).filter(|name| ages.contains(name)).collect();
    assert_eq!(left.len(), 2);
    assert!(ages[..2].iter().all(|name| left.contains(name)));
    house.authority.purge(clock::now()).await.unwrap();
    let all = house.store.audit_events(AuditQuery::default()).await.unwrap().items;
    assert!(all.iter().all(|record| record.event.message != "long ago"));
    keeping.abort();
}

#[tokio::test]
async fn a_lease_that_nobody_renews_ends_the_token_with_an_event() {
    let house = House::new().await;
    let new = NewToken { kind: TokenKind::Helm, lease: true, ..NewToken::default() };
    let leased = house.authority.create_token(&house.alice, new).await.unwrap().record;
    let end = leased.lease_until.unwrap();
    house.authority.end_leases(clock::now()).await.unwrap();
    assert!(house.store.token(&leased.name).await.unwrap().is_some());
    house.authority.end_leases(end).await.unwrap();
    assert!(house.store.token(&leased.name).await.unwrap().is_none());
    let newest = house.store.audit_events(AuditQuery::default()).await.unwrap().items.remove(0).event;
    assert_eq!(
        (newest.action.as_str(), &newest.token, &newest.actor),
        ("token.lease-end", &Some(leased.name), &None)
    );
}

async fn await_deletion(mut feed: ChangeFeed, name: &TokenName) {
    while let Some(delivery) = feed.next().await {
        if delivery.change == Change::Token(name.clone()) {
            return;
        }
    }
}
