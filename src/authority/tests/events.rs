//! The audit log.

use super::*;
use crate::authority::{Rotation, TokenChange};
use crate::setting::Setting;
use crate::store::{AuditEvent, AuditOutcome, Revoke};

async fn events(house: &House) -> Vec<AuditEvent> {
    let query = AuditQuery { descending: false, ..AuditQuery::default() };
    let page = house.store.audit_events(query).await.unwrap();
    page.items.into_iter().map(|record| record.event).collect()
}

#[tokio::test]
async fn each_act_is_an_event_in_the_store_and_the_same_in_the_log() {
    let log = CapturedLog::start();
    let house = House::new().await;
    let (authority, root) = (&house.authority, &house.root);
    let key = authority.create_token(&house.alice, NewToken::default()).await.unwrap().record.name;
    let off = TokenChange { enabled: Some(false), ..TokenChange::default() };
    let other = house.token_of(&house.alice.id).await.name;
    authority.update_token(root, &other, off).await.unwrap();
    authority.rotate_token(&house.alice, &key, Rotation::default()).await.unwrap();
    authority.delete_token(root, &key).await.unwrap();
    let quota = vec![(Setting::TokenQuota, Some("9".to_owned()))];
    authority.set_settings(root, quota).await.unwrap();
    let bob = authority.create_user(root, new_user("bob", &[])).await.unwrap();
    authority.set_password(root, &bob.id, Secret::new(PASSWORD), None).await.unwrap();
    log_in(authority, "192.0.2.9", "bob", PASSWORD).await.unwrap();
    let change = UserChange { enabled: Some(false), ..UserChange::default() };
    authority.update_user(root, &bob.id, change).await.unwrap();
    let of_bob = house.token_of(&bob.id).await.name;
    let everything = Some(Revoke::All);
    authority.set_password(root, &bob.id, Secret::new("another horse battery"), everything).await.unwrap();
    authority.delete_user(root, &bob.id).await.unwrap();
    authority.logout(root).await.unwrap();

    let (alice, root) = (Some(&house.alice.id), Some(&house.root.id));
    let expected = [
        ("token.create", alice),
        ("token.disable", root),
        ("token.rotate", alice),
        ("token.delete", root),
        ("setting.set", root),
        ("user.create", root),
        ("user.set-password", root),
        ("login", Some(&bob.id)),
        ("user.update", root),
        ("user.set-password", root),
        ("token.delete", root),
        ("token.delete", root),
        ("user.delete", root),
        ("logout", root),
    ];
    let found = events(&house).await;
    let said: Vec<_> = found.iter().map(|event| (event.action.as_str(), event.actor.as_ref())).collect();
    assert_eq!(said, expected);
    let lines: Vec<String> =
        log.text().lines().filter(|line| line.contains(" audit: ")).map(str::to_owned).collect();
    assert_eq!(lines.len(), found.len(), "{lines:#?}");
    for (event, line) in found.iter().zip(lines) {
        assert_eq!(event.outcome, AuditOutcome::Success);
        let logged = [&event.action, &event.message, event.client.as_ref().unwrap()];
        assert!(logged.into_iter().all(|part| line.contains(part)), "{event:?} {line}");
    }
    assert_eq!(found[0].token.as_ref(), Some(&key));
    assert!(found[4].message.contains("token-quota-per-user is \"9\" (was \"500\")"), "{}", found[4].message);
    assert!([&found[10], &found[11]].iter().any(|event| event.token.as_ref() == Some(&of_bob)));
    assert_eq!(found[7].client.as_deref(), Some("192.0.2.9"));
}

#[tokio::test]
async fn each_refusal_is_an_event_and_changes_nothing() {
    let house = House::new().await;
    let (authority, alice, root) = (&house.authority, &house.alice, &house.root);
    let _refused = authority.create_user(alice, new_user("eve", &[])).await.unwrap_err();
    let _refused = authority.delete_token(alice, &root.token).await.unwrap_err();
    let _refused = authority.delete_user(root, &root.id).await.unwrap_err();
    let _refused = log_in(authority, "192.0.2.9", "alice", "a secret guess").await.unwrap_err();
    let expensive = NewToken { ttl: Some(-1), ..NewToken::default() };
    let _refused = authority.create_token(alice, expensive).await.unwrap_err();
    let _slip = authority.delete_token(root, &TokenName::try_from("token-bbbbb").unwrap()).await.unwrap_err();

    let found = events(&house).await;
    let said: Vec<_> = found.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(said, ["user.create", "token.delete", "user.delete", "login", "token.create"]);
    assert!(found.iter().all(|event| event.outcome == AuditOutcome::Refused));
    assert_eq!((&found[1].token, &found[1].user), (&Some(root.token.clone()), &Some(root.id.clone())));
    assert_eq!((&found[3].actor, found[3].client.as_deref()), (&None, Some("192.0.2.9")));
    assert!(found.iter().all(|event| !event.message.contains("guess")), "no password, no name as typed");
    assert_eq!(house.store.all_users().await.len(), 2);
    assert_eq!(authority.lost_refusals(), 0);
    let seen = authority.audit_events(root, AuditQuery::default()).await.unwrap();
    assert_eq!(seen.items.len(), 5);
}
