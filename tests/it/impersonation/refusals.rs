//! Who does not become somebody else, and what its client hears.

use super::{Office, TARGET, switch};
use crate::support::expect;
use crate::support::rig::Rig;

#[tokio::test]
async fn while_it_is_off_the_refusal_names_the_setting() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &["dev"]).await;
    let authorization = alice.authorization();
    // Whatever else is wrong with them.
    for lines in [
        &[("impersonate-user", "bob")][..],
        &[("impersonate-user", "alice")],
        &[("impersonate-user", "")],
        &[("impersonate-user", "bob"), ("impersonate-user", "eve")],
        &[("impersonate-group", "dev")],
        &[("impersonate-not-invented-yet", "x")],
        &[("impersonate-user", "system:masters")],
    ] {
        let lines: Vec<_> =
            [("authorization", authorization.as_str())].iter().chain(lines).copied().collect();
        let over_http1 = rig.http1().await.request("GET", TARGET, &lines, b"").await;
        let over_http2 = rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap();
        for response in [over_http1, over_http2] {
            let message = expect::status(&response, 403, "Forbidden");
            assert!(message.contains("client-impersonation") && message.contains("--as"), "{message}");
        }
    }
    assert!(rig.stub.seen().is_empty());
    assert!(rig.stub.own_requests().iter().all(|seen| !seen.target.ends_with("/subjectaccessreviews")));
}

#[tokio::test]
async fn odd_combinations_are_bad_requests_that_nobody_is_asked_about() {
    let office = Office::open().await;
    let user = ("impersonate-user", "bob");
    for lines in [
        &[("impersonate-group", "dev")][..],
        &[("impersonate-uid", "1")],
        &[("impersonate-extra-scopes", "x")],
        &[("impersonate-user", "")],
        &[("impersonate-user", ""), ("impersonate-group", "dev")],
        &[user, ("impersonate-group", "")],
        &[user, ("impersonate-group", "dev"), ("impersonate-group", "")],
        &[user, ("impersonate-uid", "")],
        &[user, ("impersonate-extra-scopes", "")],
        &[user, ("impersonate-extra-", "x")],
        &[user, user],
        &[user, ("impersonate-user", "eve")],
        &[user, ("impersonate-uid", "1"), ("impersonate-uid", "2")],
        &[user, ("impersonate-extra-%41", "x")],
        &[user, ("impersonate-extra-%ff", "x")],
        &[user, ("impersonate-scope", "x")],
        &[user, ("impersonate-", "x")],
        &[user, ("impersonate_group", "dev")],
        &[("impersonate-user", "\u{a0}")],
        &[user, ("impersonate-group", "\u{2003}dev")],
    ] {
        for response in [office.http1(lines).await, office.http2(lines).await] {
            expect::status(&response, 400, "BadRequest");
        }
    }
    assert!(office.rig.stub.seen().is_empty());
    assert!(office.asked().is_empty(), "{:?}", office.asked());
}

#[tokio::test]
async fn what_rbac_denies_is_refused_in_kubernetes_words() {
    let office = Office::open().await;
    let lines = [
        ("impersonate-user", "bob"),
        ("impersonate-group", "dev"),
        ("impersonate-uid", "42"),
        ("impersonate-extra-example.com%2fa", "one"),
        ("impersonate-extra-example.com%2fa", "two"),
    ];
    for (denied, message) in [
        (
            "bob",
            r#"users "bob" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope"#,
        ),
        (
            "dev",
            r#"groups "dev" is forbidden: User "alice" cannot impersonate resource "groups" in API group "" at the cluster scope"#,
        ),
        (
            "42",
            r#"uids.authentication.k8s.io "42" is forbidden: User "alice" cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope"#,
        ),
        (
            "two",
            r#"userextras.authentication.k8s.io "two" is forbidden: User "alice" cannot impersonate resource "userextras/example.com/a" in API group "authentication.k8s.io" at the cluster scope"#,
        ),
    ] {
        // Each with a gate of its own: an answer counts for ten seconds.
        let office = Office::open().await;
        office.rule(move |attributes| attributes["name"] != denied);
        for response in [office.http1(&lines).await, office.http2(&lines).await] {
            assert_eq!(expect::status(&response, 403, "Forbidden"), message);
        }
        assert!(office.rig.stub.seen().is_empty());
    }
    office.rule(|_| false);
    let account = [("impersonate-user", "system:serviceaccount:web:default")];
    assert_eq!(
        expect::status(&office.http2(&account).await, 403, "Forbidden"),
        r#"serviceaccounts "default" is forbidden: User "alice" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "web""#
    );
}

#[tokio::test]
async fn of_many_groups_that_are_denied_the_first_is_named_and_few_are_asked_for() {
    let office = Office::open().await;
    office.rule(|attributes| attributes["resource"] != "groups");
    let names: Vec<_> = (0..300).map(|number| format!("g{number:03}")).collect();
    let mut lines = vec![("impersonate-user", "bob")];
    lines.extend(names.iter().map(|name| ("impersonate-group", name.as_str())));
    let message = expect::status(&office.http2(&lines).await, 403, "Forbidden");
    assert!(message.starts_with("groups \"g000\" is forbidden"), "{message}");
    assert!(office.asked().len() < 30, "{}", office.asked().len());
}

#[tokio::test]
async fn some_identities_are_nobodys_whatever_rbac_says() {
    let office = Office::open().await;
    let ours = "system:serviceaccount:portcullis:portcullis";
    for name in [
        "system:masters",
        "system:nodes",
        "system:node:n1",
        "system:kube-scheduler",
        "system:kube-controller-manager",
        "system:serviceaccount:kube-system:default",
        "system:serviceaccounts:kube-system",
    ] {
        for lines in [
            &[("impersonate-user", name)][..],
            &[("impersonate-user", "bob"), ("impersonate-group", "dev"), ("impersonate-group", name)],
        ] {
            for response in [office.http1(lines).await, office.http2(lines).await] {
                let message = expect::status(&response, 403, "Forbidden");
                assert!(message.contains(name) && message.contains("whatever RBAC says"), "{message}");
            }
        }
    }
    for key in ["portcullis.dev%2foriginal-user", "PORTCULLIS.DEV%2Ftoken-name", "portcullis.dev%2f"] {
        let name = format!("impersonate-extra-{key}");
        let response = office.http1(&[("impersonate-user", "bob"), (&name, "eve")]).await;
        let message = expect::status(&response, 403, "Forbidden");
        assert!(message.contains("portcullis.dev/"), "{message}");
    }
    assert!(office.asked().is_empty(), "{:?}", office.asked());
    let message = expect::status(&office.http2(&[("impersonate-user", ours)]).await, 403, "Forbidden");
    assert!(message.contains("own identity") && !message.contains(ours), "{message}");
    assert!(office.rig.stub.seen().is_empty());
}

#[tokio::test]
async fn no_spelling_of_a_header_gets_past_a_denial() {
    let office = Office::open().await;
    office.rule(|_| false);
    let nominated = [("Connection", "Impersonate-User, X-A"), ("Impersonate-User", "bob")];
    let response = office.http1(&nominated).await;
    expect::status(&response, 403, "Forbidden");
    for name in ["IMPERSONATE-USER", "impersonate-User", "Impersonate-User"] {
        for response in [office.http1(&[(name, "bob")]).await, office.http2(&[(name, "bob")]).await] {
            expect::status(&response, 403, "Forbidden");
        }
    }
    assert!(office.rig.stub.seen().is_empty());
    // Trailers are no headers: a name in them is dropped, and the request is the caller's own.
    let authorization = office.alice.authorization();
    let trailers = vec![("impersonate-user".to_owned(), "bob".to_owned())];
    let lines = [("authorization", authorization.as_str())];
    let client = office.rig.http2().await;
    client.request_with_trailers("POST", TARGET, &lines, b"{}", &trailers).await.unwrap();
    expect::identity_is(&office.rig.stub.only(), &office.alice);
    switch(&office.rig, false).await;
}

#[tokio::test]
async fn what_the_gate_itself_may_not_do_is_said_and_not_tried() {
    let office = Office::open().await;
    office.rig.stub.deny_us("userextras/secret");
    office.rig.stub.deny_us("serviceaccounts");
    let extra = [("impersonate-user", "bob"), ("impersonate-extra-secret", "x")];
    let message = expect::status(&office.http2(&extra).await, 403, "Forbidden");
    assert!(message.contains("impersonate userextras/secret (authentication.k8s.io)"), "{message}");
    let account = [("impersonate-user", "system:serviceaccount:web:default")];
    let response = office.http2(&account).await;
    let message = expect::status(&response, 503, "ServiceUnavailable");
    assert!(message.contains("impersonate serviceaccounts") && response.header("retry-after").is_some());
    assert!(office.rig.stub.seen().is_empty());

    // Whoever may not impersonate does not learn what the gate may.
    office.rule(|attributes| attributes["resource"] == "users");
    let message = expect::status(&office.http1(&[extra[0], (extra[1].0, "y")]).await, 403, "Forbidden");
    assert!(message.contains("cannot impersonate resource"), "{message}");

    let office = Office::open().await;
    office.rig.stub.deny_us("userextras/portcullis.dev/original-user");
    let response = office.http1(&[("impersonate-user", "bob")]).await;
    let message = expect::status(&response, 503, "ServiceUnavailable");
    assert!(message.contains("userextras/portcullis.dev/original-user"), "{message}");
    let authorization = office.alice.authorization();
    let own =
        office.rig.http1().await.request("GET", TARGET, &[("Authorization", &authorization)], b"").await;
    assert_eq!(own.status, 200, "whoever impersonates nobody does not need it");
}
