//! Limits, the access log, the reviews of service accounts and the names that may be given change while the gate runs, and
//! nothing that is under way notices.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::service_accounts::{answer_with, good, jwt};
use crate::support::directory::Directory;
use crate::support::expect;
use crate::support::gate::{Settings, TAKEN_OVER};
use crate::support::live::{Live, PROTOCOLS, Streams};
use crate::support::rig::{Account, Rig};
use crate::support::stub::{Answer, Reply};
use crate::support::wire::Response;
use crate::support::within;

const PODS: &str = "/api/v1/pods";
const SLOW: &str = "/api/v1/pods/slow";
const WATCH: &str = "/api/v1/pods?watch=true";
const EXEC: &str = "/api/v1/namespaces/default/pods/p/exec?command=sh";
/// What the gate may take beyond a limit of a second.
const GRACE: Duration = Duration::from_secs(3);

fn with_limits(limits: &[(&'static str, &'static str)]) -> Settings {
    Settings { limits: limits.to_vec(), ..Settings::default() }
}

async fn get(rig: &Rig, bearer: &str, target: &str) -> Response {
    let authorization = format!("Bearer {bearer}");
    rig.http1().await.request("GET", target, &[("authorization", &authorization)], b"").await
}

async fn open(rig: &Rig, streams: &Streams, account: &Account) -> Vec<Live> {
    let mut live = Vec::new();
    for protocol in PROTOCOLS {
        live.push(streams.open(rig, protocol, WATCH, &account.bearer).await);
    }
    live
}

#[tokio::test]
async fn bounds_on_requests_change_and_none_that_is_under_way_ends() {
    let rig = Rig::with(&["h2", "http/1.1"], &with_limits(&[("maxRequestsInFlightPerUser", "1")])).await;
    rig.stub.answer_with(|seen| {
        if seen.target != SLOW {
            return Reply::json(200, "{}").into();
        }
        Answer::http2(async |stream| {
            let _open = stream;
            std::future::pending::<()>().await;
        })
    });
    let alice = rig.account("alice", &[]).await;
    let mut held = rig.http1().await;
    let authorization = alice.authorization();
    held.send(format!("GET {SLOW} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n")).await;
    rig.stub.request(1).await;
    expect::status(&get(&rig, &alice.bearer, PODS).await, 429, "TooManyRequests");
    rig.gate.reconfigure(&with_limits(&[("maxRequestsInFlightPerUser", "2")])).await;
    assert_eq!(get(&rig, &alice.bearer, PODS).await.status, 200);
    rig.gate.reconfigure(&with_limits(&[("maxRequestsInFlight", "1")])).await;
    expect::status(&get(&rig, &alice.bearer, PODS).await, 429, "TooManyRequests");
    drop(held);
    let is_free = async || rig.gate.metric("portcullis_requests_in_flight").await == 0;
    rig.gate.wait_until("free", is_free).await;
    assert_eq!(get(&rig, &alice.bearer, PODS).await.status, 200);
}

#[tokio::test]
async fn a_bound_on_connections_changes_and_those_that_are_open_stay() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let authorization = alice.authorization();
    let lines = [("authorization", authorization.as_str())];
    let mut open = [rig.http1().await, rig.http1().await];
    for client in &mut open {
        assert_eq!(client.request("GET", PODS, &lines, b"").await.status, 200);
    }
    let are_alone = async || rig.gate.metric("portcullis_client_connections").await == 2;
    rig.gate.wait_until("rid of earlier connections", are_alone).await;
    for bound in ["2", "1"] {
        rig.gate.reconfigure(&with_limits(&[("maxConnections", bound)])).await;
        let mut third = TcpStream::connect(rig.gate.endpoint.address).await.unwrap();
        let read = within("being turned away", third.read(&mut [0; 9])).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        for client in &mut open {
            assert_eq!(client.request("GET", PODS, &lines, b"").await.status, 200);
        }
    }
    let refused = "portcullis_rejected_requests_total{reason=\"too_many_connections\"}";
    assert_eq!(rig.gate.metric(refused).await, 2);
    rig.gate.reconfigure(&with_limits(&[("maxConnections", "3")])).await;
    assert_eq!(get(&rig, &alice.bearer, PODS).await.status, 200);
}

#[tokio::test]
async fn a_lower_bound_on_streams_ends_none_and_lets_no_more_in() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let streams = Streams::of(&rig.stub, |_| "application/json");
    let mut kept = open(&rig, &streams, &alice).await;
    for bounds in [[("maxStreamsPerUser", "1")], [("maxStreams", "1")]] {
        rig.gate.reconfigure(&with_limits(&bounds)).await;
        expect::status(&get(&rig, &alice.bearer, WATCH).await, 429, "TooManyRequests");
        for live in &mut kept {
            live.pass(b"{}\n").await;
        }
    }
    rig.gate.reconfigure(&with_limits(&[("maxStreamsPerUser", "3")])).await;
    kept.push(streams.open(&rig, PROTOCOLS[0], WATCH, &alice.bearer).await);
    expect::status(&get(&rig, &alice.bearer, WATCH).await, 429, "TooManyRequests");
}

#[tokio::test]
async fn times_that_clients_are_given_change_and_a_watch_goes_on() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let authorization = alice.authorization();
    let lines = [("authorization", authorization.as_str())];
    let streams = Streams::of(&rig.stub, |_| "application/json");
    let mut watches = open(&rig, &streams, &alice).await;
    rig.stub.answer_with(|seen| {
        if seen.values("upgrade").is_empty() { Reply::json(200, "{}").into() } else { Answer::Silence }
    });
    let mut before = rig.http1().await;
    assert_eq!(before.request("GET", PODS, &lines, b"").await.status, 200);
    let limits = ["headerTimeout", "bodyIdleTimeout", "idleTimeout", "firstByteTimeout", "upgradeTimeout"];
    rig.gate.reconfigure(&with_limits(&limits.map(|key| (key, "1s")))).await;

    let begun = Instant::now();
    let post = format!("POST /api HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n");
    // A connection from before: what counts for a request counts there too.
    before.send(format!("{post}Content-Length: 10\r\n\r\n{{")).await;
    let (mut head, mut silent, mut idle) = (rig.http1().await, rig.http1().await, rig.http1().await);
    head.send(&post).await;
    assert_eq!(idle.request("GET", PODS, &lines, b"").await.status, 200);
    let upgrade = [lines[0], ("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")];
    let mut exec = rig.http1().await;
    let refused = within("the end of patience", exec.request("POST", EXEC, &upgrade, b"")).await;
    assert!(refused.status >= 500, "{}", refused.text());
    for client in [&mut before, &mut head, &mut silent, &mut idle] {
        within("letting go", client.reader.rest()).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(1) + GRACE, "{:?}", begun.elapsed());
    for live in &mut watches {
        live.pass(b"{}\n").await;
    }
}

#[tokio::test]
async fn a_cluster_that_is_silent_is_given_up_after_the_new_time() {
    // TCP is there, and nobody ever speaks TLS.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let files = Directory::new();
    let token = files.path().join("token");
    fs::write(&token, "a-credential").unwrap();
    let address = format!("https://{}", mute.local_addr().unwrap());
    let list = format!("[{{id: mute, endpoints: ['{address}'], tokenFile: '{}'}}]", token.display());
    let settings = Settings { keys: vec![("clusters", &*list.leak())], ..Settings::default() };
    let rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    let alice = rig.account("alice", &[]).await;
    rig.gate.reconfigure(&Settings { limits: vec![("connectTimeout", "1s")], ..settings }).await;
    let asked = Instant::now();
    let refused = get(&rig, &alice.bearer, "/k8s/clusters/mute/api").await;
    assert!([502, 503, 504].contains(&refused.status), "{}", refused.text());
    let time = asked.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(1) + GRACE).contains(&time), "{time:?}");
}

#[tokio::test]
async fn a_chance_to_be_asked_to_connect_anew_reaches_clients_that_are_connected() {
    let settings = Settings { log_level: "info", ..Settings::default() };
    let rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    let alice = rig.account("alice", &[]).await;
    let authorization = alice.authorization();
    let lines = [("authorization", authorization.as_str())];
    let client = rig.http2().await;
    for _ in 0..200 {
        assert_eq!(client.request("GET", PODS, &lines, b"").await.unwrap().status, 200);
    }
    rig.gate.reconfigure(&Settings { limits: vec![("goawayChance", "0.02")], ..settings }).await;
    let mut more = 0;
    while client.request("GET", PODS, &lines, b"").await.is_ok() {
        more += 1;
        assert!(more < 2000, "it was never asked");
    }
    assert!(rig.gate.metric("portcullis_goaways_total").await > 0);
}

#[tokio::test]
async fn the_shutdown_goes_by_what_the_file_said_last() {
    let mut rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    rig.gate.reconfigure(&with_limits(&[("shutdownDelay", "2s")])).await;
    let told = Instant::now();
    rig.gate.signal(Signal::SIGTERM);
    rig.gate.wait_until("unready", async || rig.gate.admin_request("/readyz").await.0 == 503).await;
    assert_eq!(get(&rig, &alice.bearer, PODS).await.status, 200, "it serves as before");
    assert_eq!(rig.gate.exit_code().await, Some(0));
    assert!(told.elapsed() >= Duration::from_secs(2), "{:?}", told.elapsed());
}

#[tokio::test]
async fn requests_have_lines_when_the_file_says_so() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let path = rig.gate.directory().join("config.yaml");
    let with = fs::read_to_string(&path).unwrap();
    let has_line = |name: &str| {
        rig.gate.stdout().contains(&format!("/pods/{name}\""))
            || rig.gate.stdout().contains(&format!("\"name\":\"{name}\""))
    };
    for (text, name) in [(with.replace("access: true", "access: false"), "unseen"), (with, "seen")] {
        let before = rig.gate.metric(TAKEN_OVER).await;
        fs::write(&path, text).unwrap();
        rig.gate.signal(Signal::SIGHUP);
        rig.gate.wait_until("following", async || rig.gate.metric(TAKEN_OVER).await > before).await;
        let target = format!("/api/v1/namespaces/a/pods/{name}");
        assert_eq!(get(&rig, &alice.bearer, &target).await.status, 200);
    }
    rig.gate.wait_until("writing lines again", async || has_line("seen")).await;
    assert!(!has_line("unseen"), "{}", rig.gate.stdout());
}

#[tokio::test]
async fn audiences_and_rates_of_reviews_change_and_open_streams_are_reviewed_by_the_new_ones() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let token = jwt("one", None);
    rig.gate.keep_secret(&token);
    answer_with(&rig, good(|_| {}));
    let streams = Streams::of(&rig.stub, |_| "application/json");
    let mut kept = open(&rig, &streams, &alice).await;
    let theirs = streams.open(&rig, PROTOCOLS[1], WATCH, &token).await;
    let keys = vec![("serviceAccounts", "{ audiences: [ours], reviewsPerSecond: 4, reviewsAtOnce: 2 }")];
    rig.gate.reconfigure(&Settings { keys, ..Settings::default() }).await;
    assert_eq!(get(&rig, &token, PODS).await.status, 401, "what is known of other audiences is no answer");
    let ended = theirs.ended().await;
    assert!(String::from_utf8_lossy(&ended.body).contains("no longer accepts"), "{ended:?}");
    for live in &mut kept {
        live.pass(b"{}\n").await;
    }

    answer_with(&rig, good(|status| status["authenticated"] = json!(false)));
    let mut codes = Vec::new();
    for number in 0..20 {
        codes.push(get(&rig, &jwt(&format!("junk-{number}"), None), PODS).await.status);
    }
    assert!(codes.contains(&503), "{codes:?}");
    rig.gate.reconfigure(&Settings::default()).await;
    answer_with(&rig, good(|_| {}));
    rig.stub.answer(Reply::json(200, "{}"));
    for number in 0..20 {
        assert_eq!(get(&rig, &jwt(&format!("good-{number}"), None), PODS).await.status, 200);
    }
}

#[tokio::test]
async fn a_name_of_kubernetes_own_can_be_given_once_the_file_allows_it() {
    let rig = Rig::start().await;
    let user = |name: &str| json!({ "username": name, "groups": ["system:monitoring"], "enabled": true });
    let refused = rig.api("POST", "/v3/users", rig.admin(), &user("first")).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let keys = vec![("users", "{ allowedSystemIdentities: ['system:monitoring'] }")];
    rig.gate.reconfigure(&Settings { keys, ..Settings::default() }).await;
    assert_eq!(rig.api("POST", "/v3/users", rig.admin(), &user("second")).await.status, 201);
    rig.gate.reconfigure(&Settings::default()).await;
    assert_eq!(rig.api("POST", "/v3/users", rig.admin(), &user("third")).await.status, 422);
    assert_eq!(rig.api("GET", "/v3/users?name=second", rig.admin(), &Value::Null).await.status, 200);
}
