//! `kubectl --as` through the gate, judged by a real apiserver: the same request by callers with the same rights, once to
//! it and once through us, has the same status and runs as the same user. Where we are stricter is a table of its own.

mod court;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::real_gate::{audited, fail, succeed};
use court::{Lines, court, lines, rule, user};

const ORIGINAL_USER: &str = "portcullis.dev/original-user";
const TOKEN_NAME: &str = "portcullis.dev/token-name";

/// Requests whose parts go through everything that is told apart, each with each where they meet.
fn requests() -> Vec<Lines> {
    let users = [
        "bob",
        "eve",
        "jürgen",
        "two words",
        "system:anonymous",
        "system:serviceaccount:default:default",
        "system:serviceaccount:web:builder.x",
        "system:serviceaccount:Web:builder",
        "system:serviceaccount:web",
    ];
    let groups = [
        &[][..],
        &["dev"],
        &["dev", "ops"],
        &["dev,ops"],
        &["nope"],
        &["g1", "g2", "g3", "g4"],
        &["g1", "g2", "g3", "g4", "nope"],
        &["dev", "dev"],
        &["system:authenticated"],
        &["system:unauthenticated"],
        &["dev", "system:unauthenticated", "system:authenticated"],
    ];
    let extras = [
        &[][..],
        &[("scopes", "a")],
        &[("Scopes", "a"), ("SCOPES", "b")],
        &[("scopes", "nope")],
        &[("example.com%2fa%2fb", "x")],
        &[("Example.com%2FA%2fB", "x"), ("scopes", "a")],
        &[("example.com%2fescaped%e1%9b%84scopes", "scope-a")],
        &[("almost%zzpercent%xxencoded", "scope-a")],
        &[("100%25", "x")],
    ];
    let mut requests = vec![Lines::new()];
    for user in users {
        requests.extend(groups.iter().map(|groups| lines(user, groups, None, &[])));
    }
    for user in ["bob", "system:serviceaccount:default:default"] {
        for uid in [None, Some("1"), Some("2")] {
            requests.extend(extras.iter().map(|extras| lines(user, &["dev"], uid, extras)));
        }
    }
    for part in [
        lines("", &["dev"], None, &[]),
        lines("", &[], Some("1"), &[]),
        lines("", &[], None, &[("scopes", "a")]),
    ] {
        requests.push(part[1..].to_vec());
    }
    requests
}

#[tokio::test]
async fn through_the_gate_as_directly() {
    let court = court().await;
    let everything = json!([
        rule("", &["users", "groups", "serviceaccounts"], &[]),
        rule("authentication.k8s.io", &["*"], &[])
    ]);
    let some = json!([
        rule("", &["users"], &["bob", "jürgen", "system:anonymous"]),
        rule("", &["groups"], &["dev", "ops", "g1", "g2", "g3", "g4", "system:unauthenticated"]),
        rule("", &["serviceaccounts"], &["default"]),
        rule("authentication.k8s.io", &["uids"], &["1"]),
        rule("authentication.k8s.io", &["userextras/scopes"], &["a", "b"]),
        rule("authentication.k8s.io", &["userextras/example.com/a/b"], &[]),
    ]);
    let users_and_groups = json!([rule("", &["users", "groups"], &[])]);
    let bob = lines("bob", &[], None, &[]);
    let mut statuses = BTreeMap::<u16, usize>::new();
    for (name, rules) in
        [("any", everything), ("some", some), ("most", users_and_groups), ("none", json!([]))]
    {
        let pair = court.pair(&format!("judge-{name}"), &rules).await;
        if name != "none" {
            court.until_allowed(&pair, &bob).await;
        }
        for lines in requests() {
            let [through, directly] = court.both(&pair, &lines).await;
            assert_eq!(
                through.status,
                directly.status,
                "{name} {lines:?}: {}\n{}",
                through.text(),
                directly.text()
            );
            // Without any header each is itself.
            if through.status == 201 && !lines.is_empty() {
                assert_eq!(user(&through), user(&directly), "{name} {lines:?}");
            }
            *statuses.entry(through.status).or_default() += 1;
        }
    }
    let often = |status: u16| statuses.get(&status).is_some_and(|count| *count >= 12);
    assert!(often(201) && often(403) && often(400), "{statuses:?}");
}

#[tokio::test]
async fn where_the_gate_is_stricter_than_the_apiserver() {
    let court = court().await;
    let rules = json!([
        rule("", &["users", "groups", "serviceaccounts"], &[]),
        rule("authentication.k8s.io", &["*"], &[])
    ]);
    let pair = court.pair("judge-strict", &rules).await;
    court.until_allowed(&pair, &lines("bob", &[], None, &[])).await;
    let twice = [lines("bob", &[], None, &[]), lines("eve", &[], None, &[])].concat();
    for (lines, status) in [
        (lines("bob", &["system:masters"], None, &[]), 403),
        (lines("system:node:n1", &["system:nodes"], None, &[]), 403),
        (lines("system:kube-scheduler", &[], None, &[]), 403),
        (lines("system:serviceaccount:kube-system:default", &[], None, &[]), 403),
        (lines("system:serviceaccount:portcullis:portcullis", &[], None, &[]), 403),
        (lines("bob", &[], None, &[("portcullis.dev%2foriginal-user", "eve")]), 403),
        (lines("bob", &[], None, &[("secret", "x")]), 403),
        (lines("bob", &[""], None, &[]), 400),
        (lines("bob", &[], None, &[("scopes", "")]), 400),
        (lines("bob", &[], None, &[("%53copes", "a")]), 400),
        (lines("", &[], None, &[]), 400),
        (twice, 400),
        (
            [lines("bob", &[], None, &[]), vec![("Impersonate-Scope".to_owned(), "x".to_owned())]].concat(),
            400,
        ),
    ] {
        let [through, directly] = court.both(&pair, &lines).await;
        assert_eq!((through.status, directly.status), (status, 201), "{lines:?}: {}", through.text());
        assert!(!through.text().contains("system:serviceaccount:portcullis"), "{}", through.text());
    }
    let [through, _] = court.both(&pair, &lines("bob", &[], None, &[("secret", "x")])).await;
    assert!(through.text().contains("userextras/secret"), "{}", through.text());
}

#[tokio::test]
async fn constrained_impersonation_of_a_caller_is_not_enough() {
    let court = court().await;
    let rules = json!([
        { "apiGroups": ["authentication.k8s.io"], "resources": ["users"], "verbs": ["impersonate:user-info"] },
        { "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["impersonate-on:user-info:create"] },
    ]);
    let pair = court.pair("judge-constrained", &rules).await;
    let bob = lines("bob", &[], None, &[]);
    court.until_allowed(&pair, &bob).await;
    let [through, directly] = court.both(&pair, &bob).await;
    assert_eq!((through.status, directly.status), (403, 201), "{}", through.text());
    assert!(through.text().contains("cannot impersonate resource"), "{}", through.text());
}

#[tokio::test]
async fn kubectl_as_is_whom_it_says_and_the_audit_log_knows_who_asked() {
    let court = court().await;
    let rules = json!([
        rule("", &["users", "groups"], &[]),
        rule("authentication.k8s.io", &["uids", "userextras/scopes"], &[])
    ]);
    let pair = court.pair("judge-kubectl", &rules).await;
    let flags = ["--as=bob", "--as-group=dev", "--as-group=a,b", "--as-uid=7", "--as-user-extra=scopes=a"];
    court.until_allowed(&pair, &lines("bob", &["dev"], Some("7"), &[("scopes", "a")])).await;
    let whoami = ["auth", "whoami", "--output=json"];
    let through = succeed(court.gate.kubectl(&pair.user).args(whoami).args(flags));
    let cluster = court.gate.cluster;
    let mut kubectl = cluster.bare_kubectl();
    kubectl
        .args(["--server", cluster.server(), "--token", &pair.token])
        .arg("--certificate-authority")
        .arg(cluster.ca_file());
    let directly = succeed(kubectl.args(whoami).args(flags));
    let user = |text: &str| serde_json::from_str::<Value>(text).unwrap()["status"]["userInfo"].clone();
    let (mut through, directly) = (user(&through), user(&directly));
    let extra = through["extra"].as_object_mut().unwrap();
    assert_eq!(extra.remove(ORIGINAL_USER), Some(json!(["judge-kubectl"])));
    assert_eq!(extra.remove(TOKEN_NAME), Some(json!([pair.user.token_name])));
    assert_eq!(through, directly);

    if let Some(events) = audited(cluster, &pair.user.token_name) {
        let event = events.iter().find(|event| event["impersonatedUser"]["username"] == "bob").unwrap();
        assert_eq!(event["impersonatedUser"]["uid"], "7");
        assert_eq!(event["impersonatedUser"]["extra"][ORIGINAL_USER], json!(["judge-kubectl"]));
    }
    // Fills kubectl's cache of what the cluster has: a refusal of that question it reports as "unknown", whoever refuses it.
    succeed(court.gate.kubectl(&pair.user).arg("api-resources"));
    let said =
        fail(court.gate.kubectl(&pair.user).args(["get", "configmaps", "--as=system:serviceaccount:web:x"]));
    assert!(said.contains("cannot impersonate resource \"serviceaccounts\""), "{said}");
    let said = fail(court.gate.kubectl(&pair.user).args([
        "get",
        "configmaps",
        "--as=bob",
        "--as-group=system:masters",
    ]));
    assert!(said.contains("system:masters") && said.contains("Forbidden"), "{said}");
}

/// The caller is the same to both here: the service account itself, with its own token.
#[tokio::test]
async fn a_service_account_impersonates_through_the_gate_as_it_does_directly() {
    let court = court().await;
    let rules = json!([
        rule("", &["users"], &["bob"]),
        rule("", &["groups"], &["dev"]),
        rule("", &["serviceaccounts"], &["default"]),
        rule("authentication.k8s.io", &["userextras/scopes"], &["a"]),
    ]);
    let pair = court.pair("judge-account", &rules).await;
    court.until_allowed(&pair, &lines("bob", &[], None, &[])).await;
    for (lines, status) in [
        (lines("bob", &[], None, &[]), 201),
        (lines("bob", &["dev"], None, &[("scopes", "a")]), 201),
        (lines("system:serviceaccount:default:default", &[], None, &[]), 201),
        (lines("system:serviceaccount:default:other", &[], None, &[]), 403),
        (lines("eve", &[], None, &[]), 403),
        (lines("bob", &["ops"], None, &[]), 403),
        (lines("bob", &[], Some("1"), &[]), 403),
        (lines("bob", &[], None, &[("scopes", "b")]), 403),
        (Lines::new(), 201),
    ] {
        let [through, directly] = court.both_by(&pair.token, &lines).await;
        assert_eq!((through.status, directly.status), (status, status), "{lines:?}: {}", through.text());
        if status == 201 {
            let (mut through, mut directly) = (user(&through), user(&directly));
            for user in [&mut through, &mut directly] {
                user["groups"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
            }
            assert_eq!(through, directly, "{lines:?}");
        }
    }
    let [through, _] = court.both_by(&pair.token, &lines("bob", &[], None, &[])).await;
    let extra = &through.json()["status"]["userInfo"]["extra"];
    assert_eq!(*extra, json!({ ORIGINAL_USER: ["system:serviceaccount:default:judge-account"] }));
}

#[tokio::test]
async fn the_impersonated_users_rights_count_and_not_the_callers() {
    let court = court().await;
    let owner = court.gate.user("judge-owner").await;
    let pair = court.pair("judge-borrower", &json!([rule("", &["users"], &["judge-owner"])])).await;
    court.until_allowed(&pair, &lines("judge-owner", &[], None, &[])).await;
    let secrets = ["get", "secrets", "--namespace", &owner.namespace];
    assert!(fail(court.gate.kubectl(&pair.user).args(secrets)).contains("\"judge-borrower\" cannot list"));
    succeed(court.gate.kubectl(&pair.user).args(secrets).arg("--as=judge-owner"));
    let elsewhere = ["get", "secrets", "--namespace=kube-system", "--as=judge-owner"];
    assert!(fail(court.gate.kubectl(&pair.user).args(elsewhere)).contains("\"judge-owner\" cannot list"));
}

#[tokio::test]
async fn leave_that_rbac_takes_back_ends_within_ten_seconds() {
    let court = court().await;
    let pair = court.pair("judge-fired", &json!([rule("", &["users"], &[])])).await;
    let bob = lines("bob", &[], None, &[]);
    court.until_allowed(&pair, &bob).await;
    assert_eq!(court.both(&pair, &bob).await.map(|response| response.status), [201, 201]);
    succeed(court.gate.cluster.kubectl().args(["delete", "clusterrolebinding", "judge-fired"]));
    let refused_by = async |place: usize| court.both(&pair, &bob).await[place].status == 403;
    court.gate.gate.wait_until("refused by the apiserver", async || refused_by(1).await).await;
    let start = Instant::now();
    court.gate.gate.wait_until("refusing", async || refused_by(0).await).await;
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
}
