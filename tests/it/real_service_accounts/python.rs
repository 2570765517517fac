//! The official Python client with tokens that were asked for from outside the cluster.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use super::outside::forged;
use super::{BOUND_OF_BOTH, Served};
use crate::python::client;
use crate::real_gate::Running;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_lists_and_watches_until_its_token_ends_and_is_told_so() {
    if client(PROGRAM).is_none() {
        return;
    }
    let served = Served::start("python", &[]).await;
    served.create_account("doomed");
    served.kubectl(&["create", "secret", "generic", "tie"]);
    let tied = served.token(&["--bound-object-kind=Secret", "--bound-object-name=tie"]);
    let of_doomed = served.token_of("doomed", &[]);
    let steady = served.token(&[]);
    let mut wrong = watch(&served, "wrong", &forged(&steady));
    let mut others = [watch(&served, "tied", &tied), watch(&served, "doomed", &of_doomed)];
    let mut steady = watch(&served, "steady", &steady);
    for client in others.iter_mut().chain([&mut steady]) {
        assert!(client.line_with("listed").contains("gate-ca"));
    }
    served.kubectl(&["create", "configmap", "seen"]);
    for client in others.iter_mut().chain([&mut steady]) {
        assert!(client.line_with("ADDED").contains("seen"));
    }

    served.kubectl(&["delete", "secret/tie", "serviceaccount/doomed"]);
    let deleted = Instant::now();
    for mut client in others {
        let told = "Unauthorized: cluster local no longer accepts the service account's token";
        assert_eq!(said(&mut client, "stopped"), (401, told.to_owned()));
        assert!(deleted.elapsed() < BOUND_OF_BOTH, "its watch went on for {:?}", deleted.elapsed());
        assert_eq!(said(&mut client, "refused"), (401, "Unauthorized".to_owned()));
    }
    assert_eq!(said(&mut wrong, "stopped"), (401, "Unauthorized".to_owned()));
    served.kubectl(&["create", "configmap", "afterwards"]);
    assert!(
        steady.line_with("ADDED").contains("afterwards"),
        "the account's other token is as good as before"
    );
}

const PROGRAM: &str = "config_maps.py";

/// The program with this token, as in a pod.
fn watch(served: &Served, name: &str, token: &str) -> Running {
    let token_file = served.gate.directory().join(format!("{name}.token"));
    fs::write(&token_file, token).unwrap();
    let address = served.gate.endpoint.address;
    let mut program = client(PROGRAM).unwrap();
    program.arg(token_file).arg(served.ca_file()).arg(&served.namespace);
    program.env("KUBERNETES_SERVICE_HOST", address.ip().to_string());
    program.env("KUBERNETES_SERVICE_PORT", address.port().to_string());
    Running::start(&mut program)
}

/// Status and message of its next exception.
fn said(client: &mut Running, event: &str) -> (u64, String) {
    let line: Value = serde_json::from_str(&client.line_with(event)).unwrap();
    (line["status"].as_u64().unwrap(), line["said"].as_str().unwrap().to_owned())
}
