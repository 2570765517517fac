//! `kubectl --as` through the gate to a stub: exactly who arrives, exactly what is asked of the cluster before, and that
//! nobody arrives in every other case. What a real apiserver makes of it is in `real_impersonation.rs`.

mod questions;
mod refusals;

use serde_json::{Value, json};

use crate::support::expect;
use crate::support::live::Streams;
use crate::support::message::Lines;
use crate::support::rig::{Account, Rig};
use crate::support::stub::{Answer, OWN_CREDENTIAL, Reply, Seen};
use crate::support::wire::{Response, response_of};
use crate::support::within;

const TARGET: &str = "/api/v1/namespaces/default/pods";
const SETTING: &str = "/v3/settings/client-impersonation";
const TOKEN_EXTRA: &str = "impersonate-extra-portcullis.dev%2ftoken-name";
const USER_EXTRA: &str = "impersonate-extra-portcullis.dev%2foriginal-user";

/// A gate that lets clients impersonate, and one of its users.
struct Office {
    rig: Rig,
    alice: Account,
}

impl Office {
    /// Before a stub whose authorizer lets everybody do everything.
    async fn open() -> Self {
        Self::before(&["h2", "http/1.1"]).await
    }

    async fn before(alpn: &[&str]) -> Self {
        let rig = Rig::with(alpn, &crate::support::gate::Settings::default()).await;
        switch(&rig, true).await;
        let alice = rig.account("alice", &["dev", "ops"]).await;
        let office = Self { rig, alice };
        office.rule(|_| true);
        office
    }

    /// From now on the stub's authorizer decides by this about the attributes of a question.
    fn rule(&self, rule: impl Fn(&Value) -> bool + Clone + Send + Sync + 'static) {
        self.rig.stub.answer_questions_with(move |_| {
            let rule = rule.clone();
            Answer::considered(move |seen| review(rule(&question(seen)["resourceAttributes"])))
        });
    }

    /// One request of alice over HTTP/1.1 with these lines besides her token.
    async fn http1(&self, lines: &[(&str, &str)]) -> Response {
        let authorization = self.alice.authorization();
        let lines: Vec<_> =
            [("Authorization", authorization.as_str())].into_iter().chain(lines.iter().copied()).collect();
        self.rig.http1().await.request("GET", TARGET, &lines, b"").await
    }

    /// The same over HTTP/2.
    async fn http2(&self, lines: &[(&str, &str)]) -> Response {
        let authorization = self.alice.authorization();
        let lines: Vec<_> =
            [("authorization", authorization.as_str())].into_iter().chain(lines.iter().copied()).collect();
        self.rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap()
    }

    /// The questions about others so far: what is asked in each, and about whom.
    fn asked(&self) -> Vec<Value> {
        let own = self.rig.stub.own_requests();
        let about_others = own.iter().filter(|seen| seen.target.ends_with("/subjectaccessreviews"));
        about_others.map(|seen| question(seen)).collect()
    }

    /// The rights that were asked for so far, each in short, sorted.
    fn rights(&self) -> Vec<String> {
        let mut rights: Vec<_> = self.asked().iter().map(|spec| short(&spec["resourceAttributes"])).collect();
        rights.sort();
        rights
    }
}

async fn switch(rig: &Rig, on: bool) {
    let set = rig.api("PUT", SETTING, rig.admin(), &json!({ "value": on.to_string() })).await;
    assert_eq!(set.status, 200, "{}", set.text());
}

/// An authorizer's answer.
fn review(allowed: bool) -> Reply {
    let answer = json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": {},
        "status": { "allowed": allowed },
    });
    Reply::json(201, &answer.to_string())
}

/// What a review asks.
fn question(seen: &Seen) -> Value {
    serde_json::from_slice::<Value>(&seen.body().unwrap()).unwrap()["spec"].clone()
}

/// The attributes of a question in the order in which one reads them.
fn short(attributes: &Value) -> String {
    let parts = ["verb", "group", "resource", "subresource", "namespace", "name"];
    parts.iter().filter_map(|part| attributes[part].as_str()).collect::<Vec<_>>().join(" ")
}

/// The identity headers that arrived, sorted.
fn identity(seen: &Seen) -> Lines {
    let lower = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
    let mut lines: Lines = seen.lines.iter().map(lower).collect();
    lines.retain(|(name, _)| {
        name.starts_with("impersonate-")
            || name.starts_with("x-remote-")
            || name == "authorization"
            || name == "cookie"
    });
    lines.sort();
    lines
}

/// Asserts that the request has exactly these identity headers besides our credential and who really asks.
fn arrived_as(seen: &Seen, asker: &Account, expected: &[(&str, &str)]) {
    let mut lines: Lines =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    lines.push(("authorization".to_owned(), format!("Bearer {OWN_CREDENTIAL}")));
    lines.push((TOKEN_EXTRA.to_owned(), asker.token_name.clone()));
    lines.push((USER_EXTRA.to_owned(), asker.username.clone()));
    lines.sort();
    assert_eq!(identity(seen), lines);
}

#[tokio::test]
async fn exactly_the_wanted_identity_arrives_over_http2() {
    exact_identity(&["h2", "http/1.1"]).await;
}

#[tokio::test]
async fn exactly_the_wanted_identity_arrives_over_http1() {
    exact_identity(&["http/1.1"]).await;
}

async fn exact_identity(alpn: &[&str]) {
    let office = Office::before(alpn).await;
    let wanted = [
        ("impersonate-user", "bob@example.com"),
        ("impersonate-group", "a,b"),
        ("impersonate-group", "a b"),
        ("impersonate-group", "ä"),
        ("impersonate-uid", "42"),
        ("impersonate-extra-example.com%2fa%2fb", "one"),
        ("impersonate-extra-example.com%2fa%2fb", "two"),
        ("impersonate-extra-scopes", "x y"),
        ("impersonate-extra-100%25", "z"),
        // Not encoded right: the key is what stands there, and is encoded right when it is passed on.
        ("impersonate-extra-almost%zzpercent", "z"),
    ];
    let mut arrives = wanted.to_vec();
    arrives.pop();
    arrives.push(("impersonate-extra-almost%25zzpercent", "z"));
    arrives.push(("impersonate-group", "system:authenticated"));
    let spellings: [fn(&str) -> String; 3] = [str::to_owned, str::to_uppercase, capitalised];
    for spelling in spellings {
        let named: Vec<_> = wanted.iter().map(|(name, value)| (spelling(name), *value)).collect();
        let lines: Vec<_> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        office.rig.stub.forget();
        assert_eq!(office.http1(&lines).await.status, 200);
        arrived_as(&office.rig.stub.only(), &office.alice, &arrives);
    }
    office.rig.stub.forget();
    assert_eq!(office.http2(&wanted).await.status, 200);
    arrived_as(&office.rig.stub.only(), &office.alice, &arrives);
    let without: Vec<_> = office.rig.stub.only().lines.iter().map(|(name, _)| name.to_lowercase()).collect();
    assert!(without.contains(&"x-forwarded-for".to_owned()));
}

#[tokio::test]
async fn groups_are_added_as_the_apiserver_adds_them() {
    let office = Office::open().await;
    for (user, asked, added) in [
        ("bob", &[][..], &["system:authenticated"][..]),
        ("bob", &["system:authenticated"], &[]),
        ("bob", &["system:unauthenticated"], &[]),
        ("system:anonymous", &[], &["system:unauthenticated"]),
        (
            "system:serviceaccount:web:default",
            &[],
            &["system:serviceaccounts", "system:serviceaccounts:web", "system:authenticated"],
        ),
        ("system:serviceaccount:web:default", &["dev"], &["system:authenticated"]),
    ] {
        let mut lines = vec![("impersonate-user", user)];
        lines.extend(asked.iter().map(|group| ("impersonate-group", *group)));
        office.rig.stub.forget();
        assert_eq!(office.http2(&lines).await.status, 200);
        lines.extend(added.iter().map(|group| ("impersonate-group", *group)));
        arrived_as(&office.rig.stub.only(), &office.alice, &lines);
    }
}

#[tokio::test]
async fn a_watch_and_an_upgrade_run_as_the_impersonated_user() {
    let office = Office::open().await;
    let authorization = office.alice.authorization();
    let lines = [("authorization", authorization.as_str()), ("impersonate-user", "bob")];
    let expected = [("impersonate-user", "bob"), ("impersonate-group", "system:authenticated")];
    let watch = format!("{TARGET}?watch=true");
    assert_eq!(office.rig.http2().await.request("GET", &watch, &lines, b"").await.unwrap().status, 200);
    arrived_as(&office.rig.stub.only(), &office.alice, &expected);

    office.rig.stub.forget();
    office.rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection
                .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
                .await;
        })
    });
    let upgrade: Vec<_> =
        lines.into_iter().chain([("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]).collect();
    let target = format!("{TARGET}/p/exec?command=sh");
    assert_eq!(office.rig.http1().await.request("GET", &target, &upgrade, b"").await.status, 101);
    arrived_as(&office.rig.stub.only(), &office.alice, &expected);
}

#[tokio::test]
async fn a_watch_as_somebody_else_ends_with_the_token_that_opened_it() {
    let office = Office::open().await;
    let _upstream = Streams::of(&office.rig.stub, |_| "application/json");
    let authorization = office.alice.authorization();
    let lines = [("authorization", authorization.as_str()), ("impersonate-user", "bob")];
    let client = office.rig.http2().await;
    let watch = client.start("GET", &format!("{TARGET}?watch=true"), &lines, true).await.unwrap();
    let ended = tokio::spawn(response_of(watch.0));
    let seen = office.rig.stub.request(1).await;
    arrived_as(
        &seen,
        &office.alice,
        &[("impersonate-user", "bob"), ("impersonate-group", "system:authenticated")],
    );
    let token = format!("/v3/tokens/{}", office.alice.token_name);
    let deleted = office.rig.api("DELETE", &token, office.rig.admin(), &Value::Null).await;
    assert!(matches!(deleted.status, 200..=204), "{}", deleted.text());
    let ended = within("the end of the watch", ended).await.unwrap().unwrap();
    assert!(ended.broken.is_none() && ended.text().contains("was deleted"), "{ended:?}");
}

#[tokio::test]
async fn a_request_of_the_same_connection_without_the_headers_is_the_callers_own() {
    let office = Office::open().await;
    let authorization = office.alice.authorization();
    let own = [("authorization", authorization.as_str())];
    let as_bob = [("authorization", authorization.as_str()), ("impersonate-user", "bob")];
    let client = office.rig.http2().await;
    for lines in [&as_bob[..], &own, &as_bob, &own] {
        assert_eq!(client.request("GET", TARGET, lines, b"").await.unwrap().status, 200);
    }
    let seen = office.rig.stub.seen();
    for own in [&seen[1], &seen[3]] {
        expect::identity_is(own, &office.alice);
    }
}

#[tokio::test]
async fn log_and_metrics_name_both_users_and_what_came_of_it() {
    let office = Office::open().await;
    office.rule(|attributes| attributes["name"] != "eve");
    for (user, code) in [("bob", 200), ("eve", 403), ("system:node:n1", 403)] {
        assert_eq!(office.http2(&[("impersonate-user", user)]).await.status, code);
    }
    let line_of = |user: &str| {
        let log = office.rig.gate.stdout();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["impersonated_user"] == user)
    };
    office.rig.gate.wait_until("logging", async || line_of("system:node:n1").is_some()).await;
    for (user, code, reason) in [
        ("bob", 200, Value::Null),
        ("eve", 403, "impersonation_denied".into()),
        ("system:node:n1", 403, "impersonation_reserved".into()),
    ] {
        let line = line_of(user).unwrap();
        assert_eq!(
            (&line["user"], &line["token"]),
            (&"alice".into(), &office.alice.token_name.as_str().into())
        );
        assert_eq!((&line["code"], &line["reason"]), (&code.into(), &reason), "{line}");
    }
    let metrics = office.rig.gate.admin_request("/metrics").await.1;
    for result in ["allowed", "denied", "reserved"] {
        let line = format!("portcullis_impersonations_total{{result=\"{result}\"}} 1\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

fn capitalised(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}
