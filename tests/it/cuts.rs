//! Streams end with what they are open by: their token, its user, the user's groups.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::live::{Ended, Live, PROTOCOLS, Streams};
use crate::support::rig::{Account, Rig, login};
use crate::support::within;

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Protobuf,
    Log,
}

const FORMS: [Form; 3] = [Form::Json, Form::Protobuf, Form::Log];
/// From the change to the end at the client.
const LIMIT: Duration = Duration::from_secs(1);

impl Form {
    fn target(self) -> &'static str {
        match self {
            Self::Json => "/api/v1/pods?watch=true",
            Self::Protobuf => "/api/v1/nodes?watch=true",
            Self::Log => "/api/v1/namespaces/a/pods/b/log?follow=true",
        }
    }

    /// Something whole.
    fn piece(self) -> &'static [u8] {
        match self {
            Self::Json => b"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\"}}\n",
            Self::Protobuf => b"\0\0\0\x05event",
            Self::Log => b"a line\nhalf of",
        }
    }

    /// Asserts that after the piece the client was told why, as far as the form has a way to say it.
    fn expect_told(self, ended: &Ended, message: &str) {
        assert_eq!(ended.broken, None, "{self:?}: {ended:?}");
        let tail = ended.body.strip_prefix(self.piece()).unwrap_or_else(|| panic!("{self:?}: {ended:?}"));
        match self {
            Self::Json => {
                let event = format!(
                    "{{\"type\":\"ERROR\",\"object\":{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\
                     \"status\":\"Failure\",\"message\":\"{message}\",\"reason\":\"Unauthorized\",\"code\":401}}}}\n"
                );
                assert_eq!(String::from_utf8_lossy(tail), event);
            }
            Self::Protobuf => {
                let length = u32::from_be_bytes(tail[..4].try_into().unwrap()) as usize;
                assert_eq!(length, tail.len() - 4, "{ended:?}");
                for text in ["ERROR", "k8s\0", "Status", "Failure", message, "Unauthorized"] {
                    let found = tail.windows(text.len()).any(|window| window == text.as_bytes());
                    assert!(found, "{text:?} in {}", tail.escape_ascii());
                }
            }
            Self::Log => assert_eq!(tail, b""),
        }
    }
}

fn content_type(target: &str) -> &'static str {
    match target {
        target if target.contains("/log") => "text/plain",
        target if target.contains("/nodes") => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    }
}

/// A stream of each form over each protocol, all by one token.
async fn open_all(rig: &Rig, bearer: &str) -> Vec<(Form, Live)> {
    let streams = Streams::of(&rig.stub, content_type);
    let mut open = Vec::new();
    for protocol in PROTOCOLS {
        for form in FORMS {
            let mut live = streams.open(rig, protocol, form.target(), bearer).await;
            live.pass(form.piece()).await;
            open.push((form, live));
        }
    }
    open
}

/// Asserts that the streams of `bearer` end within a second of `change`, say why, and leave nothing upstream.
async fn expect_cut(rig: &Rig, bearer: &str, message: &str, change: impl AsyncFnOnce()) {
    let open = open_all(rig, bearer).await;
    let ends: Vec<_> = open
        .into_iter()
        .map(|(form, live)| tokio::spawn(async move { (form, live.ended().await) }))
        .collect();
    change().await;
    let changed = Instant::now();
    for end in ends {
        let (form, ended) = within("an end", end).await.unwrap();
        form.expect_told(&ended, message);
        assert!(ended.at < changed + LIMIT, "{form:?} took {:?}", ended.at - changed);
    }
}

/// One change by the API that succeeds.
async fn change(rig: &Rig, method: &str, target: &str, bearer: &str, body: Value) {
    let changed = rig.api(method, target, bearer, &body).await;
    assert!(matches!(changed.status, 200..=204), "{}", changed.text());
}

fn token(account: &Account) -> (String, &str) {
    (format!("/v3/tokens/{}", account.token_name), &account.token_name)
}

#[tokio::test]
async fn streams_of_a_deleted_token_end() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let (target, name) = token(&alice);
    expect_cut(&rig, &alice.bearer, &format!("token {name} was deleted"), async || {
        change(&rig, "DELETE", &target, rig.admin(), Value::Null).await;
    })
    .await;
    let (_, metrics) = rig.gate.admin_request("/metrics").await;
    for line in [
        "portcullis_stream_cuts_total{reason=\"deleted\",kind=\"watch\"} 4",
        "portcullis_stream_cuts_total{reason=\"deleted\",kind=\"log\"} 2",
        "portcullis_stream_cut_duration_seconds_count{kind=\"watch\"} 4",
        "portcullis_stream_cut_duration_seconds_bucket{le=\"1.0\",kind=\"watch\"} 4",
        "portcullis_open_streams{kind=\"watch\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    let cut =
        async || rig.gate.stdout().lines().filter(|line| line.contains("\"reason\":\"deleted\"")).count();
    rig.gate.wait_until("logging", async || cut().await == 6).await;
}

#[tokio::test]
async fn streams_over_upstream_http1_end_as_well() {
    let rig = Rig::start_http1().await;
    let alice = rig.account("alice", &[]).await;
    let (target, name) = token(&alice);
    expect_cut(&rig, &alice.bearer, &format!("token {name} was deleted"), async || {
        change(&rig, "DELETE", &target, rig.admin(), Value::Null).await;
    })
    .await;
}

#[tokio::test]
async fn streams_of_a_disabled_token_end() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let (target, name) = token(&alice);
    expect_cut(&rig, &alice.bearer, &format!("token {name} was disabled"), async || {
        change(&rig, "POST", &format!("{target}?action=disable"), rig.admin(), json!({})).await;
    })
    .await;
}

#[tokio::test]
async fn streams_of_a_token_that_expires_end() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let made = Instant::now();
    let (name, bearer) = rig.token(&alice.bearer, 4_000).await;
    expect_cut(&rig, &bearer, &format!("token {name} has expired"), async || {
        tokio::time::sleep_until((made + Duration::from_secs(4)).into()).await;
    })
    .await;
}

#[tokio::test]
async fn streams_of_a_token_whose_life_is_made_shorter_end_with_it() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let (name, bearer) = rig.token(&alice.bearer, 3_600_000).await;
    let made = Instant::now();
    expect_cut(&rig, &bearer, &format!("token {name} has expired"), async || {
        change(&rig, "PUT", &format!("/v3/tokens/{name}"), rig.admin(), json!({ "ttl": 6_000 })).await;
        tokio::time::sleep_until((made + Duration::from_secs(6)).into()).await;
    })
    .await;
}

#[tokio::test]
async fn streams_of_a_rotated_token_end_with_the_overlap() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let (target, name) = token(&alice);
    expect_cut(&rig, &alice.bearer, &format!("token {name} was replaced by another"), async || {
        let rotation = json!({ "overlapSeconds": 2 });
        change(&rig, "POST", &format!("{target}?action=rotate"), &alice.bearer, rotation).await;
        let rotated = Instant::now();
        tokio::time::sleep_until((rotated + Duration::from_secs(2)).into()).await;
    })
    .await;
}

#[tokio::test]
async fn streams_of_a_session_end_with_its_logout() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let session = login(&rig.gate, "alice", &alice.password).await;
    let name = session.split_once(':').unwrap().0;
    expect_cut(&rig, &session, &format!("the session of token {name} was ended by a logout"), async || {
        change(&rig, "POST", "/v3/tokens?action=logout", &session, json!({})).await;
    })
    .await;
}

#[tokio::test]
async fn streams_of_a_user_who_is_disabled_or_deleted_end() {
    let rig = Rig::start().await;
    for (username, verb) in [("alice", "disabled"), ("bob", "deleted")] {
        let account = rig.account(username, &[]).await;
        let user = format!("/v3/users/{}", account.user_id);
        let message = format!("the user of token {} was {verb}", account.token_name);
        expect_cut(&rig, &account.bearer, &message, async || {
            let off = json!({ "enabled": false });
            let (method, body) = if verb == "disabled" { ("PUT", off) } else { ("DELETE", Value::Null) };
            change(&rig, method, &user, rig.admin(), body).await;
        })
        .await;
    }
}

#[tokio::test]
async fn streams_of_a_user_who_loses_a_group_end() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &["dev", "ops"]).await;
    let user = format!("/v3/users/{}", alice.user_id);
    let message = format!("the user of token {} was taken out of a group", alice.token_name);
    expect_cut(&rig, &alice.bearer, &message, async || {
        change(&rig, "PUT", &user, rig.admin(), json!({ "groups": ["dev", "other"] })).await;
    })
    .await;
}

#[tokio::test]
async fn what_takes_nothing_away_ends_no_stream() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &["dev"]).await;
    let bob = rig.account("bob", &["dev"]).await;
    let (target, _) = token(&alice);
    let user = format!("/v3/users/{}", alice.user_id);
    let mut open = open_all(&rig, &alice.bearer).await;
    change(&rig, "PUT", &target, rig.admin(), json!({ "description": "another" })).await;
    change(&rig, "PUT", &target, rig.admin(), json!({ "ttl": 3_600_000 })).await;
    change(&rig, "PUT", &user, rig.admin(), json!({ "groups": ["ops", "dev"] })).await;
    change(&rig, "DELETE", &format!("/v3/users/{}", bob.user_id), rig.admin(), Value::Null).await;
    let (other, _) = rig.token(&alice.bearer, 0).await;
    change(&rig, "DELETE", &format!("/v3/tokens/{other}"), &alice.bearer, Value::Null).await;
    for (form, live) in &mut open {
        let later: &[u8] =
            if *form == Form::Protobuf { b"\0\0\0\x05later" } else { b"{\"type\":\"LATER\"}\n" };
        live.pass(later).await;
    }
    assert!(open.iter().all(|(_, live)| !live.upstream.is_closed()));
}
