//! Tunnels whose token ends, to the byte: what the client is told, where in the stream, and that both sides are closed.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use crate::support::message::{Broken, Reader};
use crate::support::stub::{Answer, Seen};
use crate::support::tunnel::{Scene, close, frame, last_words, switching};
use crate::support::within;

const EXEC: &str = "/api/v1/namespaces/default/pods/p/exec?command=cat&stdin=true&stdout=true";
const PORT_FORWARD: &str = "/api/v1/namespaces/default/pods/p/portforward?ports=80&ports=81";
/// A message on standard output.
const OUTPUT: &[u8] = b"\x82\x06\x01hello";

#[tokio::test]
async fn a_command_is_told_its_status_on_the_error_channel() {
    let scene = Scene::start().await;
    for subprotocol in ["v4.channel.k8s.io", "v5.channel.k8s.io", "v4.base64.channel.k8s.io"] {
        for target in [EXEC, &EXEC.replace("/exec", "/attach")] {
            let mut tunnel = scene.websocket(target, subprotocol, OUTPUT, b"").await;
            tunnel.delete().await;
            let (said, end) = tunnel.rest().await;
            let status = tunnel.status();
            // client-go shows the Status only if the close that follows is a normal one.
            let words = if subprotocol.contains("base64") {
                let message = frame(0x81, &[b"3", STANDARD.encode(status).as_bytes()].concat());
                [message, frame(0x88, &1000_u16.to_be_bytes())].concat()
            } else {
                last_words(&status)
            };
            assert_eq!(said, words, "{subprotocol}");
            assert_eq!(end, Broken::Closed);
            tunnel.closed_upstream().await;
        }
    }
    let (_, metrics) = scene.rig.gate.admin_request("/metrics").await;
    for kind in ["exec", "attach"] {
        let cuts = format!("portcullis_stream_cuts_total{{reason=\"deleted\",kind=\"{kind}\"}} 3\n");
        assert!(metrics.contains(&cuts), "{metrics}");
    }
    assert!(!metrics.contains("portcullis_open_streams{kind=\"exec\"} 1"), "{metrics}");
}

#[tokio::test]
async fn other_subprotocols_are_told_in_the_close_frame() {
    let scene = Scene::start().await;
    let cases = [
        (EXEC, "channel.k8s.io"),
        (EXEC, "base64.channel.k8s.io"),
        (EXEC, "v3.channel.k8s.io"),
        (EXEC, ""),
        (PORT_FORWARD, "SPDY/3.1+portforward.k8s.io"),
        // Channel 3 is the second port's here.
        (PORT_FORWARD, "v4.channel.k8s.io"),
    ];
    for (target, subprotocol) in cases {
        let mut tunnel = scene.websocket(target, subprotocol, OUTPUT, b"").await;
        tunnel.delete().await;
        assert_eq!(tunnel.rest().await, (tunnel.policy_violation(), Broken::Closed), "{subprotocol}");
        tunnel.closed_upstream().await;
    }
}

#[tokio::test]
async fn a_cut_waits_for_the_end_of_the_frame_that_is_passing() {
    let scene = Scene::start().await;
    let payload = vec![0x88; 200_000];
    let whole = frame(0x82, &payload);
    // Within the header, right behind it, and within the payload.
    for begun in [1, 2, 5, 9, 10, 11, 70_000, whole.len() - 1] {
        let (first, rest) = whole.split_at(begun);
        let then = [rest, OUTPUT, OUTPUT].concat();
        let mut tunnel = scene.websocket(PORT_FORWARD, "SPDY/3.1+portforward.k8s.io", first, &then).await;
        tunnel.delete().await;
        tunnel.go_on.notify_one();
        let expected = [rest, &tunnel.policy_violation()].concat();
        let (said, end) = tunnel.rest().await;
        assert!(said == expected, "after {begun} bytes of a frame: {} for {}", said.len(), expected.len());
        assert_eq!(end, Broken::Closed);
        tunnel.closed_upstream().await;
    }
}

#[tokio::test]
async fn a_frame_that_does_not_end_is_given_up_soon() {
    let scene = Scene::start().await;
    let mut tunnel = scene.websocket(EXEC, "v5.channel.k8s.io", b"\x82\x7e\x40\x00\x01begun", b"").await;
    let asked = Instant::now();
    tunnel.delete().await;
    // A word in the middle of a frame would be taken for a part of it.
    assert_eq!(tunnel.rest().await, (Vec::new(), Broken::Closed));
    tunnel.closed_upstream().await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn between_the_fragments_of_a_message_only_a_close_frame_is_sent() {
    let scene = Scene::start().await;
    let begun = frame(0x02, b"\x01a message that goes on");
    let ping = frame(0x89, b"are you there?");
    for first in [begun.clone(), [begun.clone(), ping.clone()].concat()] {
        let mut tunnel = scene.websocket(EXEC, "v5.channel.k8s.io", &first, b"").await;
        tunnel.delete().await;
        assert_eq!(tunnel.rest().await, (tunnel.policy_violation(), Broken::Closed));
    }
    let ended = frame(0x80, b" and ends");
    let mut tunnel = scene.websocket(EXEC, "v5.channel.k8s.io", &[begun, ping, ended].concat(), b"").await;
    tunnel.delete().await;
    let (said, _) = tunnel.rest().await;
    assert_eq!(said[..2], [0x82, 126], "a Status, as the message is whole");
}

#[tokio::test]
async fn after_the_servers_own_close_nothing_is_added() {
    let scene = Scene::start().await;
    let mut tunnel = scene.websocket(EXEC, "v5.channel.k8s.io", &frame(0x88, &[3, 232]), b"").await;
    tunnel.delete().await;
    assert_eq!(tunnel.rest().await, (Vec::new(), Broken::Closed));
    tunnel.closed_upstream().await;
}

#[tokio::test]
async fn spdy_is_closed_without_a_word() {
    let scene = Scene::start().await;
    for target in [EXEC, PORT_FORWARD] {
        let mut tunnel = scene.spdy(target, b"\x80\x03\x00\x04 a frame").await;
        let asked = Instant::now();
        tunnel.delete().await;
        assert_eq!(tunnel.rest().await, (Vec::new(), Broken::Closed));
        tunnel.closed_upstream().await;
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn a_client_that_sends_all_the_while_still_hears_why() {
    let scene = Scene::start().await;
    let mut tunnel = scene.websocket(EXEC, "channel.k8s.io", OUTPUT, b"").await;
    let client = tunnel.client.take().unwrap();
    let (read, mut write) = tokio::io::split(client.reader.stream);
    let flood = tokio::spawn(async move { while write.write_all(&[7; 8 << 10]).await.is_ok() {} });
    tunnel.delete().await;
    let (said, _) = within("the goodbye", Reader::new(read).rest()).await;
    assert_eq!(said, tunnel.policy_violation());
    within("the end of what the client sends", flood).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nothing_upstream() {
    let scene = Scene::start().await;
    let (sent, mut seen) = watch::channel(0);
    let message = frame(0x82, &vec![1; 64 << 10]);
    let flood = move |_: &Seen| {
        let (sent, message) = (sent.clone(), message.clone());
        Answer::http1(async move |mut connection| {
            connection.send(switching("websocket", "v5.channel.k8s.io").as_bytes()).await;
            for count in 0..1_000 {
                connection.send(&message).await;
                sent.send_replace(count);
            }
        })
    };
    scene.rig.stub.answer_with(flood);
    let tunnel = scene.tunnel(EXEC, "websocket", "v5.channel.k8s.io").await;
    within("a flood", seen.wait_for(|count| *count > 20)).await.unwrap();
    let asked = Instant::now();
    tunnel.delete().await;
    tunnel.closed_upstream().await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let (_, metrics) = scene.rig.gate.admin_request("/metrics").await;
    assert!(metrics.contains("portcullis_open_streams{kind=\"exec\"} 0\n"), "{metrics}");
}

#[tokio::test]
async fn a_direction_that_has_ended_already_hinders_no_cut() {
    let scene = Scene::start().await;
    let rig = &scene.rig;
    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(switching("websocket", "channel.k8s.io").as_bytes()).await;
            connection.drain().await;
            connection.send(OUTPUT).await;
            // Its own direction stays open.
            std::future::pending::<()>().await;
        })
    });
    let mut tunnel = scene.tunnel(EXEC, "websocket", "channel.k8s.io").await;
    tunnel.client.as_mut().unwrap().reader.stream.shutdown().await.unwrap();
    tunnel.heard(OUTPUT).await;
    tunnel.delete().await;
    assert_eq!(tunnel.rest().await.0, tunnel.policy_violation());

    rig.stub.answer_with(|_| {
        Answer::http1(async |mut connection| {
            connection.send(switching("websocket", "v5.channel.k8s.io").as_bytes()).await;
            connection.finish().await;
            connection.drain().await;
        })
    });
    let mut tunnel = scene.tunnel(EXEC, "websocket", "v5.channel.k8s.io").await;
    assert_eq!(tunnel.rest().await, (Vec::new(), Broken::Closed), "the server's end");
    let asked = Instant::now();
    tunnel.delete().await;
    tunnel.closed_upstream().await;
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn each_end_of_a_token_is_told_by_its_name() {
    let scene = Scene::start().await;
    let user = format!("/v3/users/{}", scene.account.user_id);
    let off = json!({ "enabled": false });
    let (owner, admin) = (scene.account.bearer.as_str(), scene.rig.admin());
    let at_once = json!({ "overlapSeconds": 0 });
    let of_token = [
        ("POST", "/v3/tokens/TOKEN?action=disable", "token TOKEN was disabled", json!({})),
        ("POST", "/v3/tokens/TOKEN?action=rotate", "token TOKEN was replaced by another", at_once),
        ("PUT", "/v3/tokens/TOKEN", "token TOKEN has expired", json!({ "ttl": 1 })),
    ];
    let of_user = [
        ("PUT", user.as_str(), "the user of token TOKEN was taken out of a group", json!({ "groups": [] })),
        ("PUT", &user, "the user of token TOKEN was disabled", off),
        ("DELETE", &user, "the user of token TOKEN was deleted", Value::Null),
    ];
    let cases = of_token.map(|case| (owner, case)).into_iter().chain(of_user.map(|case| (admin, case)));
    for (caller, (method, path, reason, body)) in cases {
        let mut tunnel = scene.websocket(PORT_FORWARD, "SPDY/3.1+portforward.k8s.io", OUTPUT, b"").await;
        let told = tunnel.asked(caller, method, path, &body).await;
        assert!(told < 300, "{method} {path}: {told}");
        let reason = reason.replace("TOKEN", &tunnel.token);
        assert_eq!(tunnel.rest().await.0, close(&reason), "{reason}");
        tunnel.closed_upstream().await;
        if body["enabled"] == false {
            scene.rig.api("PUT", path, admin, &json!({ "enabled": true })).await;
        }
    }
}

#[tokio::test]
async fn a_token_that_expires_takes_its_tunnels_along() {
    let scene = Scene::start().await;
    let (name, bearer) = scene.rig.token(&scene.account.bearer, 3_000).await;
    let made = Instant::now();
    scene.say(switching("websocket", "v5.channel.k8s.io"), OUTPUT, b"");
    let mut tunnel = scene.open(&name, &bearer, EXEC, "websocket", "v5.channel.k8s.io").await;
    let (said, _) = tunnel.rest().await;
    let text = String::from_utf8_lossy(&said).into_owned();
    assert!(text.contains(&format!("\"message\":\"token {name} has expired\"")), "{text}");
    let lived = made.elapsed();
    assert!((2_500..4_500).contains(&lived.as_millis()), "{lived:?}");
    tunnel.closed_upstream().await;
}
