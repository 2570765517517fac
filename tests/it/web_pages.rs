//! The pages in a real browser, before a real cluster. The tests themselves are in `tests/web`; here their gate starts.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::real_gate::{RealGate, service_account};
use crate::web_tools::{programs, run};

#[tokio::test]
async fn pages_do_in_a_browser_what_they_say_and_nothing_else() {
    let Some(programs) = programs() else { return };
    let gate = RealGate::start().await;
    let directory = gate.gate.directory();
    let ca_file = directory.join("ca.crt");
    fs::write(&ca_file, gate.gate.endpoint.ca_pem.as_bytes()).unwrap();
    // For the site that attacks: a browser accepts it there as it accepts the gate's.
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let other_pem = directory.join("other.pem");
    fs::write(&other_pem, other.cert.pem() + &other.signing_key.serialize_pem()).unwrap();
    let cluster_kubeconfig = directory.join("cluster.kubeconfig");
    fs::write(&cluster_kubeconfig, service_account(gate.cluster)).unwrap();
    let password = fs::read_to_string(gate.gate.data_directory().join("admin-password")).unwrap();
    let facts = json!({
        "url": format!("https://{}", gate.gate.endpoint.address),
        "ca_file": ca_file,
        "password": password.trim(),
        "cluster_kubeconfig": cluster_kubeconfig,
        "kubectl": gate.cluster.kubectl_path(),
        "chromium": programs.join("chromium"),
        "other_pem": other_pem,
        "directory": directory,
        "pictures": concat!(env!("CARGO_MANIFEST_DIR"), "/target/web"),
    });
    let facts_file = directory.join("facts.json");
    fs::write(&facts_file, facts.to_string()).unwrap();
    let mut pytest = Command::new(programs.join("python"));
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "--maxfail=5", "."]);
    if let Ok(only) = std::env::var("PORTCULLIS_WEB_ONLY") {
        pytest.args(["-k", &only]);
    }
    run(pytest.env("PORTCULLIS_WEB_FACTS", facts_file));
}
