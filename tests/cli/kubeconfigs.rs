//! `kubeconfig`: what replaces what, which token is sent, and what is said of it.

use serde_json::json;

use crate::command::{User, stub_with};
use crate::stub::{Stub, json as answer};

const KEY: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

#[test]
fn a_token_is_used_again_if_the_server_gives_it_again() {
    let stub = gate();
    let user = User::logged_in(&stub);
    let command = ["kubeconfig", "--output-file", "gate.yaml", "--reuse"];
    let first = user.run(&command);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stderr.starts_with("Token kubeconfig-user-bcdfgzzzzz was made for it (expires: "));
    assert_eq!(stub.requests()[1].body, json!({}));

    // Written by ourselves, and for this server: nothing is lost.
    write(&user, &stub.url());
    let second = user.run(&command);
    assert_eq!(second.code, 0, "{second:?}");
    assert!(second.stderr.starts_with("Token kubeconfig-user-bcdfgzzzzz is used again (expires: "));
    let sent = stub.requests().into_iter().rfind(|request| request.line.starts_with("POST")).unwrap();
    assert_eq!(sent.body, json!({ "reuse": format!("kubeconfig-user-bcdfgzzzzz:{KEY}") }));
}

#[test]
fn a_file_for_somewhere_else_is_neither_replaced_nor_sent() {
    let stub = gate();
    let user = User::logged_in(&stub);
    write(&user, "https://elsewhere.example.org");
    let requests = stub.lines().len();
    let refused = user.run(&["kubeconfig", "--output-file", "gate.yaml", "--reuse"]);
    assert_eq!((refused.code, stub.lines().len()), (1, requests));
    assert!(refused.stderr.contains("gate.yaml exists"), "{}", refused.stderr);

    let forced = user.run(&["kubeconfig", "--output-file", "gate.yaml", "--reuse", "--force"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    let told = format!("gate.yaml is no kubeconfig for {} alone: its token is not used again.\n", stub.url());
    assert!(forced.stderr.starts_with(&told), "{}", forced.stderr);
    assert_eq!(stub.requests()[requests].body, json!({}));
    assert_eq!(user.run(&["kubeconfig", "--reuse"]).code, 2, "reuse of what?");
}

#[test]
fn a_kubeconfig_without_a_token_says_where_kubectl_gets_one() {
    let stub = stub_with(|_| {
        let config = "users:\n- name: local\n  user:\n    exec: {command: portcullis}\n";
        answer(200, &json!({ "config": config }))
    });
    let outcome = User::logged_in(&stub).run(&["kubeconfig"]);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stdout.starts_with("users:"), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("kubectl calls `portcullis credential`"), "{}", outcome.stderr);
    assert_eq!(stub.lines().len(), 2, "there is nothing to ask of a token");
}

/// A stub whose kubeconfigs all have the same token.
fn gate() -> Stub {
    stub_with(move |request| {
        if request.line.starts_with("GET /v3/tokens/") {
            return answer(200, &json!({ "expiresAt": "2999-01-01T00:00:00Z" }));
        }
        let token = format!("kubeconfig-user-bcdfgzzzzz:{KEY}");
        let config = format!("users:\n- name: local\n  user:\n    token: \"{token}\"\n");
        answer(200, &json!({ "config": config }))
    })
}

fn write(user: &User, server: &str) {
    let config = json!({
        "clusters": [{ "name": "local", "cluster": { "server": format!("{server}/k8s/clusters/local") } }],
        "users": [{ "name": "local", "user": { "token": format!("kubeconfig-user-bcdfgzzzzz:{KEY}") } }],
        "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "local" } }],
    });
    std::fs::write(user.file("gate.yaml"), config.to_string()).unwrap();
}
