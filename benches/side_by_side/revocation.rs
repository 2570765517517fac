//! From the answer to a token's deletion to the last good it does: a token with 50 open watches and four clients that ask
//! without a pause is deleted, again and again, while the gate has nothing else to do and while wrk loads it with
//! another token as much as it can.
//!
//! It fails when a request that was begun after the answer is served, or a watch goes on for more than two seconds. Clients,
//! origin and wrk share a core, so what is late may be late at the client: the figures are at most too large. Of other
//! replicas it says nothing.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};

use crate::client::{Client, Connection};
use crate::figures::{Measure, Table};
use crate::load::{Load, Protocol};
use crate::origin::KILOBYTE;
use crate::own_origin;
use crate::peers::Proxy;
use crate::process::{self, Place};
use crate::product::Product;
use crate::scenario::{Pace, Scenario};

const WATCHES: usize = 50;
const CLIENTS: usize = 4;
pub(crate) const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=true";
/// For the end of a stream.
const PATIENCE: Duration = Duration::from_secs(2);

/// One token, and who uses it.
struct Victim {
    client: Client,
    authorization: String,
    /// Everybody who uses it has been served once when this is zero.
    not_served: Cell<usize>,
    all_served: Notify,
    deleted: Cell<Option<Instant>>,
    told: Notify,
    /// The last success that there was, and the last end of a watch.
    last_success: Cell<Option<Instant>>,
    last_end: Cell<Option<Instant>>,
}

pub(crate) fn all() -> Vec<Scenario> {
    vec![Scenario::new("a token is deleted".to_owned(), run)]
}

fn run(name: &str, place: &Place, pace: Pace) -> Table {
    process::move_to_others();
    let origin = own_origin::start(place, Duration::ZERO);
    let proxy = Product::start(place, origin.http2).into_proxy();
    let measures = vec![
        Measure::told("last success after the answer, ms", 2),
        Measure::told("end of the last of 50 watches after it, ms", 2),
        Measure::told("the deletion itself, ms", 2),
    ];
    let mut table = Table::new(name, measures, &["at rest", "under load"]);
    let times = if pace.is_trial { 3 } else { 20 };
    let (at_rest, under_load) = table.rows.split_at_mut(1);
    for _ in 0..times {
        at_rest[0].add(&revoke(place, &proxy));
    }
    while_loaded(place, &proxy, || {
        for _ in 0..times {
            under_load[0].add(&revoke(place, &proxy));
        }
    });
    table
}

/// Does `work` while wrk asks as fast as it can.
fn while_loaded(place: &Place, proxy: &Proxy, work: impl FnOnce()) {
    let load = Load { protocol: Protocol::Http1, connections: 64, streams: 1, path: KILOBYTE, status: 200 };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                load.run(place, proxy, Duration::from_secs(2));
            }
        });
        // A failure must not leave the load running for ever.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_over.store(true, Ordering::Relaxed);
        loading.join().unwrap();
        worked.unwrap();
    });
}

fn revoke(place: &Place, proxy: &Proxy) -> [f64; 3] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, make_and_delete(place, proxy))
}

/// In milliseconds, in the order of the measures.
async fn make_and_delete(place: &Place, proxy: &Proxy) -> [f64; 3] {
    let client = Client::new(proxy.address, &place.ca_pem);
    let mut owner = client.connect().await.unwrap();
    let (name, authorization) = create(&client, &mut owner, &proxy.authorization).await;
    let victim = Rc::new(Victim {
        client: client.clone(),
        authorization,
        not_served: Cell::new(WATCHES + CLIENTS),
        all_served: Notify::new(),
        deleted: Cell::default(),
        told: Notify::new(),
        last_success: Cell::default(),
        last_end: Cell::default(),
    });
    let mut users = JoinSet::new();
    for _ in 0..WATCHES {
        users.spawn_local(Rc::clone(&victim).watch());
    }
    for _ in 0..CLIENTS {
        users.spawn_local(Rc::clone(&victim).ask());
    }
    victim.all_served.notified().await;
    let delete = client.request("DELETE", &format!("/v3/tokens/{name}"), &proxy.authorization, "");
    let begun = Instant::now();
    let answer = owner.ask(&delete).await.unwrap();
    let deleted = Instant::now();
    assert_eq!(answer.status, 204);
    victim.deleted.set(Some(deleted));
    victim.told.notify_waiters();
    users.join_all().await;
    let after = |when: &Cell<Option<Instant>>| {
        let when = when.get().unwrap_or(deleted);
        when.saturating_duration_since(deleted).as_secs_f64() * 1e3
    };
    [after(&victim.last_success), after(&victim.last_end), (deleted - begun).as_secs_f64() * 1e3]
}

/// A token's name, and what its holder presents.
async fn create(client: &Client, owner: &mut Connection, authorization: &str) -> (String, String) {
    let request = client.request("POST", "/v3/tokens", authorization, r#"{"description":"to be deleted"}"#);
    let answer = owner.ask(&request).await.unwrap();
    let body = owner.body(&answer);
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(body));
    let body: Value = serde_json::from_slice(body).unwrap();
    let text = |field: &str| body[field].as_str().unwrap();
    (text("id").to_owned(), format!("Bearer {}", text("token")))
}

impl Victim {
    async fn watch(self: Rc<Self>) {
        let mut connection = self.client.connect().await.unwrap();
        let request = self.client.request("GET", WATCH, &self.authorization, "");
        assert_eq!(connection.begin(&request).await.unwrap().status, 200);
        self.is_served();
        let mut ended = pin!(async {
            while connection.read().await.is_ok() && !ends(&mut connection) {}
            Instant::now()
        });
        let when = tokio::select! {
            when = &mut ended => when,
            () = self.told() => tokio::time::timeout(PATIENCE, ended).await.expect("a watch to end"),
        };
        self.last_end.set(self.last_end.get().max(Some(when)));
    }

    /// Asks without a pause until it is refused, and once more when the deletion is acknowledged.
    async fn ask(self: Rc<Self>) {
        let mut connection = self.client.connect().await.unwrap();
        let request = self.client.request("GET", KILOBYTE, &self.authorization, "");
        let mut is_first = true;
        loop {
            let was_deleted = self.deleted.get().is_some();
            let answer = connection.ask(&request).await.unwrap();
            match answer.status {
                200 => assert!(!was_deleted, "a deleted token was good for a request"),
                401 if was_deleted => return,
                401 => self.told().await,
                _ => panic!("{answer:?}"),
            }
            if answer.status == 200 {
                self.last_success.set(Some(Instant::now()));
            }
            if std::mem::take(&mut is_first) {
                self.is_served();
            }
            if answer.is_last {
                connection = self.client.connect().await.unwrap();
            }
        }
    }

    fn is_served(&self) {
        self.not_served.update(|left| left - 1);
        if self.not_served.get() == 0 {
            self.all_served.notify_one();
        }
    }

    /// Waits for the answer to the deletion.
    async fn told(&self) {
        if self.deleted.get().is_none() {
            self.told.notified().await;
        }
    }
}

/// Whether a watch has had its last piece.
fn ends(connection: &mut Connection) -> bool {
    let received = connection.received();
    let ends = received.ends_with(b"0\r\n\r\n");
    received.clear();
    ends
}
