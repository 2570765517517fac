//! Users.

use serde_json::{Value, json};

use crate::command::{User, stub_with};
use crate::stub::{Answer, Request, error, json as answer};

fn user(id: &str, name: &str) -> Value {
    json!({
        "type": "user", "id": id, "username": name, "groups": ["dev", "ops"], "admin": false, "enabled": true,
        "created": "2001-01-01T00:00:00Z"
    })
}

fn users(request: &Request) -> Answer {
    match request.line.as_str() {
        "POST /v3/users" => answer(201, &user("user-zzzzz", "bob")),
        "GET /v3/users" => {
            let others =
                [user("user-bcdfg", "alice"), user("user-zzzzz", "bob"), user("user-yyyyy", "user-bcdfg")];
            answer(200, &json!({"data": others}))
        }
        "DELETE /v3/users/user-zzzzz" => (204, "", String::new()),
        "PUT /v3/users/user-zzzzz" | "POST /v3/users/user-zzzzz?action=setpassword" => {
            answer(200, &user("user-zzzzz", "bob"))
        }
        line => panic!("unexpected {line}"),
    }
}

#[test]
fn a_user_is_made_with_a_password_from_standard_input() {
    let stub = stub_with(users);
    let admin = User::logged_in(&stub);
    let create = ["user", "create", "bob", "--group", "dev", "--group", "ops", "--admin", "--password-stdin"];
    let outcome = admin.run_with_input(&create, "correct horse\n");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!outcome.stdout.contains("horse") && !outcome.stderr.contains("horse"));
    let expected = json!({
        "username": "bob", "password": "correct horse", "groups": ["dev", "ops"], "admin": true, "enabled": true
    });
    assert_eq!(stub.requests()[1].body, expected);

    let without_terminal = admin.run(&["user", "create", "bob"]);
    assert_eq!(without_terminal.code, 2);
    assert!(without_terminal.stderr.contains("--password-stdin"), "{}", without_terminal.stderr);
}

#[test]
fn users_go_by_name_or_id() {
    let stub = stub_with(users);
    let admin = User::logged_in(&stub);
    let cases: [(&[&str], &str, Value); 6] = [
        (&["disable", "bob"], "PUT /v3/users/user-zzzzz", json!({"enabled": false})),
        (&["enable", "user-zzzzz"], "PUT /v3/users/user-zzzzz", json!({"enabled": true})),
        (&["set-groups", "bob", "a", "b"], "PUT /v3/users/user-zzzzz", json!({"groups": ["a", "b"]})),
        (&["set-groups", "bob", "--none"], "PUT /v3/users/user-zzzzz", json!({"groups": []})),
        (
            &["set-password", "bob", "--password-stdin"],
            "POST /v3/users/user-zzzzz?action=setpassword",
            json!({"newPassword": "new"}),
        ),
        (&["delete", "bob"], "DELETE /v3/users/user-zzzzz", Value::Null),
    ];
    for (arguments, line, body) in cases {
        let outcome = admin.run_with_input(&[&["user"], arguments].concat(), "new\n");
        assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
        let request = stub.requests().pop().unwrap();
        assert_eq!((request.line.as_str(), request.body), (line, body));
    }
}

#[test]
fn a_new_password_ends_what_is_asked_for_and_says_so() {
    let stub = stub_with(|request| match request.line.as_str() {
        "POST /v3/users?action=changepassword" => (200, "", String::new()),
        _ => users(request),
    });
    let user = User::logged_in(&stub);
    for (revoke, word, outcome) in [
        ("sessions", "sessions", "sessions have ended, other tokens stay good"),
        ("all", "all", "all tokens were deleted, sessions with them"),
    ] {
        let set = ["user", "set-password", "bob", "--password-stdin", "--revoke", revoke];
        let set = user.run_with_input(&set, "new\n");
        assert!(set.stderr.contains(outcome), "{}", set.stderr);
        let body = stub.requests().pop().unwrap().body;
        assert_eq!(body, json!({"newPassword": "new", "revokeTokens": word}));

        let own =
            user.run_with_input(&["change-password", "--password-stdin", "--revoke", revoke], "old\nnew\n");
        assert_eq!(own.code, 0, "{own:?}");
        assert!(own.stderr.contains("of alice") && own.stderr.contains(outcome), "{}", own.stderr);
        let body = stub.requests().pop().unwrap().body;
        assert_eq!(body, json!({"currentPassword": "old", "newPassword": "new", "revokeTokens": word}));
    }
    let own = user.run_with_input(&["change-password", "--password-stdin"], "old\nnew\n");
    assert!(own.stderr.contains("tokens stay good"), "{}", own.stderr);
    assert_eq!(stub.requests().pop().unwrap().body, json!({"currentPassword": "old", "newPassword": "new"}));
    let half = user.run_with_input(&["change-password", "--password-stdin"], "old\n");
    assert_eq!(half.code, 2, "{half:?}");
}

#[test]
fn a_user_who_is_not_certain_is_not_touched() {
    let stub = stub_with(users);
    let admin = User::logged_in(&stub);
    for name in ["nobody", "user-bcdfg", "ali", "ALICE"] {
        let outcome = admin.run(&["user", "delete", name]);
        assert_eq!(outcome.code, 1, "{name}: {outcome:?}");
        assert!(outcome.stderr.contains(name), "{}", outcome.stderr);
    }
    assert!(stub.lines().iter().all(|line| !line.starts_with("DELETE")));
}

#[test]
fn lists_of_users_have_all_forms() {
    let stub = stub_with(users);
    let admin = User::logged_in(&stub);
    let table = admin.run(&["user", "list"]).stdout;
    assert!(table.contains("alice        user-bcdfg   dev,ops   no      yes"), "{table}");
    assert_eq!(admin.run(&["user", "list", "-o", "name"]).stdout, "alice\nbob\nuser-bcdfg\n");
    assert!(admin.run(&["user", "show", "bob", "-o", "yaml"]).stdout.contains("username: bob\n"));
}

#[test]
fn who_may_not_is_told_so_by_the_api() {
    let stub = stub_with(|_| error(403, "Forbidden", "only administrators see other users"));
    let outcome = User::logged_in(&stub).run(&["user", "list"]);
    assert_eq!(outcome.code, 1);
    assert_eq!(outcome.stderr, "error: only administrators see other users (403 Forbidden)\n");
}
