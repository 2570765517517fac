//! Bulk changes.

use super::*;
use crate::authority::Bulk;
use crate::setting::Setting;
use crate::token::{TokenKind, Ttl};

#[tokio::test]
async fn a_filter_deletes_within_ones_reach_and_never_the_token_it_came_with() {
    let house = House::new().await;
    let (authority, alice, root) = (&house.authority, &house.alice, &house.root);
    for _ in 0..3 {
        house.token_of(&alice.id).await;
        house.token_of(&root.id).await;
    }
    let keys = TokenFilter { kinds: vec![TokenKind::ApiKey], ..TokenFilter::default() };
    let of_root = TokenFilter { owner: Some(root.id.clone()), ..keys.clone() };
    let nothing = authority.delete_tokens(alice, TokenFilter::default(), false).await;
    assert!(matches!(nothing, Err(AuthorityError::FilterMissing)));
    assert_eq!(authority.delete_tokens(alice, of_root, false).await.unwrap(), Bulk::default());

    let preview = authority.delete_tokens(alice, keys.clone(), true).await.unwrap();
    assert_eq!((preview.count, preview.names.len()), (3, 3));
    assert_eq!(house.store.tokens_of(None).await.len(), 8, "a rehearsal changes nothing");
    assert_eq!(authority.delete_tokens(alice, keys.clone(), false).await.unwrap(), preview);
    assert_eq!(house.store.tokens_of(Some(&alice.id)).await.len(), 1);
    let all = authority.delete_tokens(root, keys, false).await.unwrap();
    assert_eq!(all.count, 4, "three of one's own, and alice's last");
    let left = house.store.tokens_of(None).await;
    assert_eq!(left.iter().map(|token| &token.name).collect::<Vec<_>>(), [&root.token]);
}

#[tokio::test]
async fn what_exceeds_the_maximum_is_made_as_long_as_it_and_the_rest_is_left() {
    let house = House::new().await;
    let (authority, root) = (&house.authority, &house.root);
    let ttl = Some(60_000);
    let short = authority.create_token(&house.alice, NewToken { ttl, ..NewToken::default() }).await.unwrap();
    let agent = NewToken { kind: TokenKind::Agent, ..NewToken::default() };
    let agent = authority.create_token(root, agent).await.unwrap();
    let preview = authority.shorten_tokens(root, TokenFilter::default(), true).await.unwrap();
    assert_eq!(preview.count, 2, "the two keys that never expire");
    assert_eq!(authority.shorten_tokens(root, TokenFilter::default(), false).await.unwrap(), preview);
    for (name, ttl) in [
        (&house.alice.token, 7_776_000_000),
        (&root.token, 7_776_000_000),
        (&short.record.name, 60_000),
        (&agent.record.name, 0),
    ] {
        assert_eq!(house.store.token(name).await.unwrap().unwrap().ttl, Ttl(ttl), "{name}");
    }
    let agents = TokenFilter { kinds: vec![TokenKind::Agent], ..TokenFilter::default() };
    assert_eq!(authority.shorten_tokens(root, agents, false).await.unwrap(), Bulk::default());
    authority.set_settings(root, vec![(Setting::TokenMaxTtl, Some("0".to_owned()))]).await.unwrap();
    let refused = authority.shorten_tokens(root, TokenFilter::default(), true).await;
    assert!(matches!(refused, Err(AuthorityError::NoMaximum)));
}
