//! Tokens through the authority: lifetimes, kinds, quota, rotation, leases, reuse.

use std::time::Duration;

use super::*;
use crate::authority::{Issued, Rotation, TokenChange};
use crate::clock;
use crate::setting::Setting;
use crate::store::Revoke;
use crate::store::testing::edit;
use crate::token::ttl::{Clamp, TtlError};
use crate::token::{TokenKind, Ttl};

const DAY: u64 = 24 * 3_600_000;

async fn create(house: &House, caller: &Caller, new: NewToken) -> Result<Issued, AuthorityError> {
    house.authority.create_token(caller, new).await
}

async fn set(house: &House, setting: Setting, value: &str) {
    let changes = vec![(setting, Some(value.to_owned()))];
    house.authority.set_settings(&house.root, changes).await.unwrap();
}

fn kind(kind: TokenKind) -> NewToken {
    NewToken { kind, ..NewToken::default() }
}

#[tokio::test]
async fn a_lifetime_is_by_policy_and_a_cut_is_said() {
    let house = House::new().await;
    let ask = |ttl| create(&house, &house.alice, NewToken { ttl, ..NewToken::default() });
    for (asked, ttl, clamped) in [
        (None, 90 * DAY, None),
        (Some(60_000), 60_000, None),
        (Some(0), 90 * DAY, Some(Clamp { asked: Ttl(0), max: Ttl(90 * DAY) })),
        (Some(8_640_000_000), 90 * DAY, Some(Clamp { asked: Ttl(100 * DAY), max: Ttl(90 * DAY) })),
    ] {
        let issued = ask(asked).await.unwrap();
        assert_eq!((issued.record.ttl, issued.clamped), (Ttl(ttl), clamped), "{asked:?}");
        let stored = house.store.token(&issued.bearer.name).await.unwrap().unwrap();
        assert!(stored.ttl == Ttl(ttl) && stored.hash.verify(&issued.bearer.key));
    }
    for asked in [-1, i64::MAX] {
        let refused = ask(Some(asked)).await;
        assert!(matches!(refused, Err(AuthorityError::Ttl(TtlError::OutOfRange))), "{refused:?}");
    }
    let before = ask(None).await.unwrap();
    set(&house, Setting::TokenMaxTtl, "0").await;
    assert_eq!(ask(None).await.unwrap().record.expires_at(), None);
    let stored = house.store.token(&before.bearer.name).await.unwrap().unwrap();
    assert_eq!(stored.ttl, Ttl(90 * DAY), "a setting does not reach back");

    let description = "x".repeat(1025);
    let refused = create(&house, &house.alice, NewToken { description, ..NewToken::default() }).await;
    assert!(matches!(refused, Err(AuthorityError::DescriptionTooLong)));
}

#[tokio::test]
async fn kinds_are_made_by_those_who_may_and_named_for_their_owner() {
    let house = House::new().await;
    let (alice, root) = (&house.alice, &house.root);
    let helm =
        |owner: &Caller, lease| NewToken { owner: Some(owner.id.clone()), lease, ..kind(TokenKind::Helm) };
    let refused = create(&house, alice, helm(alice, false)).await;
    assert!(matches!(refused, Err(AuthorityError::LeaseRequired(TokenKind::Helm))));
    let refused = create(&house, alice, helm(root, true)).await;
    assert!(matches!(refused, Err(AuthorityError::ForAnotherUser)));
    let refused = create(&house, alice, kind(TokenKind::Agent)).await;
    assert!(matches!(refused, Err(AuthorityError::NotAdministrator)));
    let refused = create(&house, root, kind(TokenKind::Session)).await;
    assert!(matches!(refused, Err(AuthorityError::MadeByLogin(_))));
    let nobody = user("nobody", false);
    let for_nobody = NewToken { owner: Some(nobody.id), ..kind(TokenKind::Agent) };
    assert!(matches!(create(&house, root, for_nobody).await, Err(AuthorityError::UnknownOwner)));

    let issued = create(&house, root, helm(alice, false)).await.unwrap();
    assert!(issued.record.name.as_str().starts_with(&format!("helm-token-{}", alice.id)));
    assert_eq!((&issued.record.user_id, issued.record.expires_at()), (&alice.id, None));
    let counts = house.authority.never_expiring().await.unwrap();
    assert_eq!(counts.len(), TokenKind::ALL.len(), "kinds without any are there with 0");
    assert!(counts.contains(&(TokenKind::Helm, 1)) && counts.contains(&(TokenKind::ApiKey, 2)));
}

#[tokio::test]
async fn a_login_lives_as_long_as_a_session_and_no_kubeconfig_longer_than_the_maximum() {
    let house = House::new().await;
    house.admit("carol", false).await;
    let login = |purpose| {
        house.authority.login(Login {
            username: "carol".to_owned(),
            password: Secret::new(PASSWORD),
            purpose,
            cluster: None,
            description: String::new(),
            client: HOME.parse().unwrap(),
        })
    };
    let issued = login(LoginPurpose::Kubeconfig).await.unwrap();
    assert_eq!((issued.record.kind, issued.record.ttl), (TokenKind::Kubeconfig, Ttl(57_600_000)));
    let together =
        vec![(Setting::TokenMaxTtl, Some("60".to_owned())), (Setting::KubeconfigTtl, Some("30".to_owned()))];
    house.authority.set_settings(&house.root, together).await.unwrap();
    assert_eq!(login(LoginPurpose::Kubeconfig).await.unwrap().record.ttl, Ttl(3_600_000));
    assert_eq!(login(LoginPurpose::Session).await.unwrap().record.ttl, Ttl(57_600_000));
    set(&house, Setting::SessionTtl, "5").await;
    assert_eq!(login(LoginPurpose::Session).await.unwrap().record.ttl, Ttl(300_000));
}

#[tokio::test]
async fn a_quota_counts_all_but_sessions_and_never_keeps_anybody_from_logging_in() {
    let house = House::new().await;
    let carol = house.admit("carol", false).await;
    set(&house, Setting::TokenQuota, "2").await;
    for _ in 0..3 {
        log_in(&house.authority, HOME, "carol", PASSWORD).await.unwrap();
    }
    let second = create(&house, &carol, NewToken::default()).await.unwrap();
    let refused = create(&house, &carol, NewToken::default()).await;
    assert!(matches!(refused, Err(AuthorityError::QuotaReached(2))), "{refused:?}");
    let refused = house.authority.kubeconfig_token(&carol, &[], None).await;
    assert!(matches!(refused, Err(AuthorityError::QuotaReached(2))));
    log_in(&house.authority, HOME, "carol", PASSWORD).await.unwrap();
    let rotated = house.authority.rotate_token(&carol, &second.record.name, Rotation::default()).await;
    let rotated = rotated.expect("a successor takes the place of the one that ends");
    let overlap = Rotation { overlap: Duration::from_secs(1), ..Rotation::default() };
    let refused = house.authority.rotate_token(&carol, &rotated.record.name, overlap).await;
    assert!(matches!(refused, Err(AuthorityError::QuotaReached(2))), "for a while they would be three");
    set(&house, Setting::TokenQuota, "0").await;
    create(&house, &carol, NewToken::default()).await.unwrap();
}

#[tokio::test]
async fn a_token_is_switched_off_and_shortened_and_never_lengthened() {
    let house = House::new().await;
    let (authority, alice) = (&house.authority, &house.alice);
    let issued = create(&house, alice, NewToken { ttl: Some(60_000), ..NewToken::default() }).await.unwrap();
    let name = &issued.record.name;
    let enabled = |enabled| TokenChange { enabled: Some(enabled), ..TokenChange::default() };
    let ttl = |ttl| TokenChange { ttl: Some(ttl), ..TokenChange::default() };
    assert!(!authority.update_token(alice, name, enabled(false)).await.unwrap().enabled);
    assert!(authority.update_token(&house.root, name, enabled(true)).await.unwrap().enabled);
    let carol = house.admit("carol", false).await;
    let foreign = authority.update_token(&carol, name, enabled(false)).await;
    assert!(matches!(foreign, Err(AuthorityError::NotFound)));
    assert_eq!(authority.update_token(alice, name, ttl(50_000)).await.unwrap().ttl, Ttl(50_000));
    for longer in [50_001, 0] {
        let refused = authority.update_token(&house.root, name, ttl(longer)).await;
        assert!(matches!(refused, Err(AuthorityError::Ttl(TtlError::NotShorter(50_000)))), "{refused:?}");
    }
    let description = Some("for the nightly build".to_owned());
    let change = TokenChange { description: description.clone(), ..TokenChange::default() };
    let changed = authority.update_token(alice, name, change).await.unwrap();
    assert_eq!((Some(changed.description), changed.enabled), (description, true));

    log_in(authority, HOME, "carol", PASSWORD).await.unwrap();
    let session = log_in(authority, HOME, "carol", PASSWORD).await.unwrap().record.name;
    let here = Caller { token: session.clone(), ..carol };
    let refused = authority.update_token(&here, &session, enabled(false)).await;
    assert!(matches!(refused, Err(AuthorityError::CurrentSession)));
}

#[tokio::test]
async fn a_rotated_token_has_one_successor_of_its_kind() {
    let house = House::new().await;
    let (authority, alice) = (&house.authority, &house.alice);
    let new = NewToken { ttl: Some(60_000), description: "ci".to_owned(), ..NewToken::default() };
    let old = create(&house, alice, new).await.unwrap().record;
    let overlap = Rotation { overlap: Duration::from_secs(10), ttl: Some(90_000), description: None };
    let next = authority.rotate_token(alice, &old.name, overlap).await.unwrap();
    assert_eq!((next.record.kind, next.record.ttl), (TokenKind::ApiKey, Ttl(90_000)));
    assert_eq!((&next.record.user_id, next.record.description.as_str()), (&alice.id, "ci"));
    let replaced = house.store.token(&old.name).await.unwrap().unwrap();
    assert_eq!(replaced.replaced_by.as_ref(), Some(&next.record.name));
    let left = replaced.expires_at().unwrap().0 - clock::now().0;
    assert!((1_000..=10_000).contains(&left), "{left}");
    let again = authority.rotate_token(alice, &old.name, Rotation::default()).await;
    assert!(matches!(again, Err(AuthorityError::AlreadyReplaced)));

    let last = authority.rotate_token(alice, &next.record.name, Rotation::default()).await.unwrap();
    let replaced = house.store.token(&next.record.name).await.unwrap().unwrap();
    assert!(replaced.is_expired(clock::now()), "without an overlap it has ended");
    let too_long = Rotation { overlap: Duration::from_hours(7 * 24 + 1), ..Rotation::default() };
    let refused = authority.rotate_token(alice, &last.record.name, too_long).await;
    assert!(matches!(refused, Err(AuthorityError::OverlapTooLong)));
    let by_root = authority.rotate_token(&house.root, &last.record.name, Rotation::default()).await;
    assert!(matches!(by_root, Err(AuthorityError::ForAnotherUser)), "an administrator gets nobody's key");
    let change = TokenChange { enabled: Some(false), ..TokenChange::default() };
    authority.update_token(&house.root, &last.record.name, change).await.unwrap();
    let refused = authority.rotate_token(alice, &last.record.name, Rotation::default()).await;
    assert!(matches!(refused, Err(AuthorityError::NotRotatable)), "no way around being switched off");
}

#[tokio::test]
async fn a_lease_is_renewed_by_its_owner_until_it_has_ended_and_makes_nothing() {
    let house = House::new().await;
    let (authority, alice) = (&house.authority, &house.alice);
    let new = NewToken { lease: true, ..kind(TokenKind::DrainNode) };
    let leased = create(&house, alice, new).await.unwrap().record;
    let left = leased.lease_until.unwrap().0 - clock::now().0;
    assert!((50_000..=60_000).contains(&left), "{left}");
    let shortened =
        format!("UPDATE tokens SET lease_until = lease_until - 30000 WHERE name = '{}'", leased.name);
    edit(house.dir.path(), &shortened);
    let renewed = authority.renew_lease(alice, &leased.name).await.unwrap();
    assert!(renewed.lease_until >= leased.lease_until);
    let of_another = authority.renew_lease(&house.root, &leased.name).await;
    assert!(matches!(of_another, Err(AuthorityError::NotFound)));
    let of_a_key = authority.renew_lease(alice, &alice.token).await;
    assert!(matches!(of_a_key, Err(AuthorityError::NotLeased)));

    let on_lease = Caller { token: leased.name.clone(), ..alice.clone() };
    let minted = [
        authority.create_token(&on_lease, NewToken::default()).await,
        authority.kubeconfig_token(&on_lease, &[], None).await,
        authority.rotate_token(&on_lease, &alice.token, Rotation::default()).await,
    ];
    assert!(minted.iter().all(|answer| matches!(answer, Err(AuthorityError::CallerOnLease))), "{minted:?}");
    let of_root = NewToken { lease: true, ..kind(TokenKind::DrainNode) };
    let of_root = create(&house, &house.root, of_root).await.unwrap().record.name;
    let on_lease = Caller { token: of_root, ..house.root.clone() };
    let managed = authority.create_user(&on_lease, new_user("eve", &[])).await;
    assert!(matches!(managed, Err(AuthorityError::NotAdministrator)), "a command manages nobody");
    edit(house.dir.path(), &format!("UPDATE tokens SET lease_until = 1 WHERE name = '{}'", leased.name));
    let too_late = authority.renew_lease(alice, &leased.name).await;
    assert!(matches!(too_late, Err(AuthorityError::NotLeased)), "what has ended stays so");
}

#[tokio::test]
async fn a_kubeconfigs_token_is_reused_while_it_is_good_and_young() {
    let house = House::new().await;
    let (authority, alice) = (&house.authority, &house.alice);
    let first = authority.kubeconfig_token(alice, &[], None).await.unwrap();
    assert_eq!((first.record.kind, first.record.ttl), (TokenKind::Kubeconfig, Ttl(30 * DAY)));
    let again = authority.kubeconfig_token(alice, std::slice::from_ref(&first.bearer), None).await.unwrap();
    assert!(again.reused && again.record.name == first.record.name);
    assert_eq!(again.bearer.expose().expose(), first.bearer.expose().expose());

    let mut guessed = first.bearer.clone();
    guessed.key = crate::token::TokenKey::generate().unwrap();
    let of_root = authority.kubeconfig_token(&house.root, &[], None).await.unwrap().bearer;
    let key = create(&house, alice, NewToken::default()).await.unwrap().bearer;
    for (bearer, why) in [(guessed, "the key is wrong"), (of_root, "another's"), (key, "not a kubeconfig's")]
    {
        let issued = authority.kubeconfig_token(alice, &[bearer], None).await.unwrap();
        assert!(!issued.reused, "{why}");
    }
    let old = format!(
        "UPDATE tokens SET created_at = created_at - {} WHERE name = '{}'",
        16 * DAY,
        first.record.name
    );
    edit(house.dir.path(), &old);
    let issued = authority.kubeconfig_token(alice, &[first.bearer], None).await.unwrap();
    assert!(!issued.reused, "less than half of its life is left");
}

#[tokio::test]
async fn a_new_password_ends_what_was_asked_for_and_nothing_else() {
    let house = House::new().await;
    let authority = &house.authority;
    let carol = house.admit("carol", false).await;
    let session = || log_in(authority, HOME, "carol", PASSWORD);
    let here = session().await.unwrap().record;
    let (_other, at_here) = (session().await.unwrap(), Caller { token: here.name.clone(), ..carol.clone() });
    let left = || async { house.store.tokens_of(Some(&carol.id)).await.len() };
    let change = |from: &'static str, to: &'static str, revoke| {
        authority.change_password(&at_here, Secret::new(from), Secret::new(to), revoke)
    };
    let other = "another horse battery";
    change(PASSWORD, other, None).await.unwrap();
    assert_eq!(left().await, 3, "a password change alone leaves tokens as they are");
    change(other, PASSWORD, Some(Revoke::Sessions)).await.unwrap();
    assert_eq!(left().await, 2, "the key, and the session that asked");
    assert!(house.store.token(&here.name).await.unwrap().is_some());
    change(PASSWORD, other, Some(Revoke::All)).await.unwrap();
    assert_eq!(left().await, 0);
}
