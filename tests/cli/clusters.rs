//! Clusters: what is sent of files on this machine, what is refused, and what is asked before something is cut.

use std::fs;

use serde_json::{Value, json};

use crate::command::{Outcome, User, stub_with};
use crate::stub::{Answer, Request, Stub, json as answer};

const TOKEN: &str = "hunter2-hunter2";

/// `RUE=` is `AE` in base64, which no test takes for more than a text.
const KUBECONFIG: &str = "
current-context: one
contexts:
- {name: one, context: {cluster: c, user: token}}
- {name: certificate, context: {cluster: c, user: certificate}}
- {name: files, context: {cluster: files, user: files}}
- {name: plugin, context: {cluster: c, user: plugin}}
- {name: password, context: {cluster: c, user: password}}
- {name: impersonator, context: {cluster: c, user: impersonator}}
- {name: unverified, context: {cluster: unverified, user: token}}
- {name: proxied, context: {cluster: proxied, user: token}}
- {name: nobody, context: {cluster: c, user: nobody}}
clusters:
- {name: c, cluster: {server: 'https://10.0.0.1:6443', certificate-authority-data: UEVN, tls-server-name: kubernetes}}
- {name: files, cluster: {server: 'https://10.0.0.1:6443', certificate-authority: ca.crt}}
- {name: unverified, cluster: {server: 'https://10.0.0.1:6443', insecure-skip-tls-verify: true}}
- {name: proxied, cluster: {server: 'https://10.0.0.1:6443', proxy-url: 'http://proxy:3128'}}
users:
- {name: token, user: {token: hunter2-hunter2}}
- {name: certificate, user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}}
- {name: files, user: {tokenFile: token}}
- {name: plugin, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}}}
- {name: password, user: {username: admin, password: hunter2-hunter2}}
- {name: impersonator, user: {token: hunter2-hunter2, as: root}}
";

fn cluster(id: &str, name: &str) -> Value {
    json!({
        "type": "cluster", "id": id, "name": name, "state": "active", "source": "stored",
        "endpoints": ["https://10.0.0.1:6443"], "credential": { "kind": "token" },
        "access": { "everybody": false, "users": [], "groups": ["ops"] }, "created": "2001-01-01T00:00:00Z"
    })
}

fn clusters(request: &Request) -> Answer {
    let good =
        json!({ "type": "clusterTestOutput", "usable": true, "problem": null, "message": "it answers" });
    match request.line.as_str() {
        "POST /v3/clusters?action=test" => answer(200, &good),
        "POST /v3/clusters" => answer(201, &cluster("c-zzzzz", "eu-1")),
        "GET /v3/clusters" => {
            let all = [cluster("local", "local"), cluster("c-zzzzz", "eu-1"), cluster("c-yyyyy", "c-zzzzz")];
            answer(200, &json!({ "data": all }))
        }
        "PUT /v3/clusters/local" => answer(200, &cluster("local", "local")),
        "POST /v3/clusters/local?action=test" => {
            let bad = json!({ "usable": false, "problem": "refused", "message": "apiserver refuses our credential" });
            answer(200, &bad)
        }
        "DELETE /v3/clusters/local?dryRun=true" => {
            answer(200, &json!({ "openStreams": 3, "scopedTokens": 1 }))
        }
        "DELETE /v3/clusters/local" => (204, "", String::new()),
        line => panic!("unexpected {line}"),
    }
}

/// Somebody with files, and the stub of their server.
fn somebody() -> (User, Stub) {
    let stub = stub_with(clusters);
    let user = User::logged_in(&stub);
    for (name, text) in
        [("eu.yaml", KUBECONFIG), ("token", "hunter2-hunter2\n"), ("ca.crt", "PEM"), ("key", "KEY")]
    {
        fs::write(user.file(name), text).unwrap();
    }
    (user, stub)
}

fn add(user: &User, more: &[&str], input: &str) -> Outcome {
    let outcome = user.run_with_input(&[&["cluster", "add", "eu-1"], more].concat(), input);
    assert!(!format!("{outcome:?}").contains(TOKEN), "{outcome:?}");
    outcome
}

#[test]
fn a_cluster_is_tried_and_then_added_with_what_a_kubeconfig_here_has() {
    let (user, stub) = somebody();
    let ca_and_name = json!({
        "name": "eu-1", "endpoints": ["https://10.0.0.1:6443"], "caCert": "PEM", "tlsServerName": "kubernetes"
    });
    let with = |base: &Value, credential: Value| {
        let mut body = base.clone();
        body["credential"] = credential;
        body
    };
    let files = json!({ "name": "eu-1", "endpoints": ["https://10.0.0.1:6443"], "caCert": "PEM" });
    let certificate = json!({ "clientCertificate": "CERT", "clientKey": "KEY" });
    for (context, body) in [
        (None, with(&ca_and_name, json!({ "token": TOKEN }))),
        (Some("certificate"), with(&ca_and_name, certificate)),
        (Some("files"), with(&files, json!({ "token": TOKEN }))),
    ] {
        let context = context.map(|name| ["--context", name]);
        let context = context.as_ref().map_or(&[][..], |flags| &flags[..]);
        let more = [&["--kubeconfig", "eu.yaml"], context].concat();
        let before = stub.requests().len();
        let outcome = add(&user, &more, "");
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert!(outcome.stderr.contains("Cluster eu-1 was added as c-zzzzz."), "{outcome:?}");
        assert!(outcome.stdout.contains("Credential:  token"), "{outcome:?}");
        let sent = &stub.requests()[before..];
        assert_eq!(sent[0].line, "POST /v3/clusters?action=test");
        assert_eq!(sent[1].line, "POST /v3/clusters");
        assert_eq!((&sent[0].body, &sent[1].body), (&body, &body));
    }
}

#[test]
fn what_a_kubeconfig_here_can_not_give_to_a_server_is_refused_and_said() {
    let (user, stub) = somebody();
    let before = stub.requests().len();
    for (context, said) in [
        ("plugin", "the plugin \"aws\", which would have to run on the server"),
        ("password", "a password, which no apiserver takes"),
        ("impersonator", "it has as, which is the server's to send"),
        ("unverified", "insecure-skip-tls-verify"),
        ("proxied", "proxy-url"),
        ("nobody", "it has no user \"nobody\""),
        ("missing", "it has no context \"missing\""),
    ] {
        let outcome = add(&user, &["--kubeconfig", "eu.yaml", "--context", context], "");
        assert_eq!(outcome.code, 1, "{context}: {outcome:?}");
        assert!(outcome.stderr.contains(said), "{context}: {}", outcome.stderr);
    }
    fs::write(user.file("eu.yaml"), "token: [hunter2-hunter2").unwrap();
    assert_eq!(add(&user, &["--kubeconfig", "eu.yaml"], "").code, 1);
    assert_eq!(stub.requests().len(), before, "nothing was sent");
}

#[test]
fn a_credential_comes_from_a_file_or_standard_input_and_one_of_the_server_by_its_name() {
    let (user, stub) = somebody();
    let address = ["--server", "https://10.0.0.1:6443", "--certificate-authority", "ca.crt", "--no-test"];
    for (flags, input, credential) in [
        (&["--token-file", "token"][..], "", json!({ "token": TOKEN })),
        (&["--token-file", "-"], "hunter2-hunter2\n", json!({ "token": TOKEN })),
        (
            &["--client-certificate", "ca.crt", "--client-key", "-"],
            "KEY",
            json!({ "clientCertificate": "PEM", "clientKey": "KEY" }),
        ),
        (&["--server-side-token-file", "eu.token"], "", json!({ "tokenFile": "eu.token" })),
        (
            &["--server-side-client-certificate", "a.crt", "--server-side-client-key", "a.key"],
            "",
            json!({ "clientCertificateFile": "a.crt", "clientKeyFile": "a.key" }),
        ),
        (
            &["--server-side-kubeconfig", "eks.yaml", "--context", "eu"],
            "",
            json!({ "kubeconfigFile": "eks.yaml", "context": "eu" }),
        ),
    ] {
        let outcome = add(&user, &[&address[..], flags].concat(), input);
        assert_eq!(outcome.code, 0, "{flags:?}: {outcome:?}");
        let sent = stub.requests().pop().unwrap().body;
        assert_eq!((&sent["credential"], &sent["caCert"]), (&credential, &"PEM".into()), "{flags:?}");
    }
    for flags in [
        &["--token-file", "-", "--certificate-authority", "-"][..],
        &["--token-file", "token", "--server-side-token-file", "eu.token"],
        &["--client-certificate", "ca.crt"],
        &["--context", "eu", "--token-file", "token"],
    ] {
        assert_eq!(add(&user, flags, "").code, 2, "{flags:?}");
    }
}

#[test]
fn who_may_use_a_cluster_is_set_by_name() {
    let (user, stub) = somebody();
    for (flags, body) in [
        (
            &["--user", "alice", "--group", "ops", "--group", "dev"][..],
            json!({ "access": { "everybody": false, "users": ["alice"], "groups": ["ops", "dev"] } }),
        ),
        (&["--nobody"], json!({ "access": { "everybody": false, "users": [], "groups": [] } })),
        (&["--everybody"], json!({ "access": { "everybody": true, "users": [], "groups": [] } })),
        (
            &["--service-accounts", "deny", "--rename", "home"],
            json!({ "serviceAccounts": "deny", "name": "home" }),
        ),
    ] {
        let outcome = user.run(&[&["cluster", "set", "local"], flags].concat());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert_eq!(stub.requests().pop().unwrap().body, body);
    }
    assert_eq!(user.run(&["cluster", "set", "local"]).code, 2, "what is to be changed?");
    let ambiguous = user.run(&["cluster", "set", "c-zzzzz", "--nobody"]);
    assert_eq!(ambiguous.code, 1);
    assert!(ambiguous.stderr.contains("use the id"), "{}", ambiguous.stderr);
    assert!(user.run(&["cluster", "show", "mars"]).stderr.contains("no cluster has the name or id"));
}

#[test]
fn lists_and_verdicts_are_for_people_and_for_programs() {
    let (user, _stub) = somebody();
    let table = user.run(&["cluster", "list"]).stdout;
    assert!(
        table.starts_with("NAME      ID        STATE    SOURCE   ENDPOINTS               AGE\nlocal"),
        "{table}"
    );
    assert_eq!(user.run(&["cluster", "list", "-o", "name"]).stdout, "local\nc-zzzzz\nc-yyyyy\n");
    let shown = user.run(&["cluster", "show", "eu-1"]).stdout;
    assert!(shown.contains("Access:      groups ops"), "{shown}");
    let tested = user.run(&["cluster", "test", "local"]);
    assert_eq!(tested.code, 1);
    assert!(tested.stdout.contains("Problem:  refused"), "{tested:?}");
    assert!(tested.stderr.contains("the server can't use the cluster: apiserver refuses"), "{tested:?}");
    let json: Value =
        serde_json::from_str(&user.run(&["cluster", "test", "local", "-o", "json"]).stdout).unwrap();
    assert_eq!(json["problem"], "refused");
}

#[test]
fn a_deletion_says_first_what_it_cuts() {
    let (user, stub) = somebody();
    let dry = user.run(&["cluster", "delete", "local", "--dry-run"]);
    let sentence =
        "Deleting cluster local cuts 3 open streams to it, and deletes 1 token that is good for it alone.\n";
    assert_eq!((dry.code, dry.stdout.as_str()), (0, sentence));
    let unasked = user.run(&["cluster", "delete", "local"]);
    assert_eq!(unasked.code, 2, "there is nobody to ask");
    assert!(!stub.lines().contains(&"DELETE /v3/clusters/local".to_owned()));
    let mut terminal = user.on_terminal(&format!("{} cluster delete local", crate::command::PROGRAM), &[]);
    assert!(terminal.shows("cuts 3 open streams") && terminal.shows("Delete cluster local? [y/N] "));
    terminal.type_line("y");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(stub.lines().pop().unwrap(), "DELETE /v3/clusters/local");
}
