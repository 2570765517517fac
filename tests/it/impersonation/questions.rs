//! What is asked of the cluster before anybody runs as somebody else, how often, and what happens without an answer.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Office, SETTING, TARGET, review, short, switch};
use crate::support::expect;
use crate::support::stub::{Answer, Cut, Reply};

#[tokio::test]
async fn each_part_is_asked_for_with_all_of_the_caller() {
    let office = Office::open().await;
    let lines = [
        ("impersonate-user", "bob"),
        ("impersonate-group", "a,b"),
        ("impersonate-group", "c"),
        ("impersonate-uid", "42"),
        ("impersonate-extra-example.com%2fa%2fb", "one"),
        ("impersonate-extra-example.com%2fa%2fb", "two"),
    ];
    assert_eq!(office.http1(&lines).await.status, 200);
    assert_eq!(
        office.rights(),
        [
            "impersonate authentication.k8s.io uids 42",
            "impersonate authentication.k8s.io userextras example.com/a/b one",
            "impersonate authentication.k8s.io userextras example.com/a/b two",
            "impersonate groups a,b",
            "impersonate groups c",
            "impersonate users bob",
        ]
    );
    for mut spec in office.asked() {
        spec.as_object_mut().unwrap().remove("resourceAttributes");
        let expected = json!({
            "user": "alice", "uid": office.alice.user_id, "groups": ["dev", "ops", "system:authenticated"],
            "extra": { "portcullis.dev/token-name": [office.alice.token_name] },
        });
        assert_eq!(spec, expected);
    }
}

#[tokio::test]
async fn a_service_account_is_asked_for_as_one() {
    let office = Office::open().await;
    assert_eq!(office.http2(&[("impersonate-user", "system:serviceaccount:web:default")]).await.status, 200);
    assert_eq!(
        office.rights(),
        ["impersonate serviceaccounts web default"],
        "and no group that comes with it"
    );
}

#[tokio::test]
async fn from_four_groups_on_one_question_can_stand_for_all() {
    for (count, any_group) in [(3, true), (4, true), (4, false), (40, false), (400, true)] {
        let office = Office::open().await;
        office.rule(move |attributes| {
            attributes["resource"] != "groups" || any_group || attributes["name"].is_string()
        });
        let names: Vec<_> = (0..count).map(|number| format!("g{number:03}")).collect();
        let mut lines = vec![("impersonate-user", "bob")];
        lines.extend(names.iter().map(|name| ("impersonate-group", name.as_str())));
        assert_eq!(office.http2(&lines).await.status, 200, "{count}");
        let mut expected = vec!["impersonate users bob".to_owned()];
        if count >= 4 {
            expected.push("impersonate groups".to_owned());
        }
        if count < 4 || !any_group {
            expected.extend(names.iter().map(|name| format!("impersonate groups {name}")));
        }
        expected.sort();
        assert_eq!(office.rights(), expected);
        assert_eq!(office.rig.stub.only().values("impersonate-group").len(), count + 1);
    }
}

#[tokio::test]
async fn an_answer_counts_for_the_same_question_alone() {
    let office = Office::open().await;
    office.rule(|attributes| attributes["name"] != "eve");
    for _ in 0..3 {
        assert_eq!(office.http1(&[("impersonate-user", "bob")]).await.status, 200);
        assert_eq!(office.http2(&[("impersonate-user", "eve")]).await.status, 403);
    }
    assert_eq!(office.asked().len(), 2, "leave and denial are kept");

    // Another user, another token of the same user, another set of groups: each is another question.
    let carol = office.rig.account("carol", &["dev", "ops"]).await;
    let (_, other) = office.rig.token(&office.alice.bearer, 0).await;
    let ask = async |bearer: &str| {
        let authorization = format!("Bearer {bearer}");
        let lines = [("authorization", authorization.as_str()), ("impersonate-user", "bob")];
        office.rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap().status
    };
    office.rule(|_| false);
    for bearer in [&carol.bearer, &other] {
        assert_eq!(ask(bearer).await, 403);
    }
    let user = format!("/v3/users/{}", office.alice.user_id);
    let groups = office.rig.api("PUT", &user, office.rig.admin(), &json!({ "groups": ["dev"] })).await;
    assert_eq!(groups.status, 200, "{}", groups.text());
    assert_eq!(ask(&office.alice.bearer).await, 403, "the groups have changed");
    assert_eq!(office.asked().len(), 5);
}

#[tokio::test]
async fn an_answer_counts_for_ten_seconds() {
    let office = Office::open().await;
    let start = Instant::now();
    assert_eq!(office.http2(&[("impersonate-user", "bob")]).await.status, 200);
    office.rule(|_| false);
    // What a client would see is awaited: there is no event of an answer that is forgotten.
    let refused = async || office.http2(&[("impersonate-user", "bob")]).await.status == 403;
    office.rig.gate.wait_until("asking again", refused).await;
    let lasted = start.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(13)).contains(&lasted), "{lasted:?}");
}

#[tokio::test]
async fn without_an_answer_nobody_is_let_and_nothing_is_kept() {
    let office = Office::open().await;
    let failures: [fn() -> Reply; 7] = [
        || Reply::json(401, "{}"),
        || Reply::json(403, "{}"),
        || Reply::json(429, "{}"),
        || Reply::json(500, "{}"),
        || Reply::json(201, "{"),
        || Reply::json(201, "{}"),
        || review(true).cut(Cut::Connection(10)),
    ];
    for (number, failure) in failures.into_iter().enumerate() {
        let user = format!("bob-{number}");
        let lines = [("impersonate-user", user.as_str())];
        office.rig.stub.answer_questions_with(move |_| failure().into());
        let response = office.http2(&lines).await;
        expect::status(&response, 503, "ServiceUnavailable");
        assert_eq!(response.header("retry-after"), Some("1"));
        assert!(office.rig.stub.seen().is_empty(), "{:?}", office.rig.stub.seen());
        office.rule(|_| true);
        assert_eq!(office.http2(&lines).await.status, 200, "{number}");
        office.rig.stub.forget();
    }
}

#[tokio::test]
async fn all_questions_together_have_five_seconds() {
    let office = Office::open().await;
    office.rig.stub.answer_questions_with(|_| Answer::Silence);
    let start = Instant::now();
    let values: Vec<_> = (0..100).map(|number| format!("v{number}")).collect();
    let mut lines = vec![("impersonate-user", "bob"), ("impersonate-group", "dev")];
    lines.extend(values.iter().map(|value| ("impersonate-extra-scopes", value.as_str())));
    let response = office.http2(&lines).await;
    let lasted = start.elapsed();
    expect::status(&response, 503, "ServiceUnavailable");
    assert!((Duration::from_millis(4_900)..Duration::from_secs(7)).contains(&lasted), "{lasted:?}");
    assert!(office.rig.stub.seen().is_empty());
    let own = office.rig.stub.own_requests();
    let unanswered = own.iter().filter(|seen| seen.target.ends_with("/subjectaccessreviews")).count();
    assert_eq!(unanswered, 18, "the user, the group, and sixteen of the hundred values at a time");
}

#[tokio::test]
async fn requests_at_the_same_time_share_one_question() {
    let office = Office::open().await;
    let client = office.rig.http2().await;
    let authorization = office.alice.authorization();
    let lines = [("authorization", authorization.as_str()), ("impersonate-user", "bob")];
    let mut tasks = tokio::task::JoinSet::new();
    let lines = lines.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for _ in 0..50 {
        let (client, lines) = (client.clone(), lines.clone());
        tasks.spawn(async move {
            let lines = lines.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
            client.request("GET", TARGET, &lines, b"").await.unwrap().status
        });
    }
    assert!(tasks.join_all().await.into_iter().all(|status| status == 200));
    assert_eq!(office.rights(), ["impersonate users bob"]);
}

#[tokio::test]
async fn the_setting_holds_from_the_next_request_on() {
    let office = Office::open().await;
    let lines = [("impersonate-user", "bob")];
    for on in [true, false, true] {
        switch(&office.rig, on).await;
        assert_eq!(office.http2(&lines).await.status, if on { 200 } else { 403 });
    }
    let shown = office.rig.api("GET", SETTING, office.rig.admin(), &json!(null)).await.json();
    assert_eq!((&shown["value"], &shown["default"]), (&"true".into(), &"false".into()), "{shown}");
    assert_eq!(short(&office.asked()[0]["resourceAttributes"]), "impersonate users bob");
}
