//! What kubectl and other clients see of a stream that is cut, in front of a real apiserver.

use std::fs::File;

use serde_json::Value;

use crate::cluster::require_node;
use crate::real_gate::{RealGate, Running, User};
use crate::support::wire::Http1;
use crate::support::within;

/// Runs kubectl with these arguments until `seen` stands in its output, deletes its token, and gives whether it ended
/// well and what it said on its standard error.
async fn cut(gate: &RealGate, user: &User, arguments: &[&str], seen: &str) -> (bool, String) {
    let path = gate.gate.directory().join(format!("{}.stderr", user.account.token_name));
    let mut kubectl = Running::start(user.kubectl().args(arguments).stderr(File::create(&path).unwrap()));
    kubectl.line_with(seen);
    let token = format!("/v3/tokens/{}", user.account.token_name);
    let shown = gate.api("GET", &token, &Value::Null).await.json();
    assert_eq!(shown["openStreams"]["count"], 1, "{shown}");
    assert_eq!(gate.api("DELETE", &token, &Value::Null).await.status, 204);
    let ended_well = kubectl.ends_well();
    (ended_well, std::fs::read_to_string(&path).unwrap())
}

#[tokio::test]
async fn kubectl_that_watches_ends_well_when_it_is_cut() {
    let gate = RealGate::shared().await;
    let user = gate.user("cut-watcher").await;
    let watch = ["get", "configmaps", "--watch", "--output-watch-events"];
    let (ended_well, said) = cut(&gate, &user, &watch, "kube-root-ca.crt").await;
    assert_eq!((ended_well, said.as_str()), (true, ""));
}

#[tokio::test]
async fn kubectl_that_follows_a_log_ends_with_it() {
    let gate = RealGate::shared().await;
    if !require_node(gate.cluster) {
        return;
    }
    let user = gate.user("cut-follower").await;
    user.run_pod("web", &[], &["sh", "-c", "while true; do echo tick; sleep 0.2; done"]);
    let (ended_well, said) = cut(&gate, &user, &["logs", "--follow", "web"], "tick").await;
    assert_eq!((ended_well, said.as_str()), (true, ""));
}

#[tokio::test]
async fn the_last_event_of_a_protobuf_watch_is_of_the_same_form_as_the_apiservers() {
    let gate = RealGate::shared().await;
    let user = gate.user("cut-protobuf").await;
    let account = &user.account;
    let mut client = Http1::connect(&gate.gate.endpoint).await;
    client
        .send(format!(
            "GET /api/v1/namespaces/{}/configmaps?watch=true HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\
             Accept: application/vnd.kubernetes.protobuf;stream=watch\r\n\r\n",
            user.namespace,
            account.authorization()
        ))
        .await;
    let head = within("a head", client.reader.head()).await.unwrap().unwrap();
    assert!(head.first_line.starts_with("HTTP/1.1 200"), "{head:?}");
    // The first event names what is in every namespace.
    while !client.reader.buffer.windows(16).any(|bytes| bytes == b"kube-root-ca.crt") {
        within("an event", client.reader.fill()).await.unwrap();
    }
    let deleted = gate.api("DELETE", &format!("/v3/tokens/{}", account.token_name), &Value::Null).await;
    assert_eq!(deleted.status, 204);
    let (body, _) = within("the end of the watch", client.reader.chunked()).await.unwrap();
    let events = events(&body);
    let (last, before) = events.split_last().unwrap();
    assert!(!before.is_empty());
    for event in before {
        assert_eq!((&*event.0, &*event.1, &*event.2), ("ADDED", "v1", "ConfigMap"));
    }
    assert_eq!((&*last.0, &*last.1, &*last.2), ("ERROR", "v1", "Status"));
    let status = fields(&last.3);
    let text = |number| String::from_utf8(field(&status, number)).unwrap();
    let message = format!("token {} was deleted", account.token_name);
    assert_eq!((text(2), text(3), text(4)), ("Failure".to_owned(), message, "Unauthorized".to_owned()));
    assert_eq!(field(&status, 6), 401_u64.to_be_bytes());
}

/// Type, version and kind of the object, and the object, of each event.
type Event = (String, String, String, Vec<u8>);

fn events(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(4);
        let (event, rest) = rest.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
        bytes = rest;
        let event = fields(event);
        let object = field(&fields(&field(&event, 2)), 1);
        let envelope = fields(object.strip_prefix(b"k8s\0").expect("the magic word"));
        let kind = fields(&field(&envelope, 1));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        events.push((
            text(field(&event, 1)),
            text(field(&kind, 1)),
            text(field(&kind, 2)),
            field(&envelope, 2),
        ));
    }
    events
}

/// The fields of a protobuf message: texts and messages as they are, numbers as eight bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = varint(&mut bytes);
        match tag & 7 {
            0 => fields.push((tag >> 3, value.to_be_bytes().to_vec())),
            2 => {
                let (content, rest) = bytes.split_at(value.try_into().unwrap());
                fields.push((tag >> 3, content.to_vec()));
                bytes = rest;
            }
            other => panic!("wire type {other}"),
        }
    }
    fields
}

fn field(fields: &[(u64, Vec<u8>)], number: u64) -> Vec<u8> {
    let found = fields.iter().find(|(of, _)| *of == number);
    found.unwrap_or_else(|| panic!("no field {number} in {fields:?}")).1.clone()
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        shift += 7;
        if first & 0x80 == 0 {
            return number;
        }
    }
}
