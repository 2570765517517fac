//! Settings.

use serde_json::{Value, json};

use crate::command::{User, stub_with};
use crate::stub::{Answer, Request, error, json as answer};

fn setting(name: &str, value: &str, source: &str) -> Value {
    let unit = if name.ends_with("minutes") { "minutes" } else { "" };
    json!({
        "type": "setting", "id": name, "name": name, "value": value, "default": "960", "customized": source == "db",
        "source": source, "unit": unit, "description": "how long"
    })
}

fn settings(request: &Request) -> Answer {
    let session = setting("auth-user-session-ttl-minutes", "480", "db");
    match request.line.as_str() {
        "GET /v3/settings" => {
            let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
            answer(200, &json!({"data": [session, setting("cacerts", pem, "env")]}))
        }
        "GET /v3/settings/auth-user-session-ttl-minutes" => answer(200, &session),
        "POST /v3/settings?action=set" => {
            let values = request.body["values"].as_object().unwrap();
            let set = |(name, value): (&String, &Value)| match value.as_str().unwrap() {
                "" => setting(name, "960", "default"),
                value => setting(name, value, "db"),
            };
            answer(200, &json!({"data": values.iter().map(set).collect::<Vec<_>>()}))
        }
        "GET /v3/settings/nonsense" => error(404, "NotFound", "there is no setting of this name"),
        line => panic!("unexpected {line}"),
    }
}

#[test]
fn a_setting_is_shown_with_unit_default_and_source() {
    let stub = stub_with(settings);
    let user = User::logged_in(&stub);
    let table = user.run(&["setting", "list"]).stdout;
    let heading: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["NAME", "VALUE", "UNIT", "DEFAULT", "SOURCE"]);
    assert!(table.contains("auth-user-session-ttl-minutes   480"), "{table}");
    assert!(table.contains("-----BEGIN CERTIFICATE-----…"), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    assert_eq!(
        user.run(&["setting", "list", "-o", "name"]).stdout,
        "auth-user-session-ttl-minutes\ncacerts\n"
    );
    let one = user.run(&["setting", "get", "auth-user-session-ttl-minutes"]).stdout;
    for fact in
        ["Value:        480 minutes", "Default:      960", "Source:       db", "Description:  how long"]
    {
        assert!(one.contains(fact), "{fact}: {one}");
    }
    let missing = user.run(&["setting", "get", "nonsense"]);
    assert_eq!(missing.stderr, "error: there is no setting of this name (404 NotFound)\n");
}

#[test]
fn what_is_set_together_is_one_request() {
    let stub = stub_with(settings);
    let admin = User::logged_in(&stub);
    let both = ["auth-token-max-ttl-minutes=1440", "kubeconfig-default-token-ttl-minutes=1440"];
    let outcome = admin.run(&[&["setting", "set"], &both[..]].concat());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(
        outcome.stderr.contains("auth-token-max-ttl-minutes is 1440 minutes now (db)."),
        "{}",
        outcome.stderr
    );
    let values = json!({
        "auth-token-max-ttl-minutes": "1440", "kubeconfig-default-token-ttl-minutes": "1440"
    });
    assert_eq!(stub.requests()[1].body, json!({ "values": values }));

    let reset = admin.run(&["setting", "reset", "auth-user-session-ttl-minutes"]);
    assert!(reset.stderr.contains("is 960 minutes now (default)."), "{}", reset.stderr);
    assert_eq!(stub.requests()[2].body, json!({"values": {"auth-user-session-ttl-minutes": ""}}));

    std::fs::write(admin.file("ca.pem"), "a\nb\n").unwrap();
    assert_eq!(admin.run(&["setting", "set", "cacerts=@ca.pem"]).code, 0);
    assert_eq!(stub.requests()[3].body, json!({"values": {"cacerts": "a\nb\n"}}));
}

#[test]
fn a_slip_of_the_pen_sets_nothing() {
    let stub = stub_with(settings);
    let admin = User::logged_in(&stub);
    for (arguments, code) in [
        (&["set"][..], 2),
        (&["set", "auth-token-max-ttl-minutes"], 2),
        (&["set", "a=1", "=2"], 2),
        (&["set", "a=1", "a=2"], 2),
        (&["set", "a="], 2),
        (&["set", "a=1", "cacerts=@missing.pem"], 1),
        (&["reset"], 2),
        (&["reset", "a", "a"], 2),
    ] {
        assert_eq!(admin.run(&[&["setting"], arguments].concat()).code, code, "{arguments:?}");
    }
    assert_eq!(stub.lines().len(), 1);
}

#[test]
fn a_value_that_the_server_refuses_is_told_in_its_words() {
    let stub = stub_with(|_| error(422, "InvalidOption", "kubeconfig-default-token-ttl-minutes 2000 > 1440"));
    let outcome = User::logged_in(&stub).run(&["setting", "set", "auth-token-max-ttl-minutes=1440"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("2000 > 1440"), "{}", outcome.stderr);
}
