//! Login, logout, and which servers are believed.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::certificates::Identity;
use crate::command::{SESSION, User, stub_with};
use crate::stub::{Stub, error, json as answer};

#[test]
fn a_login_sends_the_password_once_and_keeps_the_session_private() {
    let stub = stub_with(|_| {
        answer(
            200,
            &json!({"data": [{"id": "user-bcdfg", "username": "alice", "groups": ["dev"], "enabled": true}]}),
        )
    });
    let user = User::logged_in(&stub);
    let login = stub.requests().remove(0);
    assert_eq!(
        (&login.body["username"], &login.body["password"]),
        (&json!("alice"), &json!("hunter2 hunter2"))
    );
    assert_eq!(login.authorization, None);

    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&user.profile()), 0o600);
    assert_eq!(mode(user.profile().parent().unwrap()), 0o700);
    assert!(!std::fs::read_to_string(user.profile()).unwrap().contains("hunter2"));

    let whoami = user.run(&["whoami"]);
    assert_eq!(whoami.code, 0, "{whoami:?}");
    assert!(whoami.stdout.contains("Name:     alice\n"), "{}", whoami.stdout);
    assert!(whoami.stdout.contains("Groups:   dev\n"), "{}", whoami.stdout);
    assert_eq!(stub.requests()[1].line, "GET /v3/users?me=true");
    assert_eq!(stub.requests()[1].authorization, Some(format!("Bearer {SESSION}")));
    assert_eq!(user.run(&["whoami", "-o", "name"]).stdout, "alice\n");
}

#[test]
fn a_server_of_an_unknown_authority_is_told_nothing() {
    let stub = stub_with(|_| error(500, "ServerError", "unreachable"));
    let user = User::new();
    let url = stub.url();
    let login = user.run_with_input(&["login", &url, "--username", "alice", "--password-stdin"], "hunter2\n");
    assert_eq!(login.code, 1);
    assert!(login.stderr.contains("--ca-file"), "{}", login.stderr);
    assert!(stub.requests().is_empty());

    let no_authorities = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")];
    let login = ["login", &url, "--username", "alice", "--password-stdin"];
    let login = user.run_in(&login, "hunter2\n", &no_authorities);
    assert!(login.stderr.contains("--ca-file"), "{}", login.stderr);

    let other = Stub::start(|_| error(500, "ServerError", "unreachable"));
    std::fs::write(user.file("other.crt"), &other.ca_pem).unwrap();
    let login = ["login", &url, "--username", "alice", "--password-stdin", "--ca-file", "other.crt"];
    let login = user.run_with_input(&login, "hunter2\n");
    assert_eq!(login.code, 1);
    assert!(login.stderr.contains("not from the authority that is believed"), "{}", login.stderr);
    assert!(stub.requests().is_empty());
    assert!(!user.profile().exists());
}

#[test]
fn what_keeps_the_server_out_of_reach_is_told_with_the_next_step() {
    let identity = Identity::for_names(&["gate.example.org"]);
    let stub = Stub::start_as(identity, |_| error(500, "ServerError", "unreachable"));
    let user = User::new();
    std::fs::write(user.file("ca.crt"), &stub.ca_pem).unwrap();
    let login = |url: &str| {
        let arguments = ["login", url, "--username", "alice", "--password-stdin", "--ca-file", "ca.crt"];
        user.run_with_input(&arguments, "hunter2\n")
    };
    let without_tls = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = format!("https://{}", without_tls.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut stream = without_tls.accept().unwrap().0;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the client has hung up: a reset would take the answer from it.
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    });
    // A port that was free a moment ago.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, told) in [
        (stub.url().as_str(), "is for other names: use one of these"),
        (&plain, "does not answer with TLS: check the port"),
        (&format!("https://{closed}"), "is it running, and is the URL right?"),
    ] {
        let outcome = login(url);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.stderr.contains(told), "{url}: {}", outcome.stderr);
    }
    assert!(stub.requests().is_empty());

    let other = Stub::start(|_| (404, "", "<html>".to_owned()));
    std::fs::write(user.file("ca.crt"), &other.ca_pem).unwrap();
    let outcome = login(&other.url());
    assert!(outcome.stderr.contains("(status 404): check its URL"), "{}", outcome.stderr);
}

#[test]
fn unchecked_trust_is_warned_about_and_never_remembered() {
    let stub = stub_with(|_| answer(200, &json!({"data": []})));
    let user = User::new();
    let login =
        ["login", &stub.url(), "--username", "alice", "--password-stdin", "--insecure-skip-tls-verify"];
    let login = user.run_with_input(&login, "hunter2\n");
    assert_eq!(login.code, 0, "{login:?}");
    assert!(login.stderr.starts_with("warning: "), "{}", login.stderr);

    let next = user.run(&["token", "list"]);
    assert_eq!(next.code, 1);
    assert!(next.stderr.contains("unknown authority"), "{}", next.stderr);
    assert_eq!(user.run(&["token", "list", "--insecure-skip-tls-verify"]).code, 0);
}

#[test]
fn a_key_beside_the_certificate_does_not_reach_the_profile() {
    let stub = stub_with(|_| answer(200, &json!({"data": []})));
    let user = User::new();
    let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    std::fs::write(user.file("both.pem"), format!("{key}{}", stub.ca_pem)).unwrap();
    std::fs::write(user.file("key.pem"), key).unwrap();
    let url = stub.url();
    let login = |file| {
        let arguments = ["login", &url, "--username", "alice", "--password-stdin", "--ca-file", file];
        user.run_with_input(&arguments, "hunter2\n")
    };
    assert_eq!(login("key.pem").code, 1);
    assert_eq!(login("both.pem").code, 0);
    assert!(!std::fs::read_to_string(user.profile()).unwrap().contains("c2VjcmV0"));
    assert_eq!(user.run(&["token", "list"]).code, 0);
}

#[test]
fn a_wrong_password_says_what_can_be_done() {
    let stub = Stub::start(|_| error(401, "Unauthorized", "authentication failed"));
    let user = User::new();
    std::fs::write(user.file("ca.crt"), &stub.ca_pem).unwrap();
    let login = ["login", &stub.url(), "--username", "alice", "--password-stdin", "--ca-file", "ca.crt"];
    let outcome = user.run_with_input(&login, "wrong\n");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.starts_with("error: name or password is wrong: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("portcullis user set-password"), "{}", outcome.stderr);
    assert!(!user.profile().exists());

    let silent = user.run_with_input(&login, "");
    assert_eq!(silent.code, 2, "an empty password is never sent: {silent:?}");
    assert_eq!(stub.requests().len(), 1);
}

#[test]
fn a_session_that_ended_says_how_to_begin_another() {
    let stub = stub_with(|_| error(401, "Unauthorized", "must authenticate"));
    let outcome = User::logged_in(&stub).run(&["token", "list"]);
    assert_eq!(outcome.code, 1);
    assert_eq!(
        outcome.stderr,
        format!("error: the session is no longer good: run `portcullis login {}`\n", stub.url())
    );
}

#[test]
fn the_credential_does_not_follow_a_redirect() {
    let thief = Stub::start(|_| answer(200, &json!({"data": []})));
    let target = thief.url();
    let stub = stub_with(move |_| {
        (302, Box::leak(format!("location: {target}/v3/tokens").into_boxed_str()), String::new())
    });
    let outcome = User::logged_in(&stub).run(&["token", "list"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(thief.requests().is_empty());
}

#[test]
fn logout_forgets_the_session_only_when_it_has_ended() {
    for (status, gone) in [(200, true), (401, true), (503, false)] {
        let stub = stub_with(move |_| match status {
            200 => (200, "", String::new()),
            status => error(status, "Code", "message"),
        });
        let user = User::logged_in(&stub);
        let outcome = user.run(&["logout"]);
        assert_eq!(stub.lines()[1], "POST /v3/tokens?action=logout");
        assert_eq!((outcome.code == 0, !user.profile().exists()), (gone, gone), "{status}: {outcome:?}");
    }
}

#[test]
fn answers_that_are_not_the_apis_are_no_crash() {
    for body in
        ["", "null", "[]", "{}", "<html>", "{\"data\": {}}", "{\"data\": [1]}", "{\"data\": [{\"id\": 5}]}"]
    {
        let stub = stub_with(move |_| (200, "", body.to_owned()));
        let outcome = User::logged_in(&stub).run(&["token", "list"]);
        assert_eq!(outcome.code, 1, "{body}: {outcome:?}");
        assert!(
            outcome.stderr.contains("does not answer like a Portcullis server"),
            "{body}: {}",
            outcome.stderr
        );
    }
}
