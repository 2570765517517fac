//! Both forms of a kubeconfig in the hands of the real kubectl: with a token in it, and with a call of our plugin.

use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::person::Person;
use crate::real_gate::{RealGate, fail, succeed};

#[tokio::test]
async fn a_kubeconfig_with_a_token_works_and_is_written_anew_with_the_same() {
    let gate = RealGate::shared().await;
    let person = Person::new(&gate, "downloader", &["developers"]).await;
    person.log_in();
    let command = ["kubeconfig", "--output-file", "gate.yaml", "--reuse"];
    succeed(&mut person.portcullis(&command));
    assert_eq!(who_am_i(&person, "gate.yaml"), "downloader");
    let tokens = person.tokens("kubeconfig-").await;
    assert_eq!(tokens.len(), 1);

    succeed(&mut person.portcullis(&command));
    assert_eq!(who_am_i(&person, "gate.yaml"), "downloader");
    assert_eq!(person.tokens("kubeconfig-").await, tokens, "more than half of its life is left");

    succeed(&mut person.portcullis(&["kubeconfig", "--output-file", "gate.yaml", "--force"]));
    assert_eq!(person.tokens("kubeconfig-").await.len(), 2);
}

#[tokio::test]
async fn two_kubectl_at_once_ask_once_for_name_and_password() {
    let gate = gate_of_plugins().await;
    let person = Person::new(&gate, "typist", &[]).await;
    download(&person);
    let mut first = person.on_terminal(WHO_AM_I);
    assert!(first.shows("Username: "));
    let mut second = person.on_terminal(WHO_AM_I);
    assert!(second.shows("Waiting for another kubectl"));
    first.type_line("typist");
    assert!(first.shows("Password of typist: "));
    first.type_secret(&person.account.password);
    for terminal in [first, second] {
        let (code, screen) = terminal.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains("\"username\": \"typist\"") && !screen.contains("Username: "), "{screen}");
    }
    let names = person.tokens("kubeconfig-").await;
    let [name] = names.as_slice() else { panic!("{names:?}") };
    let token = gate.api("GET", &format!("/v3/tokens/{name}"), &Value::Null).await.json();
    assert_eq!(token["ttl"], 16 * 3_600_000, "it lives as long as a session, not as a kubeconfig's token");
    assert_eq!(who_am_i(&person, "plugin.yaml"), "typist");
}

#[tokio::test]
async fn a_revoked_token_leads_to_a_new_login() {
    let gate = gate_of_plugins().await;
    let person = Person::new(&gate, "revoker", &[]).await;
    download(&person);
    log_in_on_terminal(&person, true);
    // Within a minute the plugin asks before it hands out: nothing fails.
    revoke(&person).await;
    log_in_on_terminal(&person, true);
    // Later kubectl is refused once, and with that its plugin learns of it.
    revoke(&person).await;
    handed_out_an_hour_ago(&person);
    log_in_on_terminal(&person, false);
    assert_eq!(who_am_i(&person, "plugin.yaml"), "revoker");

    revoke(&person).await;
    handed_out_an_hour_ago(&person);
    let refused = fail(&mut kubectl(&person, "plugin.yaml"));
    assert!(refused.contains("nobody to ask"), "a refusal that says what to do: {refused}");
}

#[tokio::test]
async fn without_a_terminal_a_session_of_login_is_needed_and_enough() {
    let gate = gate_of_plugins().await;
    let person = Person::new(&gate, "robot", &[]).await;
    download(&person);
    let refused = fail(&mut kubectl(&person, "plugin.yaml"));
    assert!(refused.contains(&format!("portcullis login {}", person.server())), "{refused}");
    person.log_in();
    assert_eq!(who_am_i(&person, "plugin.yaml"), "robot");
    assert_eq!(who_am_i(&person, "plugin.yaml"), "robot");
    assert_eq!(
        person.tokens("").await.len(),
        4,
        "session, API key, that of the command line, and one for kubectl"
    );

    succeed(&mut person.portcullis(&["logout"]));
    assert_eq!(person.tokens("").await.len(), 2);
    assert!(fail(&mut kubectl(&person, "plugin.yaml")).contains("nobody to ask"));
}

/// Logs in as kubectl's plugin asks for it; `at_once` or only for the next kubectl.
fn log_in_on_terminal(person: &Person, at_once: bool) {
    let mut terminal = person.on_terminal(WHO_AM_I);
    assert!(terminal.shows("Username: "));
    terminal.type_line(&person.account.username);
    assert!(terminal.shows("Password of "));
    terminal.type_secret(&person.account.password);
    let (code, screen) = terminal.end();
    let as_expected = if at_once { code == 0 } else { code == 1 && screen.contains("Unauthorized") };
    assert!(as_expected, "{code} {screen}");
}

async fn revoke(person: &Person) {
    for name in person.tokens("kubeconfig-").await {
        assert_eq!(person.gate.api("DELETE", &format!("/v3/tokens/{name}"), &Value::Null).await.status, 204);
    }
}

fn handed_out_an_hour_ago(person: &Person) {
    let directory = person.file(".cache/portcullis/credentials");
    let mut paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let path = paths.find(|path| path.extension().unwrap() == "json").unwrap();
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    kept["handedOutAt"] = (kept["handedOutAt"].as_u64().unwrap() - 3_600_000).into();
    std::fs::write(path, kept.to_string()).unwrap();
}

fn who_am_i(person: &Person, kubeconfig: &str) -> String {
    let answer = succeed(&mut kubectl(person, kubeconfig));
    let review: Value = serde_json::from_str(&answer).unwrap();
    review["status"]["userInfo"]["username"].as_str().unwrap().to_owned()
}

fn kubectl(person: &Person, kubeconfig: &str) -> Command {
    let mut command = person.command(person.gate.cluster.kubectl_path());
    command.args(["--kubeconfig", kubeconfig, "auth", "whoami", "--output=json"]);
    command
}

const WHO_AM_I: &str = "kubectl --kubeconfig=plugin.yaml auth whoami --output=json";

/// A gate that is set to give kubeconfigs without a token.
async fn gate_of_plugins() -> Arc<RealGate> {
    let gate = Arc::new(RealGate::start().await);
    let setting = "/v3/settings/kubeconfig-generate-token";
    let set = gate.api("PUT", setting, &json!({ "value": "false" })).await;
    assert_eq!(set.status, 200, "{}", set.text());
    gate
}

/// Downloads a kubeconfig, as somebody who is not logged in afterwards.
fn download(person: &Person) {
    person.log_in();
    succeed(&mut person.portcullis(&["kubeconfig", "--output-file", "plugin.yaml"]));
    succeed(&mut person.portcullis(&["logout"]));
}
