//! The API against its own description: Schemathesis makes requests of `/v3/openapi.json`, right and wrong ones, and
//! every answer must be one that the description names, and none an error of the server.

use std::process::Command;

use crate::support::rig::Rig;
use crate::web_tools::{programs, run};

#[tokio::test]
async fn api_answers_an_administrator_as_its_description_says() {
    let rig = Rig::start().await;
    let password = std::fs::read_to_string(rig.gate.data_directory().join("admin-password")).unwrap();
    check(&rig, &[("USER", "admin"), ("PASSWORD", password.trim())]);
}

#[tokio::test]
async fn api_answers_a_user_as_its_description_says() {
    let rig = Rig::start().await;
    let account = rig.account("schema", &[]).await;
    check(&rig, &[("USER", &account.username), ("PASSWORD", &account.password)]);
}

#[tokio::test]
async fn api_answers_a_stranger_as_its_description_says() {
    let rig = Rig::start().await;
    check(&rig, &[]);
}

/// Runs Schemathesis as the user that the variables name.
fn check(rig: &Rig, user: &[(&str, &str)]) {
    let Some(programs) = programs() else { return };
    let url = format!("https://{}", rig.gate.endpoint.address);
    let ca_file = rig.gate.data_directory().join("ca.crt");
    let mut schemathesis = Command::new(programs.join("schemathesis"));
    schemathesis.args([
        "run",
        &format!("{url}/v3/openapi.json"),
        "--checks=all",
        "--no-color",
        "--tls-verify",
    ]);
    schemathesis.arg(&ca_file);
    if !user.is_empty() {
        schemathesis.env("SCHEMATHESIS_HOOKS", "api_hooks").env("PYTHONPATH", ".");
    }
    for (name, value) in user {
        schemathesis.env(format!("PORTCULLIS_WEB_{name}"), value);
    }
    run(schemathesis.env("PORTCULLIS_WEB_URL", url).env("PORTCULLIS_WEB_CA_FILE", ca_file));
}
