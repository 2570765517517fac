//! A model of how a load from the store, a revocation and a stream that is being opened meet, run in thousands of
//! interleavings. The registry is the real one; the cache is as in `records.rs`, with the lock that moka has for a key;
//! each step is named after the code that it stands for. What the rules are good for is shown by leaving one out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use shuttle::sync::{Arc as Shared, Mutex};
use shuttle::thread;

use crate::streams::{Cut, CutReason, Guard, NewStream, Owner, Registry, StreamKind};
use crate::telemetry::Telemetry;

const INTERLEAVINGS: usize = 5_000;

/// Which rules hold.
#[derive(Clone, Copy)]
struct Rules {
    /// A load and a change of one key wait for each other (`and_compute_with`).
    loads_wait_for_changes: bool,
    /// The token of a stream is looked up once more after it was entered (`Records::check_entered`).
    checks_what_was_entered: bool,
    /// The cache forgets a token before its streams are looked for (`Records::apply`).
    forgets_before_judging: bool,
}

const OURS: Rules =
    Rules { loads_wait_for_changes: true, checks_what_was_entered: true, forgets_before_judging: true };

/// One token, which exists until it is deleted.
struct Gate {
    stored: Mutex<bool>,
    cached: Mutex<bool>,
    /// The key's lock in the cache.
    key: Mutex<()>,
    /// The real registry has a lock that the model does not see: this one stands where it does.
    table: Mutex<()>,
    streams: Registry,
    rules: Rules,
}

impl Gate {
    fn new(telemetry: &Arc<Telemetry>, rules: Rules) -> Shared<Self> {
        let streams = Registry::new(Arc::clone(telemetry));
        let (stored, cached) = (Mutex::new(true), Mutex::new(false));
        let (key, table) = (Mutex::new(()), Mutex::new(()));
        Shared::new(Self { stored, cached, key, table, streams, rules })
    }

    /// `Records::token`: whether there is such a token.
    fn token(&self) -> bool {
        if *self.cached.lock().unwrap() {
            return true;
        }
        let _key = self.rules.loads_wait_for_changes.then(|| self.key.lock().unwrap());
        if *self.cached.lock().unwrap() {
            return true;
        }
        let found = *self.stored.lock().unwrap();
        if found {
            *self.cached.lock().unwrap() = true;
        }
        found
    }

    /// `Store::commit` of a deletion, up to its acknowledgement.
    fn delete(&self) {
        *self.stored.lock().unwrap() = false;
        if self.rules.forgets_before_judging {
            self.forget();
            self.judge();
        } else {
            self.judge();
            self.forget();
        }
    }

    fn forget(&self) {
        let _key = self.rules.loads_wait_for_changes.then(|| self.key.lock().unwrap());
        *self.cached.lock().unwrap() = false;
    }

    /// `Records::judge_token`.
    fn judge(&self) {
        let owner = owner();
        if self.table(|streams| streams.owner_of_token(owner.token().unwrap())).is_some() && !self.token() {
            self.table(|streams| streams.cut_owner(&owner, |_| true, Cut::now(CutReason::Deleted)));
        }
    }

    fn table<T>(&self, step: impl FnOnce(&Registry) -> T) -> T {
        let _table = self.table.lock().unwrap();
        step(&self.streams)
    }

    /// The walk of a request for a stream: the stream, if it was opened.
    fn open(&self) -> Option<Guard> {
        if !self.token() {
            return None;
        }
        let stream = NewStream {
            owner: owner(),
            kind: StreamKind::Watch,
            cluster: Arc::from("local"),
            client: [127, 0, 0, 1].into(),
            groups: Arc::new([]),
            expires_at: None,
        };
        let guard = self.table(|streams| streams.register(stream));
        if self.rules.checks_what_was_entered && !self.token() {
            return None;
        }
        Some(guard)
    }
}

fn owner() -> Owner {
    Owner::Token { token: "token-a".try_into().unwrap(), user: "user-a".try_into().unwrap() }
}

/// One deletion beside a stream that is being opened and another request.
fn meet(telemetry: &Arc<Telemetry>, rules: Rules) {
    let gate = Gate::new(telemetry, rules);
    let opening = thread::spawn({
        let gate = Shared::clone(&gate);
        move || gate.open()
    });
    let other = thread::spawn({
        let gate = Shared::clone(&gate);
        move || gate.token()
    });
    gate.delete();
    // From the acknowledgement on nobody gets in.
    assert!(!gate.token(), "a token is good after its deletion was acknowledged");
    let stream = opening.join().unwrap();
    other.join().unwrap();
    assert!(!gate.token(), "a deleted token came back into the cache");
    if let Some(stream) = stream {
        assert!(stream.entry().cut().is_some(), "a stream outlives its token");
    }
}

/// Whether nothing goes wrong, in however many interleavings.
fn holds(rules: Rules) -> bool {
    let telemetry = Telemetry::without_access_log();
    let run = AssertUnwindSafe(|| {
        let (random, priorities) = (Arc::clone(&telemetry), Arc::clone(&telemetry));
        shuttle::check_random(move || meet(&random, rules), INTERLEAVINGS);
        shuttle::check_pct(move || meet(&priorities, rules), INTERLEAVINGS, 3);
    });
    std::panic::catch_unwind(run).is_ok()
}

#[test]
fn no_stream_outlives_its_token_however_things_meet() {
    assert!(holds(OURS));
}

#[test]
fn without_the_second_check_a_stream_outlives_its_token() {
    assert!(!holds(Rules { checks_what_was_entered: false, ..OURS }));
}

#[test]
fn without_loads_that_wait_for_changes_a_token_outlives_its_deletion() {
    assert!(!holds(Rules { loads_wait_for_changes: false, ..OURS }));
}

#[test]
fn with_the_streams_judged_first_a_stream_outlives_its_token() {
    assert!(!holds(Rules { forgets_before_judging: false, ..OURS }));
}
