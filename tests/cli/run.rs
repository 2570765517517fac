//! `run`: a command has a token and a kubeconfig while it runs, and neither is left.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::command::{Outcome, PROGRAM, SESSION, User, stub_with};
use crate::stub::{Stub, error, json as answer};

const TOKEN: &str = "helm-token-user-bcdfgbcdfg:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";
const DELETED: &str = "DELETE /v3/tokens/helm-token-user-bcdfgbcdfg";
const RENEWED: &str = "POST /v3/tokens/helm-token-user-bcdfgbcdfg?action=renewLease";

#[test]
fn a_command_finds_a_token_in_its_kubeconfig_and_leaves_none() {
    let stub = gate(204);
    let user = User::logged_in(&stub);
    let script = "cat $KUBECONFIG; stat -c %a $KUBECONFIG $(dirname $KUBECONFIG); echo $KUBECONFIG; exit 7";
    let outcome = run(&user, &["sh", "-c", script]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (7, ""), "{outcome:?}");
    let mut lines = outcome.stdout.lines();
    let text = lines.next().unwrap();
    let (config, rest) = text.rsplit_once('}').unwrap();
    assert_eq!(rest, "600");
    let config: Value = serde_json::from_str(&format!("{config}}}")).unwrap();
    assert_eq!(config["users"][0]["user"]["token"], TOKEN);
    let cluster = &config["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], format!("{}/k8s/clusters/local", stub.url()));
    assert!(cluster["certificate-authority-data"].is_string());
    assert_eq!(lines.next(), Some("700"));
    assert!(!PathBuf::from(lines.next().unwrap()).parent().unwrap().exists());

    assert_eq!(stub.lines()[1..], ["GET /v3/clusters/local", "POST /v3/tokens", DELETED]);
    let made = &stub.requests()[2];
    assert_eq!(made.authorization, Some(format!("Bearer {SESSION}")));
    assert_eq!(made.body, json!({"kind": "helm-token", "lease": true, "description": "portcullis run: sh"}));
}

#[test]
fn the_end_of_the_command_is_told_as_shells_do() {
    let stub = gate(204);
    let user = User::logged_in(&stub);
    std::fs::write(user.file("no-program"), "").unwrap();
    for (command, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 255"], 255),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["no-such-program"], 127),
        (&["./no-program"], 126),
    ] {
        let outcome = run(&user, command);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""), "{command:?}");
        assert_eq!(stub.lines().last().unwrap(), DELETED, "{command:?}");
    }
}

#[test]
fn without_a_token_nothing_is_run() {
    let without_lease = stub_with(|request| match request.line.as_str() {
        "POST /v3/tokens" => answer(201, &json!({"id": "helm-token-user-bcdfgbcdfg", "token": TOKEN})),
        DELETED => (204, "", String::new()),
        _ => answer(200, &json!({})),
    });
    let forbidden = stub_with(|request| match request.line.as_str() {
        "POST /v3/tokens" => error(403, "PermissionDenied", "only administrators may do this"),
        _ => answer(200, &json!({})),
    });
    let no_cluster = stub_with(|_| error(404, "NotFound", "not found"));
    for (stub, told, last) in [
        (without_lease, "does not answer like a Portcullis server: leaseUntil", DELETED),
        (forbidden, "only administrators may do this", "POST /v3/tokens"),
        (no_cluster, "not found", "GET /v3/clusters/local"),
    ] {
        let user = User::logged_in(&stub);
        let outcome = run(&user, &["touch", "ran"]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
        assert_eq!(stub.lines().last().unwrap(), last);
        assert!(!user.file("ran").exists());
    }
    let outcome = run(&User::new(), &["true"]);
    assert_eq!(outcome.stderr, "error: not logged in: run `portcullis login URL` first\n");
}

#[test]
fn a_token_that_could_not_be_deleted_is_named() {
    let stub = gate(503);
    let outcome = run(&User::logged_in(&stub), &["sh", "-c", "exit 3"]);
    assert_eq!(outcome.code, 3, "the command's code all the same");
    assert!(outcome.stderr.contains("helm-token-user-bcdfgbcdfg was not deleted"), "{}", outcome.stderr);
    let gone = gate(404);
    let outcome = run(&User::logged_in(&gone), &["true"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "what is gone needs no deletion");
}

#[test]
fn signals_are_for_the_command() {
    let stub = gate(204);
    let user = User::logged_in(&stub);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let name = signal.as_str().trim_start_matches("SIG");
        let script = format!("trap 'exit 42' {name}; echo ready; while :; do sleep 0.02; done");
        let mut child = start(&user, &script);
        wait_for_line(&mut child, "ready");
        kill(pid(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(42), "{signal}");
        assert_eq!(stub.lines().last().unwrap(), DELETED);

        let mut child = start(&user, "echo ready; exec sleep 60");
        wait_for_line(&mut child, "ready");
        kill(pid(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal as i32), "{signal}");
    }
    assert!(left(&user).is_empty());
}

#[test]
fn the_keyboards_interrupt_reaches_the_command_once() {
    let stub = gate(204);
    let user = User::logged_in(&stub);
    // A loop ends with the status of its last `sleep`, which the interrupt may have ended.
    let script =
        "trap \"echo interrupted\" INT; echo ready; while [ ! -e stop ]; do sleep 0.02; done; exit 0";
    let command = format!("{PROGRAM} run --kind helm-token -- sh -c '{script}'");
    let mut terminal = user.on_terminal(&command, &[]);
    assert!(terminal.shows("ready"));
    terminal.type_line("\u{3}");
    assert!(terminal.shows("interrupted"));
    std::fs::write(user.file("stop"), "").unwrap();
    let (code, screen) = terminal.end();
    assert_eq!((code, screen.trim()), (0, ""));
    assert_eq!(stub.lines().last().unwrap(), DELETED);
}

#[test]
fn what_a_killed_run_leaves_goes_with_the_next() {
    let stub = gate(204);
    let user = User::logged_in(&stub);
    let mut killed = start(&user, "echo ready; read line");
    wait_for_line(&mut killed, "ready");
    let mut living = start(&user, "echo ready; read line; cat $KUBECONFIG");
    let mut output = wait_for_line(&mut living, "ready");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(left(&user).len(), 2);
    run(&user, &["true"]);
    assert_eq!(left(&user).len(), 1, "that of the living one");
    drop(living.stdin.take());
    let mut config = String::new();
    output.read_line(&mut config).unwrap();
    assert!(config.contains(TOKEN));
    assert_eq!(living.wait().unwrap().code(), Some(0));
    assert!(left(&user).is_empty());
}

#[test]
fn a_lease_is_renewed_while_the_command_runs() {
    let stub = gate(204);
    let user = User::logged_in(&stub);
    let mut child = start(&user, "read line");
    let start = Instant::now();
    while stub.lines().last().unwrap() != RENEWED {
        assert!(start.elapsed() < Duration::from_secs(40), "{:?}", stub.lines());
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(stub.lines()[1..], ["GET /v3/clusters/local", "POST /v3/tokens", RENEWED, DELETED]);
}

/// A stub that makes tokens and answers their deletion with `deletion`.
fn gate(deletion: u16) -> Stub {
    stub_with(move |request| match request.line.as_str() {
        "POST /v3/tokens" => {
            let lease = "2026-01-01T00:00:00Z";
            answer(201, &json!({"id": "helm-token-user-bcdfgbcdfg", "token": TOKEN, "leaseUntil": lease}))
        }
        DELETED if deletion == 204 => (204, "", String::new()),
        DELETED => error(deletion, "Code", "message"),
        _ => answer(200, &json!({})),
    })
}

fn run(user: &User, command: &[&str]) -> Outcome {
    let arguments = [&["run", "--kind", "helm-token", "--"], command].concat();
    user.run_in(&arguments, "", &[("XDG_RUNTIME_DIR", user.home().to_str().unwrap())])
}

/// A shell that runs beside the test, without a terminal. What is left of its files is in [`left`].
fn start(user: &User, script: &str) -> Child {
    let mut command = user.command("setsid");
    command.args(["--wait", PROGRAM, "run", "--kind", "helm-token", "--", "sh", "-c", script]);
    command.env("XDG_RUNTIME_DIR", user.home()).spawn().unwrap()
}

fn wait_for_line(child: &mut Child, line: &str) -> impl BufRead + use<> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut read = String::new();
    output.read_line(&mut read).unwrap();
    assert_eq!(read.trim(), line);
    output
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

fn left(user: &User) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(user.home()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().contains("portcullis-run-")).collect()
}
