//! Tokens and kubeconfigs.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::command::{User, stub_with};
use crate::stub::{Answer, Request, json as answer};

fn token(name: &str) -> Value {
    json!({
        "type": "token", "id": name, "kind": "api-key", "userId": "user-bcdfg", "description": "ci",
        "created": "2001-01-01T00:00:00Z", "expiresAt": "", "expired": false, "enabled": true, "ttl": 0
    })
}

fn tokens(request: &Request) -> Answer {
    match request.line.as_str() {
        "POST /v3/tokens" => {
            let mut made = token("token-zzzzz");
            made["token"] = json!("token-zzzzz:the-key");
            answer(201, &made)
        }
        "GET /v3/tokens/token-zzzzz" => answer(200, &token("token-zzzzz")),
        "GET /v3/tokens?me=true" => answer(200, &json!({"data": [token("token-zzzzz")]})),
        "GET /v3/tokens" => answer(200, &json!({"data": [token("token-zzzzz"), token("token-yyyyy")]})),
        line if line.starts_with("DELETE /v3/tokens/") => (204, "", String::new()),
        "POST /v3/clusters/local?action=generateKubeconfig" => {
            answer(200, &json!({"config": "kind: Config\n"}))
        }
        line => panic!("unexpected {line}"),
    }
}

#[test]
fn a_new_token_is_all_that_goes_to_standard_output() {
    let stub = stub_with(tokens);
    let user = User::logged_in(&stub);
    let outcome = user.run(&["token", "create", "--ttl", "12h", "--description", "ci"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "token-zzzzz:the-key\n"));
    assert!(
        outcome.stderr.contains("token-zzzzz") && !outcome.stderr.contains("the-key"),
        "{}",
        outcome.stderr
    );
    let body = &stub.requests()[1].body;
    assert_eq!((&body["ttl"], &body["description"]), (&json!(43_200_000), &json!("ci")));

    let parsed: Value = serde_json::from_str(&user.run(&["token", "create", "-o", "json"]).stdout).unwrap();
    assert_eq!(parsed["token"], "token-zzzzz:the-key");
    let body = &stub.requests()[2].body;
    assert_eq!(*body, json!({"type": "token", "kind": "api-key"}), "the server knows the defaults of a kind");
    user.run(&["token", "create", "--ttl", "0"]);
    assert_eq!(stub.requests()[3].body["ttl"], 0);
}

#[test]
fn what_is_open_by_a_token_is_shown_and_foretold_to_be_cut() {
    let stub = stub_with(|request| {
        let mut open = token("token-zzzzz");
        let stream = |kind| json!({"kind": kind, "clusterId": "local", "client": "192.0.2.7", "openedAt": "2001-01-01T00:00:00Z"});
        open["openStreams"] = json!({
            "count": 3, "byKind": {"watch": 2, "exec": 1}, "streams": [stream("watch"), stream("exec"), stream("watch")],
        });
        match request.line.as_str() {
            "GET /v3/tokens/token-zzzzz" => answer(200, &open),
            "GET /v3/tokens/token-yyyyy" => {
                open["openStreams"] = json!({"count": 0, "byKind": {}, "streams": []});
                answer(200, &open)
            }
            line => panic!("unexpected {line}"),
        }
    });
    let user = User::logged_in(&stub);
    let shown = user.run(&["token", "show", "token-zzzzz"]).stdout;
    assert!(shown.contains("3 (1 exec, 2 watch)"), "{shown}");
    assert!(shown.contains("exec    local     192.0.2.7"), "{shown}");
    let names = ["token-zzzzz", "token-yyyyy"];
    for (command, verb) in [("delete", "deleted"), ("disable", "switched off")] {
        let outcome = user.run(&["token", command, names[0], names[1], "--dry-run"]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let first =
            format!("Token token-zzzzz would be {verb}. Streams that would be cut: 3 (1 exec, 2 watch)\n");
        assert!(outcome.stdout.starts_with(&first), "{}", outcome.stdout);
        let last = format!("Token token-yyyyy would be {verb}. Streams that would be cut: none\n");
        assert!(outcome.stdout.ends_with(&last), "{}", outcome.stdout);
    }
    assert!(stub.lines()[1..].iter().all(|line| line.starts_with("GET ")), "{:?}", stub.lines());
}

#[test]
fn a_list_has_a_form_for_people_and_forms_for_programs() {
    let stub = stub_with(tokens);
    let user = User::logged_in(&stub);
    let table = user.run(&["token", "list"]).stdout;
    let heading: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        heading,
        ["NAME", "KIND", "OWNER", "ENABLED", "AGE", "EXPIRES", "LAST", "USED", "DESCRIPTION"]
    );
    assert!(table.contains("token-zzzzz   api-key   user-bcdfg"), "{table}");
    assert!(table.contains("never"), "{table}");
    assert_eq!(user.run(&["token", "list", "--all", "-o", "name"]).stdout, "token-zzzzz\ntoken-yyyyy\n");
    let parsed: Value = serde_json::from_str(&user.run(&["token", "list", "-o", "json"]).stdout).unwrap();
    assert_eq!(parsed, json!([token("token-zzzzz")]));
    assert!(user.run(&["token", "list", "-o", "yaml"]).stdout.contains("id: token-zzzzz\n"));
    assert!(user.run(&["token", "show", "token-zzzzz"]).stdout.contains("Description:  ci\n"));
}

#[test]
fn only_names_of_tokens_reach_the_server() {
    let stub = stub_with(tokens);
    let user = User::logged_in(&stub);
    assert_eq!(user.run(&["token", "delete", "token-zzzzz", "token-yyyyy"]).code, 0);
    assert_eq!(stub.lines()[1..], ["DELETE /v3/tokens/token-zzzzz", "DELETE /v3/tokens/token-yyyyy"]);
    for name in ["token-zzzzz:the-key", "../users/user-bcdfg", "a?b", ""] {
        let outcome = user.run(&["token", "delete", "token-zzzzz", name]);
        assert_eq!(outcome.code, 2, "{name}");
        assert!(!outcome.stderr.contains("the-key"), "{}", outcome.stderr);
    }
    assert_eq!(stub.lines().len(), 3, "nothing is deleted by a command that has a mistake");
}

#[test]
fn a_kubeconfig_is_private_and_replaces_nothing_unasked() {
    let stub = stub_with(tokens);
    let user = User::logged_in(&stub);
    assert_eq!(user.run(&["kubeconfig"]).stdout, "kind: Config\n");
    assert_eq!(user.run(&["kubeconfig", "--output-file", "gate.yaml"]).code, 0);
    let file = user.file("gate.yaml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    std::fs::write(&file, "precious").unwrap();
    let requests = stub.lines().len();
    let refused = user.run(&["kubeconfig", "local", "--output-file", "gate.yaml"]);
    assert_eq!((refused.code, stub.lines().len()), (1, requests), "no token is made in vain");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(user.run(&["kubeconfig", "--output-file", "gate.yaml", "--force"]).code, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kind: Config\n");
}
