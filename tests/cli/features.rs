//! Features, of which one exists and can't be undone.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::command::{PROGRAM, User, stub_with};
use crate::stub::{Answer, Request, Stub, error, json as answer};
use crate::terminal::Terminal;

const BACKUP: &str = "/var/lib/portcullis/backups/before.db";

fn feature(state: &str, done: u64, failure: Option<&str>) -> Value {
    json!({
        "type": "feature", "id": "token-hashing", "name": "token-hashing", "value": state == "on", "default": true,
        "locked": state == "on", "description": "keys of tokens are stored as hashes",
        "status": {"state": state, "done": done, "total": 100_000, "backup": BACKUP, "error": failure}
    })
}

/// A server that goes on to the next of `states` with each question after the switch.
fn server(states: &'static [(&'static str, u64)], end: fn() -> Value) -> Stub {
    let switched: Mutex<Option<usize>> = Mutex::new(None);
    stub_with(move |request: &Request| -> Answer {
        let mut at = switched.lock().unwrap();
        match (request.line.as_str(), *at) {
            ("GET /v3/features/token-hashing", None) => answer(200, &feature("off", 0, None)),
            ("GET /v3/features/token-hashing", Some(step)) => {
                *at = Some(step + 1);
                let (state, done) = states.get(step).copied().unwrap_or_default();
                answer(200, &if state.is_empty() { end() } else { feature(state, done, None) })
            }
            ("PUT /v3/features/token-hashing", None) if request.body == json!({"value": true}) => {
                *at = Some(0);
                answer(202, &feature("backup", 0, None))
            }
            (line, at) => panic!("unexpected {line} at {at:?}"),
        }
    })
}

#[test]
fn hashing_is_switched_on_step_by_step_and_its_backup_is_named() {
    let states = &[("off", 0), ("backup", 0), ("hashing", 50_000), ("vacuum", 0)];
    let stub = server(states, || feature("on", 100_000, None));
    let outcome = User::logged_in(&stub).run(&["feature", "enable", "token-hashing", "--yes"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for part in
        ["can't be undone", "hashing 50,000 of 100,000\n", BACKUP, "token-hashing is on. Clients keep"]
    {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
}

#[test]
fn without_a_terminal_only_yes_is_an_answer() {
    let stub = server(&[], || feature("on", 100_000, None));
    let outcome = User::logged_in(&stub).run(&["feature", "enable", "token-hashing"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("can't be undone"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--yes"), "{}", outcome.stderr);
    assert_eq!(stub.lines()[1..], ["GET /v3/features/token-hashing"], "nothing was switched");
}

#[test]
fn on_a_terminal_it_is_asked_for_and_drawn() {
    let states = &[("backup", 0), ("hashing", 25_000), ("hashing", 75_000), ("vacuum", 0)];
    let stub = server(states, || feature("on", 100_000, None));
    let user = User::logged_in(&stub);
    let command = format!("{PROGRAM} feature enable token-hashing");
    let mut declined = Terminal::start(user.command("script"), &command);
    assert!(declined.shows("Switch token-hashing on for good? [y/N] "));
    declined.type_line("");
    let (code, screen) = declined.end();
    assert!(code == 1 && screen.contains("error: nothing was changed"), "{screen}");
    assert!(stub.lines().iter().all(|line| !line.starts_with("PUT")));

    let mut script = user.command("script");
    script.env("TERM", "xterm");
    let mut agreed = Terminal::start(script, &command);
    assert!(agreed.shows("[y/N] "));
    agreed.type_line("y");
    assert!(agreed.shows("25,000 of 100,000"), "a bar is drawn");
    let (code, screen) = agreed.end();
    assert!(code == 0 && screen.contains("token-hashing is on."), "{screen}");
}

#[test]
fn a_switch_that_fails_on_the_server_is_a_failure_here() {
    let stub = server(&[("backup", 0)], || feature("off", 0, Some("no room for the backup")));
    let outcome = User::logged_in(&stub).run(&["feature", "enable", "token-hashing", "--yes"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.ends_with("token-hashing: no room for the backup\n"), "{}", outcome.stderr);
}

#[test]
fn a_switch_that_somebody_else_began_is_followed_without_a_question() {
    let stub = stub_with({
        let states = Mutex::new(vec!["on", "hashing", "hashing"]);
        move |request| {
            assert!(request.line.starts_with("GET"), "{}", request.line);
            answer(200, &feature(states.lock().unwrap().pop().unwrap(), 1, None))
        }
    });
    assert_eq!(User::logged_in(&stub).run(&["feature", "enable", "token-hashing"]).code, 0);
}

#[test]
fn what_is_on_stays_on() {
    let stub = stub_with(|request| match request.line.as_str() {
        "GET /v3/features/token-hashing" => answer(200, &feature("on", 1, None)),
        "GET /v3/features" => answer(200, &json!({"data": [feature("on", 1, None)]})),
        "PUT /v3/features/token-hashing" => error(
            422,
            "InvalidOption",
            "token-hashing can't be switched off: keys can't be had back from hashes",
        ),
        line => panic!("unexpected {line}"),
    });
    let admin = User::logged_in(&stub);
    let again = admin.run(&["feature", "enable", "token-hashing"]);
    assert_eq!((again.code, again.stderr.contains("is on already")), (0, true), "{again:?}");
    let off = admin.run(&["feature", "disable", "token-hashing"]);
    assert_eq!(off.code, 1);
    assert!(off.stderr.contains("can't be switched off") && off.stderr.contains("422"), "{}", off.stderr);
    let table = admin.run(&["feature", "list"]).stdout;
    assert!(table.contains("token-hashing   true    on"), "{table}");
}
