//! `credential`: what kubectl is given, when somebody is asked for a password, and what is kept.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::command::{Outcome, PROGRAM, SESSION, User, stub_with};
use crate::stub::{Answer, Request, Stub, error, json as answer};
use crate::terminal::Terminal;

const TOKEN: &str = "kubeconfig-user-bcdfgbcdfg:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";
const LOGIN: &str = "POST /v3-public/localProviders/local?action=login";
const CHECK: &str = "GET /v3/tokens/kubeconfig-user-bcdfgbcdfg";
const HOURS_16: u64 = 16 * 3_600_000;

#[test]
fn a_password_is_asked_for_once_and_the_token_is_kept_private() {
    let stub = gate(|_| error(500, "ServerError", "unreachable"));
    let user = User::new();
    let mut terminal = credential_on_terminal(&user, &stub, "", "v1", true);
    assert!(terminal.shows("Username: "));
    terminal.type_line("alice");
    assert!(terminal.shows("Password of alice: "));
    terminal.type_secret("hunter2 hunter2");
    let (code, screen) = terminal.end();
    assert_eq!((code, screen.trim()), (0, ""), "the password is not shown");
    let login = &stub.requests()[0];
    assert_eq!(login.body["responseType"], "kubeconfig");
    assert_eq!(login.body["username"], "alice");
    assert_eq!(login.body["password"], "hunter2 hunter2");

    let given: Value = serde_json::from_slice(&std::fs::read(user.file("given")).unwrap()).unwrap();
    assert_eq!(given["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!(given["kind"], "ExecCredential");
    assert_eq!(given["status"]["token"], TOKEN);
    assert!(given["status"]["expirationTimestamp"].as_str().unwrap().ends_with('Z'));

    let kept = kept(&user);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&kept), 0o600);
    assert_eq!(mode(kept.parent().unwrap()), 0o700);
    assert_eq!(mode(&kept.with_extension("lock")), 0o600);
    assert!(!std::fs::read_to_string(&kept).unwrap().contains("hunter2"));
}

#[test]
fn a_token_is_handed_out_again_while_the_server_knows_it() {
    let revoked = Arc::new(AtomicBool::new(false));
    let by_server = Arc::clone(&revoked);
    let stub = gate(move |_| {
        if by_server.load(Ordering::Relaxed) {
            error(401, "Unauthorized", "must authenticate")
        } else {
            answer(200, &json!({"id": "kubeconfig-user-bcdfgbcdfg"}))
        }
    });
    let user = User::new();
    log_in(&user, &stub);
    // Within a minute: kubectl may have been refused in between.
    assert_eq!(token_of(&credential(&user, &stub, false)), TOKEN);
    assert_eq!(stub.lines()[1..], [CHECK]);
    assert_eq!(stub.requests()[1].authorization, Some(format!("Bearer {TOKEN}")));
    // Later, the token is as good as its end says.
    handed_out_earlier(&user);
    assert_eq!(token_of(&credential(&user, &stub, false)), TOKEN);
    assert_eq!(stub.lines().len(), 2);

    revoked.store(true, Ordering::Relaxed);
    let refused = credential(&user, &stub, false);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains(&format!("portcullis login {}", stub.url())), "{}", refused.stderr);
    assert!(!kept(&user).exists(), "a revoked token is forgotten");
    log_in(&user, &stub);
    assert_eq!(stub.lines().iter().filter(|line| *line == LOGIN).count(), 2);
}

#[test]
fn a_server_that_gives_no_answer_takes_no_token_away() {
    let stub = gate(|_| error(503, "ServiceUnavailable", "token store is unreachable"));
    let user = User::new();
    log_in(&user, &stub);
    let outcome = credential(&user, &stub, false);
    assert_eq!(token_of(&outcome), TOKEN);
    assert!(outcome.stderr.contains("token store is unreachable"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("without knowing whether it is still good"), "{}", outcome.stderr);
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let stub = gate(|_| error(500, "ServerError", "unreachable"));
    let user = User::new();
    let outcome = credential(&user, &stub, true);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.contains("nobody to ask"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("from a terminal"), "{}", outcome.stderr);

    // There is one, and kubectl says that its user's input is for something else.
    let (code, screen) = credential_on_terminal(&user, &stub, "", "v1", false).end();
    assert_eq!(code, 1);
    assert!(screen.contains("nobody to ask"), "{screen}");
    assert!(stub.requests().is_empty());
}

#[test]
fn two_at_once_ask_once() {
    let stub = gate(|_| error(500, "ServerError", "unreachable"));
    let user = User::new();
    let mut first = credential_on_terminal(&user, &stub, "--user=alice", "v1", true);
    assert!(first.shows("Password of alice: "));
    let mut second = credential_on_terminal(&user, &stub, "--user=alice", "v1beta1", true);
    assert!(second.shows("Waiting for another kubectl"));
    first.type_secret("hunter2 hunter2");
    assert_eq!(first.end().0, 0);
    let (code, screen) = second.end();
    assert_eq!((code, screen.trim()), (0, "of yours, which is logging in."));
    assert_eq!(stub.lines(), [LOGIN], "what the first was given a moment ago is good");
    let given = std::fs::read_to_string(user.file("given")).unwrap();
    let given: Value = serde_json::from_str(&given).unwrap();
    assert_eq!(given["apiVersion"], "client.authentication.k8s.io/v1beta1", "the second wrote last");
}

#[test]
fn a_session_at_the_same_server_makes_a_password_unnecessary() {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3);
    let stub = stub_with(move |request| match request.line.as_str() {
        "GET /v3/tokens/token-bcdfg" => answer(200, &json!({"expiresAt": end.to_string()})),
        "POST /v3/tokens" => answer(201, &json!({"token": TOKEN, "ttl": 10_000_000})),
        _ => (200, "", String::new()),
    });
    let user = User::logged_in(&stub);
    let other = Stub::start(|_| error(500, "ServerError", "unreachable"));
    // A kubeconfig can't make us send the session to somebody else.
    let info = exec_info("v1", true, &other.ca_pem);
    let arguments = ["credential", "--server", &stub.url()];
    let outcome = user.run_in(&arguments, "", &[("KUBERNETES_EXEC_INFO", &info)]);
    assert_eq!(token_of(&outcome), TOKEN);
    assert_eq!(stub.lines()[1..], ["GET /v3/tokens/token-bcdfg", "POST /v3/tokens"]);
    let made = &stub.requests()[2];
    assert_eq!(made.authorization, Some(format!("Bearer {SESSION}")));
    assert_eq!(made.body["kind"], "kubeconfig");
    let left = made.body["ttl"].as_u64().unwrap();
    assert!((10_700_000..=10_800_000).contains(&left), "as long as the session: {left}");

    // Another name, another password.
    let arguments = ["credential", "--server", &stub.url(), "--user", "bob"];
    assert!(user.run(&arguments).stderr.contains("nobody to ask"));

    assert_eq!(user.run(&["logout"]).code, 0);
    let ends: Vec<_> = stub.requests().into_iter().rev().take(2).collect();
    assert!(ends.iter().all(|end| end.line == "POST /v3/tokens?action=logout"), "{ends:?}");
    assert_eq!(ends[0].authorization, Some(format!("Bearer {TOKEN}")));
    assert!(!kept(&user).exists());
}

#[test]
fn a_session_that_has_ended_leaves_the_password() {
    let stub = stub_with(|_| error(401, "Unauthorized", "must authenticate"));
    let user = User::logged_in(&stub);
    let outcome = credential(&user, &stub, true);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("nobody to ask"), "{}", outcome.stderr);
}

#[test]
fn what_is_forgotten_is_ended() {
    let stub = gate(|_| (200, "", String::new()));
    let user = User::new();
    log_in(&user, &stub);
    let elsewhere = user.run(&["credential", "--forget", "--server=https://elsewhere.example.org"]);
    assert_eq!(
        (elsewhere.code, elsewhere.stderr.as_str()),
        (0, "Forgot 0 of the tokens that kubectl was given.\n")
    );
    assert!(kept(&user).exists());
    let forgotten = user.run(&["credential", "--forget"]);
    assert_eq!(
        (forgotten.code, forgotten.stderr.as_str()),
        (0, "Forgot 1 of the tokens that kubectl was given.\n")
    );
    assert!(!kept(&user).exists());
    assert_eq!(stub.lines()[1..], ["POST /v3/tokens?action=logout"]);
    assert_eq!(stub.requests()[1].authorization, Some(format!("Bearer {TOKEN}")));
}

#[test]
fn what_is_damaged_is_no_token() {
    let stub = gate(|_| error(500, "ServerError", "unreachable"));
    let user = User::new();
    log_in(&user, &stub);
    for text in ["", "{", "[]", "{\"token\": \"a:b\"}"] {
        std::fs::write(kept(&user), text).unwrap();
        let outcome = credential(&user, &stub, false);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{text}");
    }
    for info in ["", "{}", "{\"apiVersion\": \"client.authentication.k8s.io/v1alpha1\"}"] {
        let arguments = ["credential", "--server", &stub.url()];
        let outcome = user.run_in(&arguments, "", &[("KUBERNETES_EXEC_INFO", info)]);
        assert_eq!(outcome.code, 1);
        assert!(outcome.stderr.contains("KUBERNETES_EXEC_INFO"), "{}", outcome.stderr);
    }
}

/// A stub that gives [`TOKEN`] to anybody who logs in.
fn gate(then: impl Fn(&Request) -> Answer + Send + 'static) -> Stub {
    Stub::start(move |request| match request.line.as_str() {
        LOGIN => answer(201, &json!({"id": "kubeconfig-user-bcdfgbcdfg", "token": TOKEN, "ttl": HOURS_16})),
        _ => then(request),
    })
}

fn credential(user: &User, stub: &Stub, interactive: bool) -> Outcome {
    let info = exec_info("v1", interactive, &stub.ca_pem);
    user.run_in(&["credential", "--server", &stub.url()], "", &[("KUBERNETES_EXEC_INFO", &info)])
}

/// What is handed out goes to the file `given`.
fn credential_on_terminal(
    user: &User,
    stub: &Stub,
    more: &str,
    version: &str,
    interactive: bool,
) -> Terminal {
    let command = format!("{PROGRAM} credential --server={} {more} > given", stub.url());
    user.on_terminal(&command, &[("KUBERNETES_EXEC_INFO", &exec_info(version, interactive, &stub.ca_pem))])
}

fn log_in(user: &User, stub: &Stub) {
    let mut terminal = credential_on_terminal(user, stub, "", "v1", true);
    assert!(terminal.shows("Username: "));
    terminal.type_line("alice");
    assert!(terminal.shows("Password of alice: "));
    terminal.type_secret("hunter2 hunter2");
    assert_eq!(terminal.end().0, 0);
}

fn exec_info(version: &str, interactive: bool, ca_pem: &str) -> String {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(ca_pem);
    json!({
        "apiVersion": format!("client.authentication.k8s.io/{version}"),
        "kind": "ExecCredential",
        "spec": {
            "interactive": interactive,
            "cluster": { "server": "https://unused", "certificate-authority-data": data, "config": null },
        },
    })
    .to_string()
}

fn token_of(outcome: &Outcome) -> String {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let given: Value = serde_json::from_str(&outcome.stdout).unwrap();
    given["status"]["token"].as_str().unwrap().to_owned()
}

/// The file of the only token that is kept, or was.
fn kept(user: &User) -> PathBuf {
    let entries = std::fs::read_dir(user.file(".cache/portcullis/credentials")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(|path| path.extension().unwrap() == "lock").unwrap().with_extension("json")
}

/// Makes the kept token one that was handed out an hour ago.
fn handed_out_earlier(user: &User) {
    let path = kept(user);
    let mut document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    document["handedOutAt"] = (document["handedOutAt"].as_u64().unwrap() - 3_600_000).into();
    std::fs::write(path, document.to_string()).unwrap();
}
