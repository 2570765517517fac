//! kubectl through the gate, to a real apiserver: what it does, and who the apiserver takes its user for.

use serde_json::{Value, json};

use crate::real_gate::{RealGate, Running, TOKEN_EXTRA, audited, fail, run_with_input, succeed};
use crate::support::accounts::Account;
use crate::support::database;

#[tokio::test]
async fn kubectl_reads_writes_and_lists_in_chunks() {
    let gate = RealGate::shared().await;
    let user = gate.user("writer").await;
    let items: Vec<Value> = (0..30).map(|number| config_map(&format!("map-{number}"), "a")).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    let applied = run_with_input(user.kubectl().args(["apply", "--filename", "-"]), list.as_bytes());
    assert!(applied.status.success(), "{applied:?}");

    let mut get = user.kubectl();
    let names = succeed(get.args(["get", "configmaps", "--chunk-size=7", "--output=name"]));
    assert_eq!(names.lines().filter(|name| name.contains("/map-")).count(), 30);
    if let Some(events) = audited(gate.cluster, &user.account.token_name) {
        let uris = events.iter().filter_map(|event| event["requestURI"].as_str());
        assert!(uris.filter(|uri| uri.contains("limit=7") && uri.contains("continue=")).count() >= 4);
    }

    let value = ["get", "configmap", "map-3", "--output=jsonpath={.data.value}"];
    assert_eq!(succeed(user.kubectl().args(value)), "a");
    for (kind, text, expected) in [
        ("--type=strategic", r#"{"data": {"value": "b"}}"#, "b"),
        ("--type=merge", r#"{"data": {"value": "c"}}"#, "c"),
        ("--type=json", r#"[{"op": "replace", "path": "/data/value", "value": "d"}]"#, "d"),
    ] {
        succeed(user.kubectl().args(["patch", "configmap", "map-3", kind, "--patch", text]));
        assert_eq!(succeed(user.kubectl().args(value)), expected);
    }
    let server_side = ["apply", "--server-side", "--force-conflicts", "--filename", "-"];
    let applied =
        run_with_input(user.kubectl().args(server_side), config_map("map-3", "e").to_string().as_bytes());
    assert!(applied.status.success(), "{applied:?}");
    assert_eq!(succeed(user.kubectl().args(value)), "e");
    succeed(user.kubectl().args(["delete", "configmap", "map-3"]));
    assert!(fail(user.kubectl().args(value)).contains("NotFound"));
}

#[tokio::test]
async fn kubectl_says_that_its_token_is_about_to_end() {
    let gate = RealGate::shared().await;
    let account = gate.account("ending", &[]).await;
    // Ten hours long, nine and a half of them gone.
    let sql = "UPDATE tokens SET ttl = 36000000, created_at = created_at - 34200000 WHERE name = ?1";
    assert_eq!(database::open(&gate.gate).execute(sql, [&account.token_name]).unwrap(), 1);
    let output = gate.kubectl(&account).args(["auth", "whoami"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("Warning: token {} expires in ", account.token_name)), "{said}");
}

#[tokio::test]
async fn watch_shows_changes_as_they_happen() {
    let gate = RealGate::shared().await;
    let user = gate.user("watcher").await;
    let watch = ["get", "configmaps", "--watch", "--output-watch-events"];
    let mut watching = Running::start(user.kubectl().args(watch));
    // In every namespace there is one; it shows that the watch has begun.
    watching.line_with("kube-root-ca.crt");
    for (change, event) in [
        (&["create", "configmap", "changed"][..], "ADDED"),
        (&["label", "configmap", "changed", "a=b"], "MODIFIED"),
        (&["delete", "configmap", "changed"], "DELETED"),
    ] {
        succeed(user.kubectl().args(change));
        let line = watching.line_with("changed");
        assert!(line.starts_with(event), "{line}");
    }
}

#[tokio::test]
async fn apiserver_and_its_audit_log_know_user_groups_uid_and_token() {
    let gate = RealGate::shared().await;
    let account = gate.account("known", &["developers", "on call"]).await;
    let user = who_am_i(&gate, &account);
    assert_eq!(user["username"], "known");
    assert_eq!(user["uid"], account.user_id.as_str());
    assert_eq!(groups(&user), ["developers", "on call", "system:authenticated"]);
    assert_eq!(user["extra"], json!({ TOKEN_EXTRA: [account.token_name] }));

    let Some(events) = audited(gate.cluster, &account.token_name) else { return };
    let event = events.iter().find(|event| event["objectRef"]["resource"] == "selfsubjectreviews").unwrap();
    assert_eq!(event["user"]["username"], "system:serviceaccount:portcullis:portcullis");
    assert_eq!(event["impersonatedUser"]["username"], "known");
    assert_eq!(event["impersonatedUser"]["uid"], account.user_id.as_str());
    assert_eq!(groups(&event["impersonatedUser"]), ["developers", "on call", "system:authenticated"]);
}

#[tokio::test]
async fn odd_names_arrive_unchanged() {
    let gate = RealGate::shared().await;
    let longest = "n".repeat(256);
    for name in [
        "alice@example.org",
        "jürgen",
        "two words",
        "a,b;c=d",
        "CN=Anna Müller,OU=Sales,O=\"Example, Inc.\"",
        "https://issuer.example/#1",
        "%2e%2e%2f",
        "root%00",
        "日本語",
        "null",
        "-",
        longest.as_str(),
    ] {
        let group = format!("group of {}", name.chars().take(200).collect::<String>());
        let account = gate.account(name, &[&group]).await;
        let user = who_am_i(&gate, &account);
        assert_eq!(user["username"], name);
        assert_eq!(groups(&user), [group.as_str(), "system:authenticated"]);
    }
}

#[tokio::test]
async fn three_hundred_groups_arrive() {
    let gate = RealGate::shared().await;
    let names: Vec<String> = (0..300).map(|number| format!("cn=group {number:03},dc=example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let account = gate.account("joiner", &names).await;
    let user = who_am_i(&gate, &account);
    let mut expected = names.clone();
    expected.push("system:authenticated");
    assert_eq!(groups(&user), expected);
    // An upgrade goes over HTTP/1.1, where each group is a line as well.
    let said = fail(gate.kubectl(&account).args(["exec", "nothing", "--", "true"]));
    assert!(said.contains("Forbidden") && said.contains("\"joiner\""), "{said}");
}

#[tokio::test]
async fn kubectl_as_is_refused_and_names_the_setting() {
    let gate = RealGate::shared().await;
    let user = gate.user("pretender").await;
    // Fills kubectl's cache of what the cluster has: a refusal of that first question it reports as "unknown", whoever
    // refuses it.
    succeed(user.kubectl().args(["get", "configmaps"]));
    for flags in [
        &["--as=root"][..],
        &["--as=pretender"],
        &["--as=root", "--as-group=system:masters"],
        &["--as=root", "--as-uid=1"],
    ] {
        let said = fail(user.kubectl().args(["get", "configmaps"]).args(flags));
        assert!(said.contains("Forbidden") && said.contains("client-impersonation"), "{flags:?}: {said}");
    }
    if let Some(events) = audited(gate.cluster, &user.account.token_name) {
        let lists = events.iter().filter(|event| event["objectRef"]["resource"] == "configmaps");
        assert_eq!(lists.count(), 1, "only the first, without --as, arrived");
    }
}

#[tokio::test]
async fn what_rbac_does_not_give_is_refused_by_the_apiserver() {
    let gate = RealGate::shared().await;
    let user = gate.user("neighbour").await;
    succeed(user.kubectl().args(["get", "secrets"]));
    for arguments in [&["get", "secrets", "--namespace=kube-system"][..], &["get", "nodes"]] {
        let said = fail(user.kubectl().args(arguments));
        assert!(said.contains("Forbidden") && said.contains("\"neighbour\""), "{said}");
    }
}

#[tokio::test]
async fn gate_may_do_nothing_but_speak_for_its_users() {
    let gate = RealGate::shared().await;
    let account = "--as=system:serviceaccount:portcullis:portcullis";
    let may = |verb: &str, resource: &str| {
        let mut command = gate.cluster.kubectl();
        command.args(["auth", "can-i", verb, resource, account, "--all-namespaces"]);
        command.output().unwrap().status.success()
    };
    assert!(may("impersonate", "users"));
    for (verb, resource) in [("get", "secrets"), ("list", "pods"), ("create", "pods/exec"), ("*", "*")] {
        assert!(!may(verb, resource), "{verb} {resource}");
    }
}

fn who_am_i(gate: &RealGate, account: &Account) -> Value {
    let answer = succeed(gate.kubectl(account).args(["auth", "whoami", "--output=json"]));
    serde_json::from_str::<Value>(&answer).unwrap()["status"]["userInfo"].clone()
}

fn groups(user: &Value) -> Vec<&str> {
    let mut groups: Vec<_> =
        user["groups"].as_array().unwrap().iter().map(|group| group.as_str().unwrap()).collect();
    groups.sort_unstable();
    groups
}

fn config_map(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "value": value } })
}
