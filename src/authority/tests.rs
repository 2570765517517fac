//! The authority's rules, on a real store.

mod bulk;
mod clusters;
mod events;
mod features;
mod housekeeping;
mod settings;
mod tokens;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::testing::{CapturedLog, HOME, House, PASSWORD, log_in, open};
use super::{AuthorityError, Caller, Login, LoginPurpose, NewToken, NewUser, Policy, UserChange};
use crate::clock;
use crate::identity::{Group, Username};
use crate::secret::Secret;
use crate::store::testing::{TempDir, edit, user};
use crate::store::{
    AuditQuery, Change, ChangeFeed, Store, StoreError, TokenFilter, TokenQuery, UserQuery, UserUpdate,
};
use crate::token::TokenName;

fn new_user(name: &str, groups: &[&str]) -> NewUser {
    NewUser {
        name: Username::try_from(name).unwrap(),
        groups: groups.iter().map(|group| Group::try_from(*group).unwrap()).collect(),
        admin: false,
        enabled: true,
        password: None,
    }
}

#[tokio::test]
async fn the_first_start_leaves_a_working_password_for_the_operator_alone() {
    let log = CapturedLog::start();
    let dir = TempDir::new();
    let store = Store::open(dir.path(), None).unwrap();
    let authority = open(&store, Policy::default()).await;
    let path = authority.bootstrap(dir.path()).await.unwrap().unwrap();
    assert_eq!(path, dir.path().join("admin-password"));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let password = std::fs::read_to_string(&path).unwrap();
    log_in(&authority, HOME, "admin", password.trim()).await.unwrap();
    let admin = store.all_users().await.remove(0);
    assert!(admin.admin && admin.enabled && admin.groups.is_empty());
    assert!(log.text().contains("admin-password") && !log.text().contains(password.trim()), "{}", log.text());

    assert_eq!(authority.bootstrap(dir.path()).await.unwrap(), None);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), password);
    assert_eq!(store.all_users().await.len(), 1);
}

#[tokio::test]
async fn kubernetes_own_names_are_given_only_where_they_are_listed_exactly() {
    let log = CapturedLog::start();
    let house = House::new().await;
    let create = |name: &'static str, groups: &'static [&'static str]| {
        let authority = &house.authority;
        let root = &house.root;
        async move { authority.create_user(root, new_user(name, groups)).await }
    };
    let refused: [(&str, &[&str]); 6] = [
        ("system:admin", &[]),
        ("system:node:n1", &[]),
        ("mallory", &["system:masters"]),
        ("mallory", &["dev", "system:nodes"]),
        ("mallory", &["system:monitoring2"]),
        ("mallory", &["system:"]),
    ];
    for (name, groups) in refused {
        let answer = create(name, groups).await;
        assert!(matches!(answer, Err(AuthorityError::Reserved(_))), "{name} {groups:?}: {answer:?}");
        let line = log.text().lines().last().unwrap().to_owned();
        assert!(
            line.contains("audit") && line.contains("system:") && line.contains(house.root.id.as_str()),
            "{line}"
        );
    }
    let bob = create("bob", &["system:monitoring", "systems", "dev", "dev"]).await.unwrap();
    assert_eq!(bob.groups.len(), 3, "a group twice is a group once");
    let groups = Some(vec![Group::try_from("system:masters").unwrap()]);
    let answer = house
        .authority
        .update_user(&house.root, &bob.id, UserChange { groups, ..UserChange::default() })
        .await;
    assert!(matches!(answer, Err(AuthorityError::Reserved(_))));
    assert_eq!(house.store.user(&bob.id).await.unwrap().unwrap().groups.len(), 3);

    let many: Vec<String> = (0..=512).map(|number| format!("g{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answer = house.authority.create_user(&house.root, new_user("eve", &many)).await;
    assert!(matches!(answer, Err(AuthorityError::TooManyGroups)));
    assert!(house.authority.create_user(&house.root, new_user("eve", &many[..512])).await.is_ok());
    let answer = create("bob", &[]).await;
    assert!(matches!(answer, Err(AuthorityError::NameTaken)));
}

#[tokio::test]
async fn ordinary_users_and_demoted_administrators_manage_nobody() {
    let house = House::new().await;
    let demoted = house.admit("toor", true).await;
    let off = UserUpdate { admin: Some(false), ..UserUpdate::default() };
    house.store.update_user(&demoted.id, off).await.unwrap();
    let authority = &house.authority;
    for caller in [&house.alice, &demoted] {
        let answers = [
            authority.create_user(caller, new_user("x", &[])).await.map(|_| ()),
            authority.users(caller, UserQuery::default()).await.map(|_| ()),
            authority
                .update_user(caller, &caller.id, UserChange { admin: Some(true), ..UserChange::default() })
                .await
                .map(|_| ()),
            authority.update_user(caller, &house.root.id, UserChange::default()).await.map(|_| ()),
            authority.delete_user(caller, &house.root.id).await,
            authority.set_password(caller, &house.root.id, Secret::new(PASSWORD), None).await.map(|_| ()),
            authority.set_password(caller, &caller.id, Secret::new(PASSWORD), None).await.map(|_| ()),
            authority.shorten_tokens(caller, TokenFilter::default(), false).await.map(|_| ()),
            authority.audit_events(caller, AuditQuery::default()).await.map(|_| ()),
            authority.set_settings(caller, Vec::new()).await.map(|_| ()),
        ];
        for (number, answer) in answers.into_iter().enumerate() {
            assert!(
                matches!(answer, Err(AuthorityError::NotAdministrator)),
                "{} {number}: {answer:?}",
                caller.name
            );
        }
        assert!(matches!(authority.user(caller, &house.root.id).await, Err(AuthorityError::NotFound)));
        assert!(authority.user(caller, &caller.id).await.is_ok());
        let owner = Some(house.root.id.clone());
        let minted = authority.create_token(caller, NewToken { owner, ..NewToken::default() }).await;
        assert!(matches!(minted, Err(AuthorityError::ForAnotherUser)));
    }
    let key = house.token_of(&house.root.id).await.name;
    let with_key = Caller { token: key.clone(), ..house.root.clone() };
    assert!(authority.users(&with_key, UserQuery::default()).await.is_ok());
    house.store.delete_token(&key).await.unwrap();
    let gone = authority.users(&with_key, UserQuery::default()).await;
    assert!(
        matches!(gone, Err(AuthorityError::CallerGone)),
        "a token that was just revoked does nothing more"
    );
    let off = UserUpdate { enabled: Some(false), ..UserUpdate::default() };
    house.store.update_user(&house.alice.id, off).await.unwrap();
    let minted = authority.create_token(&house.alice, NewToken::default()).await;
    assert!(matches!(minted, Err(AuthorityError::CallerGone)), "a disabled user mints nothing");
}

#[tokio::test]
async fn nobody_locks_himself_or_everybody_out() {
    let house = House::new().await;
    let (authority, root) = (&house.authority, &house.root);
    let change = |admin, enabled| UserChange { admin, enabled, groups: None };
    let answer = authority.update_user(root, &root.id, change(None, Some(false))).await;
    assert!(matches!(answer, Err(AuthorityError::OwnUser)));
    assert!(matches!(authority.delete_user(root, &root.id).await, Err(AuthorityError::OwnUser)));
    let answer = authority.update_user(root, &root.id, change(Some(false), None)).await;
    assert!(matches!(answer, Err(AuthorityError::LastAdministrator)));

    let toor = house.admit("toor", true).await;
    authority.update_user(root, &toor.id, change(None, Some(false))).await.unwrap();
    authority.update_user(root, &toor.id, change(None, Some(true))).await.unwrap();
    authority.delete_user(&toor, &root.id).await.unwrap();
    let answer = authority.users(root, UserQuery::default()).await;
    assert!(matches!(answer, Err(AuthorityError::CallerGone)), "who is deleted acts no more: {answer:?}");
    assert!(matches!(authority.delete_user(&toor, &root.id).await, Err(AuthorityError::NotFound)));
}

#[tokio::test]
async fn tokens_are_seen_and_deleted_by_their_owner_and_by_administrators_alone() {
    let house = House::new().await;
    let authority = &house.authority;
    let (of_alice, of_root) = (house.token_of(&house.alice.id).await, house.token_of(&house.root.id).await);
    assert!(matches!(authority.token(&house.alice, &of_root.name).await, Err(AuthorityError::NotFound)));
    assert!(matches!(
        authority.delete_token(&house.alice, &of_root.name).await,
        Err(AuthorityError::NotFound)
    ));
    let none = TokenName::try_from("token-bbbbb").unwrap();
    assert!(matches!(authority.delete_token(&house.alice, &none).await, Err(AuthorityError::NotFound)));
    assert!(house.store.token(&of_root.name).await.unwrap().is_some());
    let owned_by = |owner: &Caller| TokenFilter { owner: Some(owner.id.clone()), ..TokenFilter::default() };
    for (caller, filter, count) in [
        (&house.alice, TokenFilter::default(), 2),
        (&house.alice, owned_by(&house.alice), 2),
        (&house.alice, owned_by(&house.root), 0),
        (&house.root, TokenFilter::default(), 4),
        (&house.root, owned_by(&house.alice), 2),
    ] {
        let query = TokenQuery { filter: filter.clone(), ..TokenQuery::default() };
        let listed = authority.tokens(caller, query).await.unwrap().items;
        assert_eq!(listed.len(), count, "{} {filter:?}", caller.name);
    }
    assert!(authority.token(&house.root, &of_alice.name).await.is_ok());
    authority.delete_token(&house.alice, &of_alice.name).await.unwrap();
    assert!(matches!(
        authority.delete_token(&house.alice, &of_alice.name).await,
        Err(AuthorityError::NotFound)
    ));
    authority.delete_token(&house.root, &house.alice.token).await.unwrap();
    authority.delete_token(&house.root, &house.root.token).await.expect("an API key may delete itself");
}

#[tokio::test]
async fn a_store_in_trouble_is_never_a_refusal_of_the_caller() {
    let house = House::new().await;
    let busy = house.store.occupy_readers().await;
    let (login, token, listed) = tokio::join!(
        log_in(&house.authority, HOME, "carol", PASSWORD),
        house.authority.token(&house.alice, &house.alice.token),
        house.authority.users(&house.root, UserQuery::default()),
    );
    drop(busy);
    for error in [login.err(), token.err(), listed.err()] {
        assert!(matches!(error, Some(AuthorityError::StoreUnreachable(_))), "{error:?}");
    }
}

#[tokio::test]
async fn an_administrator_can_delete_a_token_that_is_too_corrupt_to_read() {
    let house = House::new().await;
    let record = house.token_of(&house.alice.id).await;
    edit(house.dir.path(), &format!("UPDATE tokens SET stored_key = '' WHERE name = '{}'", record.name));
    let refused = house.authority.delete_token(&house.alice, &record.name).await;
    assert!(matches!(refused, Err(AuthorityError::StoreFailed(StoreError::Corrupt { .. }))), "{refused:?}");
    house.authority.delete_token(&house.root, &record.name).await.unwrap();
}
