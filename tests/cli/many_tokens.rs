//! Tokens by the thousand, and those of others.

use serde_json::{Value, json};

use crate::command::{PROGRAM, User, stub_with};
use crate::stub::{Answer, Request, Stub, error, json as answer};
use crate::terminal::Terminal;

fn token(number: u64) -> Value {
    json!({
        "type": "token", "id": format!("token-{number}"), "kind": "api-key", "userId": "user-bcdfg",
        "created": "2001-01-01T00:00:00Z", "expiresAt": "", "enabled": number.is_multiple_of(2),
        "lastUsedAt": "2001-01-01T00:00:00Z", "lastUsedAddress": "192.0.2.7", "lastUsedUserAgent": "kubectl/1"
    })
}

/// 25 tokens in pages of ten, or of what is asked for. The link to the next page is not to be followed.
fn pages(request: &Request) -> Answer {
    let parameter = |name: &str| {
        let query = request.line.split_once('?')?.1;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?.parse::<u64>().ok()
    };
    let (first, limit) = (parameter("marker").unwrap_or(0), parameter("limit").unwrap_or(10).min(10));
    let end = (first + limit).min(25);
    let mut pagination = json!({ "limit": limit, "partial": end < 25 });
    if end < 25 {
        pagination["next"] = json!(format!("https://elsewhere.test/v3/tokens?limit={limit}&marker={end}"));
    }
    answer(200, &json!({ "data": (first..end).map(token).collect::<Vec<_>>(), "pagination": pagination }))
}

fn with_users(request: &Request) -> Answer {
    match request.line.as_str() {
        "GET /v3/users" => {
            answer(200, &json!({"data": [{"id": "user-zzzzz", "username": "bob", "enabled": true}]}))
        }
        "GET /v3/clusters" => {
            answer(200, &json!({"data": [{"id": "c-zzzzz", "name": "eu-1", "state": "active"}]}))
        }
        line if line.starts_with("GET /v3/tokens") => answer(200, &json!({ "data": [] })),
        line => panic!("unexpected {line}"),
    }
}

#[test]
fn a_list_of_many_pages_is_one_list_in_every_form() {
    let stub = stub_with(pages);
    let user = User::logged_in(&stub);
    let names: Vec<String> = (0..25).map(|number| format!("token-{number}")).collect();
    assert_eq!(user.run(&["token", "list", "-o", "name"]).stdout, names.join("\n") + "\n");
    assert_eq!(
        stub.lines()[1..],
        ["GET /v3/tokens?me=true", "GET /v3/tokens?me=true&marker=10", "GET /v3/tokens?me=true&marker=20"]
    );
    let json: Value = serde_json::from_str(&user.run(&["token", "list", "-o", "json"]).stdout).unwrap();
    assert_eq!(json, Value::Array((0..25).map(token).collect()));
    let yaml = user.run(&["token", "list", "-o", "yaml"]).stdout;
    assert_eq!(yaml.lines().filter(|line| line.starts_with("- ")).count(), 25, "{yaml}");
    let table = user.run(&["token", "list"]).stdout;
    assert_eq!(table.lines().count(), 26, "one heading: {table}");
    assert!(table.contains("token-24   api-key   user-bcdfg   yes"), "{table}");
}

#[test]
fn a_limit_is_the_most_that_is_asked_for_and_shown() {
    let stub = stub_with(pages);
    let user = User::logged_in(&stub);
    let outcome = user.run(&["token", "list", "--limit", "12", "-o", "name"]);
    assert_eq!(outcome.stdout.lines().count(), 12);
    assert!(outcome.stderr.contains("There is more"), "{}", outcome.stderr);
    assert_eq!(
        stub.lines()[1..],
        ["GET /v3/tokens?me=true&limit=12", "GET /v3/tokens?me=true&limit=2&marker=10"]
    );
    assert_eq!(user.run(&["token", "list", "--limit", "0"]).code, 2);
}

#[test]
fn an_empty_list_is_a_list_in_every_form() {
    let stub = stub_with(with_users);
    let user = User::logged_in(&stub);
    assert_eq!(user.run(&["token", "list", "-o", "json"]).stdout, "[]\n");
    assert_eq!(user.run(&["token", "list", "-o", "yaml"]).stdout, "[]\n");
    assert_eq!(user.run(&["token", "list", "-o", "name"]).stdout, "");
    assert_eq!(user.run(&["token", "list"]).stdout.lines().count(), 1);
}

#[test]
fn a_server_that_pages_in_circles_is_left() {
    let circle = json!({"data": [], "pagination": {"next": "https://gate/v3/tokens?marker=a"}});
    let stub = stub_with(move |_| answer(200, &circle));
    assert_eq!(User::logged_in(&stub).run(&["token", "list"]).code, 1);
    assert_eq!(stub.lines().len(), 2);
}

#[test]
fn filters_become_parameters() {
    let stub = stub_with(with_users);
    let admin = User::logged_in(&stub);
    for (flags, query) in [
        (&["--all"][..], ""),
        (&["--expired"], "?me=true&expired=true"),
        (&["--all", "--never-expires"], "?neverExpires=true"),
        (&["--all", "--exceeds-max", "--kind", "agent"], "?kind=agent&exceedsMax=true"),
        (&["--user", "bob"], "?userId=user-zzzzz"),
        (&["--cluster", "eu-1"], "?me=true&clusterId=c-zzzzz"),
        (&["--all", "--cluster", "c-zzzzz"], "?clusterId=c-zzzzz"),
        (
            &["--all", "--last-used-before", "2026-01-31", "--sort", "last-used", "--descending"],
            "?lastUsedBefore=2026-01-31T00%3A00%3A00Z&sort=lastUsedAt&order=desc",
        ),
    ] {
        let outcome = admin.run(&[&["token", "list"], flags].concat());
        assert_eq!(outcome.code, 0, "{flags:?}: {outcome:?}");
        assert_eq!(stub.lines().pop().unwrap(), format!("GET /v3/tokens{query}"));
    }
    for wrong in
        [&["--kind", "robot"][..], &["--expired", "--never-expires"], &["--last-used-before", "soon"]]
    {
        assert_eq!(admin.run(&[&["token", "list"], wrong].concat()).code, 2, "{wrong:?}");
    }
    assert_eq!(admin.run(&["token", "list", "--user", "nobody"]).code, 1);
    assert_eq!(admin.run(&["token", "list", "--cluster", "us-1"]).code, 1);
}

/// 1,500 tokens match; bulk changes are answered as the API does.
fn bulk() -> Stub {
    stub_with(|request| {
        let names: Vec<_> = (0..100).map(|number| format!("token-{number}")).collect();
        let dry = request.line.ends_with("dryRun=true");
        match request.line.as_str() {
            line if line.starts_with("DELETE /v3/tokens?")
                || line.starts_with("POST /v3/tokens?action=shorten") =>
            {
                let mut result = json!({"type": "bulkResult", "dryRun": dry, "count": 1_500, "names": names});
                if dry && line.starts_with("DELETE") {
                    result["openStreams"] = json!({
                        "count": 3, "byKind": {"exec": 1, "watch": 2},
                        "streams": [{"kind": "watch", "clusterId": "local", "client": "192.0.2.7",
                                     "openedAt": "2001-01-01T00:00:00Z"}],
                    });
                }
                answer(200, &result)
            }
            line => panic!("unexpected {line}"),
        }
    })
}

#[test]
fn many_tokens_are_deleted_after_a_look_and_a_yes() {
    let stub = bulk();
    let user = User::logged_in(&stub);
    let dry = user.run(&["token", "delete", "--all", "--expired", "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.stdout.starts_with("1500 tokens: token-0, token-1,"), "{}", dry.stdout);
    let cut = "token-9 and 1490 more\nStreams that would be cut: 3 (1 exec, 2 watch)\n\nKIND ";
    assert!(dry.stdout.contains(cut) && dry.stdout.contains("\nwatch   local "), "{}", dry.stdout);
    let unasked = user.run(&["token", "delete", "--all", "--expired"]);
    assert_eq!(unasked.code, 2);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    let asked = "DELETE /v3/tokens?expired=true&dryRun=true";
    assert_eq!(stub.lines()[1..], [asked, asked], "nothing is deleted yet");

    let mut terminal =
        Terminal::start(user.command("script"), &format!("{PROGRAM} token delete --all --expired"));
    assert!(terminal.shows("token-9 and 1490 more") && terminal.shows("would be cut: 3 (1 exec, 2 watch)"));
    assert!(terminal.shows("Delete 1500 tokens? [y/N] "));
    terminal.type_line("n");
    assert_eq!(terminal.end().0, 1);
    assert_eq!(stub.lines().pop().unwrap(), asked);

    let done = user.run(&["token", "delete", "--expired", "--yes"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stderr.contains("1500 tokens were deleted."), "{}", done.stderr);
    assert_eq!(stub.lines().pop().unwrap(), "DELETE /v3/tokens?me=true&expired=true&dryRun=false");
}

#[test]
fn many_tokens_are_shortened_after_a_look_and_a_yes() {
    let stub = bulk();
    let user = User::logged_in(&stub);
    assert_eq!(user.run(&["token", "shorten"]).code, 2);
    assert_eq!(user.run(&["token", "shorten", "--exceeds-max"]).code, 2, "there is nobody to ask");
    let done = user.run(&["token", "shorten", "--exceeds-max", "--yes"]);
    assert!(done.stderr.contains("1500 tokens were shortened.") && !done.stderr.contains("cut"), "{done:?}");
    assert_eq!(stub.lines().pop().unwrap(), "POST /v3/tokens?action=shorten&exceedsMax=true&dryRun=false");
}

#[test]
fn nobody_deletes_all_tokens_by_leaving_the_filter_out() {
    let stub = bulk();
    let user = User::logged_in(&stub);
    for arguments in [&["--all", "--yes"][..], &["--yes"], &["token-zzzzz", "--expired"]] {
        assert_eq!(user.run(&[&["token", "delete"], arguments].concat()).code, 2, "{arguments:?}");
    }
    assert_eq!(stub.lines().len(), 1);
}

#[test]
fn a_clamped_token_comes_with_the_servers_warning() {
    let stub = stub_with(|request| {
        let mut made = token(1);
        made["token"] = json!("token-1:the-key");
        made["ttl"] = json!(7_776_000_000_u64);
        let (status, _, body) = answer(201, &made);
        let warned = "content-type: application/json\r\nwarning: 299 - \"the maximum is 90 days\"";
        (status, if request.body["ttl"] == 0 { "content-type: application/json" } else { warned }, body)
    });
    let user = User::logged_in(&stub);
    let outcome = user.run(&["token", "create", "--ttl", "400d"]);
    assert_eq!(outcome.stdout, "token-1:the-key\n");
    assert!(outcome.stderr.starts_with("warning: the maximum is 90 days\n"), "{}", outcome.stderr);
    let silent = user.run(&["token", "create", "--ttl", "0"]);
    assert!(silent.stderr.starts_with("warning: asked for ever, it is good for 90d\n"), "{}", silent.stderr);
}

#[test]
fn administrators_make_tokens_of_any_kind_for_others() {
    let stub = stub_with(|request| match request.line.as_str() {
        "POST /v3/tokens" => {
            answer(201, &json!({"id": "agent-user-zzzzz", "token": "agent-user-zzzzz:the-key"}))
        }
        _ => with_users(request),
    });
    let admin = User::logged_in(&stub);
    let outcome = admin.run(&["token", "create", "--kind", "agent", "--user", "bob"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "agent-user-zzzzz:the-key\n"), "{outcome:?}");
    let body = stub.requests().pop().unwrap().body;
    assert_eq!(body, json!({"type": "token", "kind": "agent", "userId": "user-zzzzz"}));
    assert_eq!(
        admin.run(&["token", "create", "--kind", "session"]).code,
        2,
        "sessions are made by logging in"
    );
}

#[test]
fn tokens_are_switched_and_rotated() {
    let stub = stub_with(|request| match request.line.as_str() {
        "POST /v3/tokens/token-1?action=disable" | "POST /v3/tokens/token-2?action=disable" => {
            answer(200, &token(1))
        }
        "POST /v3/tokens/token-1?action=enable" => {
            error(403, "PermissionDenied", "an administrator did that")
        }
        "POST /v3/tokens/token-1?action=rotate" => {
            answer(201, &json!({"id": "token-3", "token": "token-3:the-key", "expiresAt": ""}))
        }
        line => panic!("unexpected {line}"),
    });
    let user = User::logged_in(&stub);
    assert_eq!(user.run(&["token", "disable", "token-1", "token-2"]).code, 0);
    assert_eq!(user.run(&["token", "disable", "token-1", "token-2:the-key"]).code, 2);
    assert_eq!(stub.lines().len(), 3, "a mistake in one name leaves all alone");
    let refused = user.run(&["token", "enable", "token-1"]);
    assert_eq!(refused.stderr, "error: an administrator did that (403 PermissionDenied)\n");

    let rotated = user.run(&["token", "rotate", "token-1", "--overlap", "90m", "--ttl", "12h"]);
    assert_eq!((rotated.code, rotated.stdout.as_str()), (0, "token-3:the-key\n"));
    assert!(rotated.stderr.contains("replaces token-1, which is good for another 90m"), "{}", rotated.stderr);
    assert_eq!(stub.requests().pop().unwrap().body, json!({"overlapSeconds": 5_400, "ttl": 43_200_000}));
    user.run(&["token", "rotate", "token-1"]);
    assert_eq!(stub.requests().pop().unwrap().body, json!({"overlapSeconds": 0}));
}
