//! The test cluster itself: it comes up, does what the other tests rely on, and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "support/cluster/mod.rs"]
mod cluster;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, Options, require_node};

#[test]
fn pod_runs_and_can_be_spoken_to() {
    let cluster = Cluster::shared();
    if !require_node(cluster) {
        return;
    }
    let image = format!("--image={}", cluster.image());
    let script = "echo started; mkdir /w; echo page > /w/index.html; exec httpd -f -p 8080 -h /w";
    let mut command = cluster.kubectl();
    succeed(command.args(["run", "spoken-to", &image, "--", "sh", "-c", script]));
    succeed(cluster.kubectl().args(["wait", "--for=condition=Ready", "pod/spoken-to", "--timeout=60s"]));

    let code = cluster.kubectl().args(["exec", "spoken-to", "--", "sh", "-c", "exit 5"]).output().unwrap();
    assert_eq!(code.status.code(), Some(5));
    assert_eq!(succeed(cluster.kubectl().args(["logs", "spoken-to"])), "started\n");
    assert!(page_through_port_forward(cluster).ends_with("page\n"));
    succeed(cluster.kubectl().args(["delete", "pod", "spoken-to", "--now", "--wait=false"]));
}

#[test]
fn pod_reaches_this_machine_but_nothing_beyond() {
    let cluster = Cluster::shared();
    if !require_node(cluster) || cluster.audit_log().is_none() {
        return;
    }
    let listener = std::net::TcpListener::bind((cluster.host_address(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let image = format!("--image={}", cluster.image());
    let script = format!("nc {} {} </dev/null; ! ping -c1 -W1 203.0.113.200", address.ip(), address.port());
    let mut command = cluster.kubectl();
    succeed(command.args(["run", "caller", &image, "--restart=Never", "--", "sh", "-c", &script]));
    listener.accept().unwrap();
    let ended = "--for=jsonpath={.status.phase}=Succeeded";
    succeed(cluster.kubectl().args(["wait", ended, "pod/caller", "--timeout=60s"]));
    succeed(cluster.kubectl().args(["delete", "pod", "caller", "--now", "--wait=false"]));
}

#[test]
fn apiserver_can_be_stopped_frozen_and_started() {
    if std::env::var_os("PORTCULLIS_TEST_KUBECONFIG").is_some() {
        return;
    }
    let cluster = Cluster::start(&Options { node: false, ..Options::default() }).unwrap();
    assert!(!cluster.has_node());
    succeed(cluster.kubectl().args(["create", "namespace", "kept"]));
    let mut hasty = cluster.kubectl();
    hasty.args(["--request-timeout=1s", "get", "--raw", "/api/v1/namespaces/kept"]);

    cluster.stop_apiserver().unwrap();
    assert!(!hasty.output().unwrap().status.success());
    cluster.start_apiserver().unwrap();
    succeed(&mut hasty);
    cluster.freeze_apiserver().unwrap();
    assert!(!hasty.output().unwrap().status.success());
    cluster.thaw_apiserver().unwrap();
    succeed(cluster.kubectl().args(["get", "namespace", "kept"]));
    assert!(fs::read_to_string(cluster.audit_log().unwrap()).unwrap().contains("/api/v1/namespaces/kept"));
    cluster.stop().unwrap();
}

#[test]
fn nothing_is_left_after_the_owner_is_gone() {
    if std::env::var_os("PORTCULLIS_TEST_KUBECONFIG").is_some() {
        return;
    }
    let cluster = Cluster::start(&Options::default()).unwrap();
    let directory = cluster.kubeconfig().parent().unwrap().to_owned();
    if cluster.has_node() {
        let image = format!("--image={}", cluster.image());
        succeed(cluster.kubectl().args(["run", "left-behind", &image]));
        succeed(cluster.kubectl().args([
            "wait",
            "--for=condition=Ready",
            "pod/left-behind",
            "--timeout=60s",
        ]));
    }
    let marker = directory.display().to_string();
    assert!(command_lines().iter().any(|line| line.contains(&marker)));

    let begun = Instant::now();
    cluster.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert!(!directory.exists());
    assert!(!command_lines().iter().any(|line| line.contains(&marker)));
    assert!(!fs::read_to_string("/proc/mounts").unwrap_or_default().contains(&marker));
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn page_through_port_forward(cluster: &Cluster) -> String {
    let mut command = cluster.kubectl();
    command.args(["port-forward", "pod/spoken-to", ":8080"]).stdout(Stdio::piped());
    let mut forward = command.spawn().unwrap();
    let mut told = String::new();
    // Kept to the end: kubectl says more, and dies if nobody reads it.
    let mut output = BufReader::new(forward.stdout.take().unwrap());
    output.read_line(&mut told).unwrap();
    // Forwarding from 127.0.0.1:PORT -> 8080
    let address = told.split_whitespace().nth(2).unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    forward.kill().unwrap();
    forward.wait().unwrap();
    answer
}

// Of the processes of this user that have not ended.
fn command_lines() -> Vec<String> {
    let user = nix::unistd::geteuid().as_raw();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| process.metadata().is_ok_and(|metadata| metadata.uid() == user))
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect()
}
