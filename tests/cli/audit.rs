//! The list of what happened.

use serde_json::json;

use crate::command::{User, stub_with};
use crate::stub::json as answer;

#[test]
fn events_are_listed_as_they_are_asked_for() {
    let stub = stub_with(|request| {
        if request.line == "GET /v3/users" {
            return answer(200, &json!({"data": [{"id": "user-bcdfg", "username": "bob", "enabled": true}]}));
        }
        let event = json!({
            "type": "auditEvent", "id": "17", "created": "2026-01-31T12:00:00Z", "action": "token.create",
            "actor": "user-bcdfg", "token": "token-zzzzz", "user": null, "client": "192.0.2.7", "outcome": "done",
            "message": "a new token\u{1b}[2J"
        });
        answer(200, &json!({ "data": [event] }))
    });
    let admin = User::logged_in(&stub);
    let list = ["audit", "list", "--action", "token.create", "--since", "2026-01-31", "--limit", "5"];
    let table = admin.run(&list).stdout;
    assert!(table.contains("2026-01-31T12:00:00Z   token.create   done"), "{table}");
    assert!(!table.contains('\u{1b}'), "what others write can't steer the terminal: {table}");
    let expected = "GET /v3/auditevents?action=token.create&since=2026-01-31T00%3A00%3A00Z&limit=5";
    assert_eq!(stub.lines().pop().unwrap(), expected);
    assert_eq!(admin.run(&["audit", "list", "-o", "name"]).stdout, "17\n");
    for (typed, id) in [("bob", "user-bcdfg"), ("user-gone1", "user-gone1")] {
        admin.run(&["audit", "list", "--actor", typed]);
        assert_eq!(stub.lines().pop().unwrap(), format!("GET /v3/auditevents?actor={id}"));
    }
}
