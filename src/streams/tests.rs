//! The registry by itself: who hears of which cut, and when.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};

use super::{Cut, CutReason, End, Guard, Life, NewStream, Owner, PATIENCE, Registry, StreamKind};
use crate::clock::UnixMillis;
use crate::telemetry::Telemetry;

/// How often it was woken.
struct Flag(AtomicU32);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct House {
    registry: Registry,
    telemetry: Arc<Telemetry>,
}

impl House {
    fn new() -> Self {
        let telemetry = Telemetry::without_access_log();
        Self { registry: Registry::new(Arc::clone(&telemetry)), telemetry }
    }

    fn open(&self, owner: &Owner, kind: StreamKind, expires_at: Option<u64>) -> Guard {
        self.registry.register(NewStream {
            owner: owner.clone(),
            kind,
            cluster: Arc::from("local"),
            client: Ipv4Addr::LOCALHOST.into(),
            groups: Arc::new([HeaderValue::from_static("dev")]),
            expires_at: expires_at.map(UnixMillis),
        })
    }

    fn watch(&self, owner: &Owner) -> Guard {
        self.open(owner, StreamKind::Watch, None)
    }

    fn has_line(&self, line: &str) -> bool {
        self.telemetry.exposition().lines().any(|found| found == line)
    }
}

fn owner(token: &str, user: &str) -> Owner {
    Owner::Token { token: token.try_into().unwrap(), user: user.try_into().unwrap() }
}

fn service_account(key: u8) -> Owner {
    Owner::ServiceAccount { cluster: Arc::from("local"), reviewed: [key; 32] }
}

fn flag() -> Arc<Flag> {
    Arc::new(Flag(AtomicU32::new(0)))
}

/// The reason of the cut, if the stream was told of one.
fn polled(guard: &mut Guard, flag: &Arc<Flag>) -> Option<CutReason> {
    match guard.poll_cut(&Context::from_waker(&Waker::from(Arc::clone(flag)))) {
        Poll::Ready(cut) => Some(cut.reason),
        Poll::Pending => None,
    }
}

fn reason(guard: &mut Guard) -> Option<CutReason> {
    polled(guard, &flag())
}

#[test]
fn a_cut_reaches_those_it_is_for_and_the_first_one_counts() {
    let house = House::new();
    let (first, second) = (owner("token-a", "user-a"), owner("token-b", "user-a"));
    let mut guards = [house.watch(&first), house.watch(&first), house.watch(&second)];
    let deleted = Cut::now(CutReason::Deleted);
    let cut = house.registry.cut_owner(&first, |_| true, deleted);
    assert_eq!(cut, 2);
    assert_eq!(house.registry.cut(|entry| entry.owner().user() == first.user(), CutReason::UserDisabled), 1);
    let reasons: Vec<_> = guards.iter_mut().map(reason).collect();
    let deleted = Some(CutReason::Deleted);
    assert_eq!(reasons, [deleted, deleted, Some(CutReason::UserDisabled)]);
    assert!(house.has_line("portcullis_stream_cuts_total{reason=\"deleted\",kind=\"watch\"} 2"));
    assert!(house.has_line("portcullis_stream_cuts_total{reason=\"user_disabled\",kind=\"watch\"} 1"));
}

#[test]
fn a_cut_wakes_the_last_task_that_asked() {
    let house = House::new();
    let mut guard = house.watch(&service_account(1));
    let (before, now) = (flag(), flag());
    assert_eq!((polled(&mut guard, &before), polled(&mut guard, &now)), (None, None));
    house.registry.cut(|entry| entry.kind() == StreamKind::Watch, CutReason::Draining);
    assert_eq!((before.0.load(Ordering::Relaxed), now.0.load(Ordering::Relaxed)), (0, 1));
    assert_eq!(polled(&mut guard, &now), Some(CutReason::Draining));
}

#[test]
fn a_stream_that_has_ended_is_in_no_list() {
    let house = House::new();
    let alice = owner("token-a", "user-a");
    let token = alice.token().unwrap();
    let (watch, log) = (house.watch(&alice), house.open(&alice, StreamKind::Log, Some(1000)));
    let kinds: Vec<_> = house.registry.of_token(token).iter().map(|open| open.kind).collect();
    assert_eq!(kinds, [StreamKind::Watch, StreamKind::Log]);
    assert_eq!(house.registry.count(), [(StreamKind::Watch, 1), (StreamKind::Log, 1)]);
    assert!(house.has_line("portcullis_open_streams{kind=\"log\"} 1"));
    drop(watch);
    log.finished();
    assert!(house.registry.owner_of_token(token).is_none() && house.registry.count().is_empty());
    assert_eq!(house.registry.next_due(), None);
    assert!(house.has_line("portcullis_open_streams{kind=\"log\"} 0"));
    assert!(
        house.has_line("portcullis_stream_cut_duration_seconds_count{kind=\"log\"} 0"),
        "it ended by itself"
    );
}

#[test]
fn a_known_end_cuts_at_its_time_and_can_be_moved() {
    let house = House::new();
    let alice = owner("token-a", "user-a");
    let mut guard = house.open(&alice, StreamKind::Watch, Some(5000));
    let end = |at, reason| Life { ends: Some(End { at: UnixMillis(at), reason }), look_again: None };
    house.registry.set_life(&alice, end(3000, CutReason::Rotated));
    assert_eq!(house.registry.next_due(), Some(UnixMillis(3000)));
    assert!(house.registry.expire(UnixMillis(2999)).is_empty());
    assert_eq!(reason(&mut guard), None);
    assert!(house.registry.expire(UnixMillis(3000)).is_empty());
    assert_eq!(reason(&mut guard), Some(CutReason::Rotated));
    let mut renewed = house.open(&owner("token-b", "user-a"), StreamKind::Watch, Some(4000));
    house.registry.set_life(renewed.entry().owner(), end(9000, CutReason::Expired));
    house.registry.expire(UnixMillis(8999));
    assert_eq!(reason(&mut renewed), None, "its lease was renewed");
    house.registry.expire(UnixMillis(u64::MAX));
    assert_eq!(reason(&mut renewed), Some(CutReason::Expired));
}

#[test]
fn who_is_to_be_looked_at_again_is_named_and_keeps_the_known_end() {
    let house = House::new();
    let alice = owner("token-a", "user-a");
    let mut guard = house.open(&alice, StreamKind::Watch, Some(5000));
    let life = Life {
        ends: Some(End { at: UnixMillis(5000), reason: CutReason::Expired }),
        look_again: Some(UnixMillis(1000)),
    };
    house.registry.set_life(&alice, life);
    assert_eq!(house.registry.expire(UnixMillis(1000)), vec![alice.clone()]);
    assert_eq!((house.registry.next_due(), reason(&mut guard)), (Some(UnixMillis(5000)), None));
    assert!(house.registry.expire(UnixMillis(5000)).is_empty());
    assert_eq!(reason(&mut guard), Some(CutReason::Expired));
}

#[test]
fn streams_of_an_owner_that_cannot_be_looked_up_go_on_for_a_while() {
    let house = House::new();
    let alice = owner("token-a", "user-a");
    let mut guard = house.watch(&alice);
    for second in 0..30 {
        house.registry.postpone(&alice, UnixMillis(second * 1000));
        assert_eq!(reason(&mut guard), None, "{second}");
        assert_eq!(house.registry.expire(UnixMillis((second + 1) * 1000)), vec![alice.clone()]);
    }
    house.registry.postpone(&alice, UnixMillis(30_000));
    assert_eq!(reason(&mut guard), Some(CutReason::Unverified));

    let mut lucky = house.watch(&owner("token-b", "user-b"));
    let lucky_owner = lucky.entry().owner().clone();
    house.registry.postpone(&lucky_owner, UnixMillis(0));
    house.registry.set_life(&lucky_owner, Life::default());
    house.registry.postpone(&lucky_owner, UnixMillis(60_000));
    assert_eq!(reason(&mut lucky), None, "it was found good in between");
}

#[test]
fn what_does_not_end_after_a_cut_is_abandoned_and_what_does_is_not() {
    let house = House::new();
    let abandoned = Arc::new(AtomicU32::new(0));
    let open = |number| {
        let mut guard = house.watch(&owner("token-a", "user-a"));
        let abandoned = Arc::clone(&abandoned);
        guard.on_abandonment(move || {
            abandoned.fetch_add(number, Ordering::Relaxed);
        });
        guard
    };
    let (stuck, ended) = (open(1), open(10));
    house.registry.cut(|_| true, CutReason::Deleted);
    drop(ended);
    let now = Instant::now();
    assert_eq!(house.registry.abandon_stuck(now), 0, "too early");
    assert_eq!(house.registry.abandon_stuck(now + PATIENCE + Duration::from_millis(1)), 1);
    assert_eq!(abandoned.load(Ordering::Relaxed), 1);
    assert!(house.has_line("portcullis_stream_cut_duration_seconds_count{kind=\"watch\"} 2"));
    drop(stuck);
    assert!(house.has_line("portcullis_stream_cut_duration_seconds_count{kind=\"watch\"} 2"), "counted once");
}

#[test]
fn ten_thousand_streams_of_one_token_have_one_place_in_the_order_of_ends() {
    let house = House::new();
    let alice = owner("token-a", "user-a");
    let mut guards: Vec<_> = (0..10_000).map(|_| house.open(&alice, StreamKind::Watch, Some(1000))).collect();
    assert_eq!(house.registry.table().due_len(), 1);
    house.registry.expire(UnixMillis(1000));
    assert!(guards.iter_mut().all(|guard| reason(guard) == Some(CutReason::Expired)));
}

#[test]
fn the_client_is_told_whose_fault_it_is() {
    let house = House::new();
    let guard = house.watch(&owner("token-a", "user-a"));
    let told = |reason| {
        let cut = Cut::now(reason);
        (cut.status(), guard.explain(cut))
    };
    assert_eq!(
        told(CutReason::Deleted),
        (Some(StatusCode::UNAUTHORIZED), "token token-a was deleted".to_owned())
    );
    assert_eq!(told(CutReason::AccessLost).0, Some(StatusCode::FORBIDDEN));
    assert_eq!(told(CutReason::Draining).0, None, "who did nothing wrong may come again at once");
}
