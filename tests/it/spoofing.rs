//! Headers by which a client could try to be somebody else, in every spelling, over every protocol. Whatever happens to
//! such a request, what arrives upstream names the authenticated account and nobody else.

use crate::support::expect;
use crate::support::rig::{Account, Rig};
use crate::support::stub::{Answer, Reply};
use crate::support::wire::{Outcome, RawHttp2};

/// How one attempt is to end. Refused means that nothing goes upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// 403 with a `Status` that names impersonation.
    Forbidden,
    /// 400, by the gate or by the parser below it.
    BadRequest,
    /// Served as if the field were not there.
    Stripped,
    /// Refused in whatever way, or served as if the field were not there.
    Harmless,
}

/// Header lines as they stand on the wire, and what is to become of them.
struct Attempt {
    lines: Vec<(String, String)>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Watch,
    Upgrade,
}

#[tokio::test]
async fn no_plain_request_names_another_user() {
    over_every_protocol(Kind::Plain).await;
}

#[tokio::test]
async fn no_watch_names_another_user() {
    over_every_protocol(Kind::Watch).await;
}

#[tokio::test]
async fn no_upgrade_names_another_user() {
    over_every_protocol(Kind::Upgrade).await;
}

async fn over_every_protocol(kind: Kind) {
    let rig = Rig::start().await;
    rig.stub.answer_with(|seen| {
        if seen.values("upgrade").is_empty() {
            return Reply::json(200, "{}").into();
        }
        Answer::http1(async |mut connection| {
            connection
                .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
                .await;
        })
    });
    let account = rig.account("alice", &["dev"]).await;
    let attempts = attempts();
    assert!(attempts.len() >= 60, "{}", attempts.len());
    for attempt in &attempts {
        for minor_version in [0, 1] {
            over_http1(&rig, &account, kind, attempt, minor_version).await;
        }
        over_http2(&rig, &account, kind, attempt).await;
    }
}

async fn over_http1(rig: &Rig, account: &Account, kind: Kind, attempt: &Attempt, minor_version: u8) {
    let mut lines: Vec<(&str, &str)> = vec![("Host", "gate.example")];
    let authorization = account.authorization();
    lines.push(("Authorization", &authorization));
    if kind == Kind::Upgrade {
        lines.extend([("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]);
    }
    // First and last: parsers have treated the first header line differently.
    let attempted = attempt.lines.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let orders = [
        attempted.clone().chain(lines.clone()).collect(),
        lines.into_iter().chain(attempted).collect::<Vec<_>>(),
    ];
    for lines in orders {
        rig.stub.forget();
        let mut message = format!("GET {} HTTP/1.{minor_version}\r\n", target(kind));
        for (name, value) in lines {
            message += &format!("{name}: {value}\r\n");
        }
        let mut client = rig.http1().await;
        client.send(message + "\r\n").await;
        let response = client.response().await;
        let status = response.as_ref().map_or(400, |response| response.status);
        // HTTP/1.0 has no upgrades: such a request may be refused, or be served without one.
        let fate = if minor_version == 0 && kind == Kind::Upgrade { Fate::Harmless } else { attempt.fate };
        judge(rig, account, kind, fate, status, &attempt.lines);
        if fate == Fate::Forbidden {
            let message = expect::status(&response.unwrap(), 403, "Forbidden");
            assert!(message.to_lowercase().contains("impersonat"), "{message}");
        }
    }
}

async fn over_http2(rig: &Rig, account: &Account, kind: Kind, attempt: &Attempt) {
    rig.stub.forget();
    let mut client = RawHttp2::connect(&rig.gate.endpoint).await;
    let (target, authorization) = (target(kind), account.authorization());
    let mut fields: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", target.as_bytes()),
        (b":authority", b"gate.example"),
        (b"authorization", authorization.as_bytes()),
    ];
    if kind == Kind::Upgrade {
        fields.extend([(b"connection".as_slice(), b"Upgrade".as_slice()), (b"upgrade", b"SPDY/3.1")]);
    }
    for (name, value) in &attempt.lines {
        fields.push((name.as_bytes(), value.as_bytes()));
    }
    client.headers(1, &fields, true).await;
    let status = match client.outcome(1).await {
        Outcome::Answered(status) => status,
        Outcome::Reset(_) | Outcome::GoneAway(_) | Outcome::Closed => 400,
    };
    // Upper case, `connection` and `upgrade` are no HTTP/2 at all: the protocol refuses them before any rule of ours.
    let is_http2 = kind != Kind::Upgrade
        && attempt.lines.iter().all(|(name, _)| {
            *name == name.to_ascii_lowercase()
                && !name.eq_ignore_ascii_case("connection")
                && !name.contains(' ')
        });
    let fate = if is_http2 { attempt.fate } else { Fate::BadRequest };
    judge(rig, account, kind, fate, status, &attempt.lines);
}

fn judge(rig: &Rig, account: &Account, kind: Kind, fate: Fate, status: u16, lines: &[(String, String)]) {
    let seen = rig.stub.seen();
    for request in &seen {
        expect::identity_is(request, account);
    }
    let good = if kind == Kind::Upgrade { 101 } else { 200 };
    let expected = match fate {
        Fate::Forbidden => (403, 0),
        Fate::BadRequest => (400, 0),
        Fate::Stripped => (good, 1),
        Fate::Harmless if status < 400 => (status, 1),
        Fate::Harmless => (status, 0),
    };
    assert_eq!((status, seen.len()), expected, "{kind:?}, {fate:?}: {lines:?}");
}

fn target(kind: Kind) -> &'static str {
    match kind {
        Kind::Plain => "/api/v1/namespaces/default/pods",
        Kind::Watch => "/api/v1/namespaces/default/pods?watch=true",
        Kind::Upgrade => "/api/v1/namespaces/default/pods/p/exec?command=sh",
    }
}

fn attempts() -> Vec<Attempt> {
    let impersonation = [
        ("impersonate-user", "admin"),
        ("impersonate-group", "system:masters"),
        ("impersonate-uid", "0"),
        ("impersonate-extra-scopes", "all"),
        ("impersonate-extra-portcullis.dev%2ftoken-name", "token-other"),
        ("impersonate-not-invented-yet", "x"),
    ];
    let front_proxy = [
        ("x-remote-user", "admin"),
        ("x-remote-group", "system:masters"),
        ("x-remote-uid", "0"),
        ("x-remote-extra-authorization.kcp.io%2fwarrant", "x"),
        ("x-remote-new", "x"),
    ];
    let mut attempts = Vec::new();
    for (fate, fields) in [(Fate::Forbidden, &impersonation[..]), (Fate::Stripped, &front_proxy[..])] {
        for (name, value) in fields {
            let one =
                |name: String, value: &str, fate| Attempt { lines: vec![(name, value.to_owned())], fate };
            attempts.extend([
                one((*name).to_owned(), value, fate),
                one(name.to_uppercase(), value, fate),
                one(capitalised(name), value, fate),
                one(alternating(name), value, fate),
                one((*name).to_owned(), "", fate),
                one(name.replace('-', "_"), value, Fate::BadRequest),
                one(name.replacen('-', "_", 1), value, Fate::BadRequest),
                one(format!("{name}_"), value, Fate::Harmless),
                one(format!(" {name}"), value, Fate::BadRequest),
                one(format!("{name} "), value, Fate::BadRequest),
                one(name.replace('-', "%2D"), value, Fate::Harmless),
                one(format!("x-{name}"), value, Fate::Harmless),
            ]);
            let twice =
                vec![((*name).to_owned(), (*value).to_owned()), ((*name).to_owned(), "alice".to_owned())];
            attempts.push(Attempt { lines: twice, fate });
            attempts.extend(nominations(name));
        }
    }
    attempts
}

#[tokio::test]
async fn trailers_name_nobody() {
    let rig = Rig::start().await;
    let account = rig.account("alice", &["dev"]).await;
    let authorization = account.authorization();
    for name in [
        "Impersonate-User",
        "impersonate-group",
        "X-Remote-User",
        "Impersonate_User",
        "Authorization",
        "X-Other",
    ] {
        let mut http1 = rig.http1().await;
        http1
            .send(format!(
                "POST /api/v1/namespaces/default/pods HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\
                 Transfer-Encoding: chunked\r\nTrailer: {name}\r\n\r\n2\r\n{{}}\r\n0\r\n{name}: admin\r\n\r\n"
            ))
            .await;
        let over_http1 = http1.response().await.unwrap().status;
        let trailers = vec![(name.to_lowercase(), "admin".to_owned())];
        let lines = [("authorization", authorization.as_str())];
        let http2 = rig.http2().await;
        let over_http2 = http2
            .request_with_trailers("POST", "/api/v1/namespaces/default/pods", &lines, b"{}", &trailers)
            .await;
        for status in [over_http1, over_http2.map_or(400, |response| response.status)] {
            assert!(matches!(status, 200 | 400), "{name}: {status}");
        }
    }
    for seen in rig.stub.seen() {
        expect::identity_is(&seen, &account);
        assert!(seen.trailers().unwrap_or_default().is_empty(), "{seen:?}");
        assert_eq!(seen.values("trailer"), Vec::<&str>::new());
    }
}

/// `Connection` may name fields to drop on this hop (RFC 9110, 7.6.1); ours are not among those it can name.
fn nominations(name: &str) -> Vec<Attempt> {
    let connection = |values: &[String]| Attempt {
        lines: values.iter().map(|value| ("Connection".to_owned(), value.clone())).collect(),
        fate: Fate::Stripped,
    };
    vec![
        connection(&[name.to_owned()]),
        connection(&[format!("keep-alive, {}", name.to_uppercase())]),
        connection(&[format!(" foo ,\t{name} , bar")]),
        connection(&["foo".to_owned(), name.to_owned(), "authorization, host, impersonate-user".to_owned()]),
    ]
}

fn capitalised(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

fn alternating(name: &str) -> String {
    let case = |(index, letter): (usize, char)| {
        if index % 2 == 1 { letter.to_ascii_uppercase() } else { letter }
    };
    name.chars().enumerate().map(case).collect()
}
