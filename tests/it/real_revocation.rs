//! Nothing that begins after a revocation was acknowledged succeeds, however the caches of the gate are hit.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::real_gate::RealGate;
use crate::support::wire::{Endpoint, Http1, Response};
use crate::support::{accounts, report};

/// Uses and deletions of one token each.
const DELETIONS: u32 = 10_000;

/// Rounds from one address, four refusals each at most: a hundred from one place are answered at once, further ones are
/// taken for guesses and held back.
const ROUNDS_OF_AN_ADDRESS: u32 = 20;

/// Times that a user is switched off and on again.
const SWITCHES: u32 = 500;

/// As many as keep both processors busy.
const CLIENTS: u32 = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_token_is_refused_from_the_acknowledgement_on() {
    let gate = RealGate::start().await;
    let account = gate.account("revoked", &[]).await;
    let race = Arc::new(Race::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let endpoint = gate.gate.endpoint.clone();
            let (authorization, race) = (account.authorization(), Arc::clone(&race));
            tokio::spawn(async move {
                let mut client = Client::connect(&endpoint, authorization, race).await;
                for round in 0..DELETIONS / CLIENTS + u32::from(number < DELETIONS % CLIENTS) {
                    if round.is_multiple_of(ROUNDS_OF_AN_ADDRESS) {
                        client.move_to(&endpoint, number, round / ROUNDS_OF_AN_ADDRESS).await;
                    }
                    client.delete_in_use(round).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let [accepted, refused] = [&race.accepted, &race.refused].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(accepted + refused, 2 * DELETIONS);
    // Both happen often, or the rounds did not hit the moment that they are about.
    assert!(accepted.min(refused) > DELETIONS / 50, "{accepted} accepted, {refused} refused");
    let figures = json!({
        "command": "cargo test --test it deleted_token_is_refused_from_the_acknowledgement_on",
        "tokens deleted while in use": DELETIONS,
        "uses in the moment of the deletion": accepted + refused,
        "of these accepted": accepted,
        "uses after its acknowledgement": 2 * DELETIONS,
        "of those accepted": 0,
    });
    report::write("refused-after-revoke", &figures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_user_is_refused_from_the_acknowledgement_on_and_served_again_when_enabled() {
    let gate = Arc::new(RealGate::start().await);
    let users = 10;
    let mut tasks = Vec::new();
    for number in 0..users {
        let account = gate.account(&format!("switched-{number}"), &[]).await;
        let (_, second) = accounts::token(&gate.gate, &account.bearer, 0).await;
        let gate = Arc::clone(&gate);
        tasks.push(tokio::spawn(async move {
            let endpoint = &gate.gate.endpoint;
            let (mut one, mut other) = tokio::join!(Http1::connect(endpoint), Http1::connect(endpoint));
            let bearers = [account.authorization(), format!("Bearer {second}")];
            let target = format!("/v3/users/{}", account.user_id);
            for _ in 0..SWITCHES / users {
                for (enabled, code) in [(false, 401), (true, 200)] {
                    let change = json!({ "enabled": enabled });
                    // Uses in the same moment, so that records are being loaded when the change comes.
                    let (changed, ..) = tokio::join!(
                        gate.api("PUT", &target, &change),
                        version(&mut one, &bearers[0]),
                        version(&mut other, &bearers[1]),
                    );
                    assert_eq!(changed.status, 200, "{}", changed.text());
                    let codes =
                        tokio::join!(version(&mut one, &bearers[1]), version(&mut other, &bearers[0]));
                    assert_eq!(codes, (code, code), "after enabled was set to {enabled}");
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// What became of the uses that raced with a deletion.
#[derive(Default)]
struct Race {
    accepted: AtomicU32,
    refused: AtomicU32,
}

/// HTTP/1.1 connections, which stay open after a refusal; two to use the token on, so that most rounds have two workers
/// of the gate.
struct Client {
    one: Http1,
    other: Http1,
    manager: Http1,
    authorization: String,
    race: Arc<Race>,
}

impl Client {
    async fn connect(endpoint: &Endpoint, authorization: String, race: Arc<Race>) -> Self {
        let connect = || Http1::connect(endpoint);
        let (one, other, manager) = tokio::join!(connect(), connect(), connect());
        Self { one, other, manager, authorization, race }
    }

    /// Goes on from another address, the `turn`-th of client `number`.
    async fn move_to(&mut self, endpoint: &Endpoint, number: u32, turn: u32) {
        let [.., turn] = turn.to_be_bytes();
        let [.., number] = number.to_be_bytes();
        let source = Ipv4Addr::new(127, 1, number, turn + 1);
        let connect = || Http1::connect_from(endpoint, source);
        (self.one, self.other) = tokio::join!(connect(), connect());
    }

    /// One token from its creation to its end. In every other round the uses that race with the deletion are the
    /// token's first ones: its record is being loaded into the cache while it goes.
    async fn delete_in_use(&mut self, round: u32) {
        let Self { one, other, manager, authorization, race } = self;
        let made = api(manager, authorization, "POST", "/v3/tokens", &json!({ "ttl": 0 })).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
        if round.is_multiple_of(2) {
            assert_eq!(version(one, &bearer).await, 200);
        }
        let target = format!("/v3/tokens/{}", made["id"].as_str().unwrap());
        let deletion = async {
            // At another moment of the uses in each round: before, within and after the look-up.
            for _ in 0..round % 64 {
                tokio::task::yield_now().await;
            }
            api(manager, authorization, "DELETE", &target, &Value::Null).await
        };
        let (first, second, deleted) = tokio::join!(version(one, &bearer), version(other, &bearer), deletion);
        assert_eq!(deleted.status, 204, "{}", deleted.text());
        for code in [first, second] {
            race.count(code);
        }
        let uses = tokio::join!(version(one, &bearer), version(other, &bearer));
        assert_eq!(uses, (401, 401), "used after its deletion was acknowledged");
    }
}

impl Race {
    fn count(&self, code: u16) {
        match code {
            200 => self.accepted.fetch_add(1, Ordering::Relaxed),
            401 => self.refused.fetch_add(1, Ordering::Relaxed),
            other => panic!("a use was answered with {other}"),
        };
    }
}

async fn api(client: &mut Http1, authorization: &str, method: &str, target: &str, body: &Value) -> Response {
    let lines = [("Authorization", authorization), ("Content-Type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.request(method, target, &lines, body.as_bytes()).await
}

/// A request that needs no rights and reaches the apiserver: its code.
async fn version(client: &mut Http1, authorization: &str) -> u16 {
    client.request("GET", "/version", &[("Authorization", authorization)], b"").await.status
}
