//! Who is let in: one good credential, in one of the three places where Kubernetes' clients put it, and nobody else.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::support::expect;
use crate::support::rig::{Account, Rig};
use crate::support::wire::{Http1, Http2, Outcome, RawHttp2};

const TARGET: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn no_or_a_malformed_credential_gets_401_over_http1_and_nothing_goes_upstream() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    for lines in malformed(&account) {
        let response = rig.http1().await.request("GET", TARGET, &borrowed(&lines), b"").await;
        assert_eq!(response.status, 401, "{lines:?}: {}", response.text());
        expect::unauthorized(&response);
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn no_or_a_malformed_credential_gets_401_over_http2_and_nothing_goes_upstream() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    for lines in malformed(&account) {
        let response = rig.http2().await.request("GET", TARGET, &borrowed(&lines), b"").await.unwrap();
        assert_eq!(response.status, 401, "{lines:?}: {}", response.text());
        expect::unauthorized(&response);
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn over_http2_a_connection_ends_with_its_401() {
    let rig = Rig::start().await;
    let mut client = RawHttp2::connect(&rig.gate.endpoint).await;
    let fields: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", TARGET.as_bytes()),
        (b":authority", b"gate.example"),
    ];
    client.headers(1, &fields, true).await;
    assert_eq!(client.outcome(1).await, Outcome::Answered(401));
    // A stranger who may open one stream after the other has the server work for free (CVE-2023-44487).
    client.expect_close().await;
}

#[tokio::test]
async fn over_http2_a_connection_to_our_own_api_ends_with_its_401_as_well() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let (good, wrong) =
        (account.authorization(), format!("Bearer {}:{}", account.token_name, "w".repeat(54)));
    for (path, credential, status, ends) in [
        ("/v3/tokens", Some(wrong.as_str()), 401, true),
        ("/v3/users", Some("Bearer token-zzzzz:wrong"), 401, true),
        ("/v3", Some("Bearer nonsense"), 401, true),
        ("/v3/tokens/token-zzzzz", Some(good.as_str()), 404, false),
        ("/v3-public/authProviders", None, 200, false),
    ] {
        let mut client = RawHttp2::connect(&rig.gate.endpoint).await;
        let ask = |path: &'static str| {
            let mut fields: Vec<(&[u8], &[u8])> = vec![
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":path", path.as_bytes()),
                (b":authority", b"gate.example"),
            ];
            fields.extend(credential.map(|credential| (&b"authorization"[..], credential.as_bytes())));
            fields
        };
        client.headers(1, &ask(path), true).await;
        assert_eq!(client.outcome(1).await, Outcome::Answered(status), "{path}");
        if ends {
            client.expect_close().await;
        } else {
            client.headers(3, &ask("/ping"), true).await;
            assert_eq!(client.outcome(3).await, Outcome::Answered(200), "{path}: the connection goes on");
        }
    }
}

#[tokio::test]
async fn a_bad_credential_is_answered_alike_whatever_is_wrong_with_it() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let (_, key) = account.bearer.split_once(':').unwrap();
    let (name, expired) = rig.token(&account.bearer, 1).await;
    assert_ne!(name, account.token_name);
    let disabled = rig.account("bob", &[]).await;
    let off = serde_json::json!({ "enabled": false });
    let user = format!("/v3/users/{}", disabled.user_id);
    assert_eq!(rig.api("PUT", &user, rig.admin(), &off).await.status, 200);
    let mut answers = Vec::new();
    let wrong_key = format!("{}:{}", account.token_name, key.chars().rev().collect::<String>());
    for bearer in [&wrong_key, &format!("token-zzzzz:{key}"), &disabled.bearer, &expired] {
        let authorization = format!("Bearer {bearer}");
        let lines = [("Authorization", authorization.as_str())];
        let mut response = rig.http1().await.request("GET", TARGET, &lines, b"").await;
        response.lines.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        answers.push((response.status, response.lines, response.body));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(answers[0].0, 401);
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn two_credentials_are_refused_even_if_both_are_good() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let bearer = account.authorization();
    let basic = format!("Basic {}", STANDARD.encode(&account.bearer));
    let protocol = format!("base64url.bearer.authorization.k8s.io.{}, v4.channel.k8s.io", token(&account));
    let websocket = ("Sec-WebSocket-Protocol", protocol.as_str());
    let twice = [
        [("Authorization", bearer.as_str()), ("Authorization", bearer.as_str())],
        [("Authorization", bearer.as_str()), ("authorization", basic.as_str())],
        [("Authorization", "Bearer x"), ("Authorization", bearer.as_str())],
        [("Authorization", bearer.as_str()), websocket],
    ];
    for lines in twice {
        let over_http1 = rig.http1().await.request("GET", TARGET, &lines, b"").await;
        expect::status(&over_http1, 400, "BadRequest");
        let over_http2 = rig.http2().await.request("GET", TARGET, &lines, b"").await.unwrap();
        expect::status(&over_http2, 400, "BadRequest");
    }
    assert_eq!(rig.stub.seen().len(), 0);
}

#[tokio::test]
async fn a_good_credential_is_taken_from_each_place_it_may_stand_in() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    let good = [
        account.authorization(),
        account.authorization().replace("Bearer", "bearer"),
        format!("Basic {}", STANDARD.encode(&account.bearer)),
    ];
    for authorization in &good {
        let lines = [("Authorization", authorization.as_str())];
        let mut http1 = Http1::connect(&rig.gate.endpoint).await;
        assert_eq!(http1.request("GET", TARGET, &lines, b"").await.status, 200, "{authorization:.10}");
        let http2 = Http2::connect(&rig.gate.endpoint).await;
        assert_eq!(http2.request("GET", TARGET, &lines, b"").await.unwrap().status, 200);
    }
    for seen in rig.stub.seen() {
        expect::identity_is(&seen, &account);
    }
    assert_eq!(rig.stub.seen().len(), 2 * good.len());
}

#[tokio::test]
async fn a_cookie_never_lets_anyone_in_to_a_cluster() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &[]).await;
    let cookie = format!("R_SESS={0}; portcullis_session={0}; __Host-session={0}", account.bearer);
    let response = rig.http1().await.request("GET", TARGET, &[("Cookie", &cookie)], b"").await;
    expect::unauthorized(&response);
    assert_eq!(rig.stub.seen().len(), 0);
}

/// Header lines that hold no good credential.
fn malformed(account: &Account) -> Vec<Vec<(String, String)>> {
    let line = |value| vec![("Authorization".to_owned(), value)];
    let mut cases: Vec<_> = malformed_values(account).into_iter().map(line).collect();
    let good = account.bearer.clone();
    let bearer = format!("base64url.bearer.authorization.k8s.io.{}", token(account));
    let wrong = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode("a:b"));
    for protocols in
        [bearer.clone(), format!("{bearer}!, v4.channel.k8s.io"), format!("{wrong}, v4.channel.k8s.io")]
    {
        cases.push(vec![("Sec-WebSocket-Protocol".to_owned(), protocols)]);
    }
    cases.push(vec![]);
    cases.push(vec![("X-Api-Key".to_owned(), good.clone())]);
    cases.push(vec![("Proxy-Authorization".to_owned(), format!("Bearer {good}"))]);
    cases
}

fn malformed_values(account: &Account) -> Vec<String> {
    let Account { token_name: name, bearer: good, .. } = account;
    let key = good.split_once(':').unwrap().1;
    let other_key: String = key.chars().rev().collect();
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    vec![
        "Bearer".to_owned(),
        "Bearer a".to_owned(),
        "Bearer :".to_owned(),
        format!("Bearer {name}"),
        format!("Bearer {name}:"),
        format!("Bearer :{key}"),
        format!("Bearer {key}"),
        format!("Bearer {good}:"),
        format!("Bearer {good}:x"),
        format!("Bearer {name}::{key}"),
        format!("Bearer  {good}"),
        format!("Bearer {good} x"),
        format!("Bearer {good},"),
        format!("Bearer {name}: {key}"),
        format!("Bearer {name} {key}"),
        format!("Bearer {name}%3A{key}"),
        format!("Bearer \"{good}\""),
        format!("Bearer\t{good}"),
        format!("Bearer={good}"),
        format!("Bearer{good}"),
        format!("Bearer Bearer {good}"),
        format!("Bearer {}", good.to_uppercase()),
        format!("Bearer {name}:{}", key.to_uppercase()),
        format!("Bearer {name}:{}", &key[1..]),
        format!("Bearer {good}b"),
        format!("Bearer {name}:{other_key}"),
        format!("Bearer token-zzzzz:{key}"),
        format!("Bearer ext/{good}"),
        format!("Bearer {}", STANDARD.encode(good)),
        format!("Bearer {name}:{}", "b".repeat(60_000)),
        format!("Bearer {}", "x".repeat(60_000)),
        good.clone(),
        format!("Token {good}"),
        "Negotiate YII".to_owned(),
        "Basic".to_owned(),
        "Basic !".to_owned(),
        basic(name),
        basic(&format!("{name}:")),
        basic(&format!(":{key}")),
        basic(&format!("{name}:{other_key}")),
        basic(&format!("{good}:x")),
        format!("Basic {good}"),
    ]
}

fn token(account: &Account) -> String {
    URL_SAFE_NO_PAD.encode(&account.bearer)
}

fn borrowed(lines: &[(String, String)]) -> Vec<(&str, &str)> {
    lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
