//! What becomes of open streams when their token or user changes, over a real store and its feed.

use std::sync::Arc;
use std::time::Duration;

use super::tests::{Gate, idle_after};
use super::{Authenticated, Authenticator};
use crate::clock::{MINUTE, UnixMillis};
use crate::store::{TokenUpdate, UserUpdate, Write};
use crate::streams::{CutReason, Guard, NewStream, StreamKind};
use crate::token::{TokenKind, TokenName, Ttl};

/// What ends a token.
type Revocation = fn(TokenName) -> Write;

/// Enters a stream as the proxy does.
async fn enter(authenticator: &Authenticator, by: &Authenticated) -> Guard {
    let guard = authenticator.streams().register(NewStream {
        owner: by.owner(),
        kind: StreamKind::Watch,
        cluster: Arc::from("local"),
        client: [127, 0, 0, 1].into(),
        groups: Arc::clone(&by.user().groups),
        expires_at: by.token().record.ends_at(),
    });
    authenticator.check_entered(guard.entry()).await;
    guard
}

fn reason(stream: &Guard) -> Option<CutReason> {
    stream.entry().cut().map(|cut| cut.reason)
}

#[tokio::test]
async fn a_change_has_cut_its_streams_when_it_is_acknowledged() {
    let gate = Gate::new(100).await;
    let off = |enabled| TokenUpdate { enabled: Some(enabled), ..TokenUpdate::default() };
    let cases: [(CutReason, Revocation); 3] = [
        (CutReason::Deleted, Write::DeleteToken),
        (CutReason::LoggedOut, Write::LogOut),
        (CutReason::Disabled, |name| {
            Write::UpdateToken(name, TokenUpdate { enabled: Some(false), ..TokenUpdate::default() })
        }),
    ];
    for (expected, write) in cases {
        let (name, bearer) = gate.token(TokenKind::ApiKey, 0).await;
        let (_, other) = gate.token(TokenKind::ApiKey, 0).await;
        let stream = enter(&gate.authenticator, &gate.authenticated(&bearer).await).await;
        let others = enter(&gate.authenticator, &gate.authenticated(&other).await).await;
        gate.store.commit(Write::UpdateToken(name.clone(), off(true)), None).await.unwrap();
        assert_eq!(reason(&stream), None);
        gate.store.commit(write(name), None).await.unwrap();
        assert_eq!((reason(&stream), reason(&others)), (Some(expected), None));
    }
}

#[tokio::test]
async fn a_stream_that_is_entered_after_its_token_changed_is_cut_at_once() {
    let gate = Gate::new(100).await;
    let (name, bearer) = gate.token(TokenKind::ApiKey, 0).await;
    let by = gate.authenticated(&bearer).await;
    let groups = |groups: &[&str]| UserUpdate {
        groups: Some(groups.iter().map(|group| (*group).try_into().unwrap()).collect()),
        ..UserUpdate::default()
    };
    let update = |update| Write::UpdateUser(gate.alice.clone(), Box::new(update));
    gate.store.commit(update(groups(&["more"])), None).await.unwrap();
    assert_eq!(reason(&enter(&gate.authenticator, &by).await), None, "who gains a group loses nothing");
    let by = gate.authenticated(&bearer).await;
    gate.store.commit(update(groups(&[])), None).await.unwrap();
    assert_eq!(reason(&enter(&gate.authenticator, &by).await), Some(CutReason::GroupsLost));
    gate.store.commit(Write::DeleteToken(name), None).await.unwrap();
    assert_eq!(reason(&enter(&gate.authenticator, &by).await), Some(CutReason::Deleted));
}

#[tokio::test]
async fn a_life_that_is_made_shorter_is_the_streams_as_well() {
    let gate = Gate::new(100).await;
    let (name, bearer) = gate.token(TokenKind::ApiKey, 0).await;
    let stream = enter(&gate.authenticator, &gate.authenticated(&bearer).await).await;
    let streams = gate.authenticator.streams();
    assert_eq!(streams.next_due(), None);
    let shorter = TokenUpdate { ttl: Some(Ttl(10 * MINUTE)), ..TokenUpdate::default() };
    gate.store.commit(Write::UpdateToken(name, shorter), None).await.unwrap();
    let due = streams.next_due().unwrap();
    assert_eq!(due, gate.authenticated(&bearer).await.token().record.ends_at().unwrap());
    streams.expire(UnixMillis(due.0 - 1));
    assert_eq!(reason(&stream), None);
    streams.expire(due);
    assert_eq!(reason(&stream), Some(CutReason::Expired));
}

#[tokio::test]
async fn a_session_that_is_left_alone_ends_with_its_streams() {
    let gate = Gate::new(100).await;
    let keeper = tokio::spawn(Arc::clone(&gate.authenticator).keep_streams());
    let (name, bearer) = gate.token(TokenKind::Session, 30).await;
    gate.settings.replace(idle_after(31));
    // As it was before this use, which makes it young again.
    let by = gate.authenticated(&bearer).await;
    by.token().forget_use();
    let mut stream = enter(&gate.authenticator, &by).await;
    assert_eq!(reason(&stream), None);
    gate.settings.replace(idle_after(29));
    let cut = tokio::time::timeout(Duration::from_secs(5), stream.cut()).await.unwrap();
    assert_eq!(stream.explain(cut), format!("the session of token {name} was unused for too long"));
    keeper.abort();
}
