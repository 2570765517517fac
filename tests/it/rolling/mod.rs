//! Gates behind a load balancer are restarted one after the other under load, and no client loses anything.

mod balancer;
mod load;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::accounts::{self, Account};
use crate::support::gate::{Gate, Settings};
use crate::support::report;
use crate::support::rig::kubeconfig;
use crate::support::stub::{Answer, OWN_CREDENTIAL, Reply, Stub, send_data};
pub(crate) use balancer::Balancer;
use load::{Load, Tally};

const DELAY: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(5);
/// What a loaded machine may add.
const SLACK: Duration = Duration::from_secs(4);
/// Clients of each protocol that make one request after the other.
const REQUESTERS: usize = 40;
const WATCHES: usize = 500;
const EXECS: usize = 20;

/// When a gate was told to stop, and when it had.
#[derive(Clone, Copy)]
pub(crate) struct Restart {
    told: Instant,
    ended: Instant,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_request_and_breaks_no_watch() {
    let restarts = number_in("PORTCULLIS_TEST_RESTARTS", 2);
    let requesters = number_in("PORTCULLIS_TEST_REQUESTERS", REQUESTERS);
    let stub = Stub::start(&["h2", "http/1.1"]).await;
    serve(&stub);
    let gate = Gate::start(&kubeconfig(&stub, &format!("token: {OWN_CREDENTIAL}")), &settings()).await;
    gate.keep_secret(OWN_CREDENTIAL);
    let admin = accounts::administrator(&gate).await;
    let account = Account::create(&gate, &admin, "alice", &[]).await;
    let mut gates = twins(gate).await;
    let balancer = Balancer::start(&gates).await;

    let load = Load::start(&balancer.endpoint, &account.authorization(), [requesters, WATCHES, EXECS]);
    let tally = &load.tally;
    let all_open = async || {
        let open = (tally.watches.load(Ordering::Relaxed), tally.execs.load(Ordering::Relaxed));
        open == (WATCHES, EXECS)
    };
    gates[0].wait_until("serving all watches and execs", all_open).await;
    let mut done = Vec::new();
    for number in 0..restarts {
        done.push(restart(&mut gates, number % 2, &balancer).await);
        gates[0].wait_until("serving all watches and execs again", all_open).await;
    }
    let seconds = load.started.elapsed().as_secs_f64();
    let tally = load.stop().await;
    judge(&tally, &done, requesters, seconds);
    assert_eq!(stub.violations(), Vec::<String>::new());
}

fn number_in(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// Two gates with the same store and certificate, made of one.
pub(crate) async fn twins(mut gate: Gate) -> [Gate; 2] {
    gate.signal(Signal::SIGTERM);
    assert_eq!(gate.exit_code().await, Some(0));
    let twin = gate.twin().await;
    gate.restart().await;
    [gate, twin]
}

/// Stops a gate as a deployment does, and starts it again.
pub(crate) async fn restart(gates: &mut [Gate; 2], number: usize, balancer: &Balancer) -> Restart {
    let gate = &mut gates[number];
    let told = Instant::now();
    gate.signal(Signal::SIGTERM);
    assert_eq!(gate.exit_code().await, Some(0));
    let ended = Instant::now();
    gate.restart().await;
    balancer.replace(number, gate);
    Restart { told, ended }
}

/// Asserts what was promised, and writes down what was measured.
fn judge(tally: &Tally, restarts: &[Restart], requesters: usize, seconds: f64) {
    let failures = tally.failures.lock().unwrap();
    assert!(
        failures.is_empty(),
        "{} failures, such as {:?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    let served = tally.served.load(Ordering::Relaxed);
    let (mut watch_ends, mut exec_ends, mut durations) = (Vec::new(), Vec::new(), Vec::new());
    for restart in restarts {
        let service_ended = restart.told + DELAY;
        let since = |ends: &[Instant]| -> Vec<Duration> {
            let own = ends.iter().filter(|end| (restart.told..=restart.ended + SLACK / 4).contains(*end));
            own.map(|end| end.saturating_duration_since(service_ended)).collect()
        };
        let (watches, execs) =
            (since(&tally.watches_ended.lock().unwrap()), since(&tally.execs_ended.lock().unwrap()));
        assert!(watches.iter().all(|end| *end <= WINDOW + SLACK), "{watches:?}");
        let spread = watches.iter().max().unwrap().checked_sub(*watches.iter().min().unwrap()).unwrap();
        assert!(spread >= WINDOW / 2, "{} watches ended within {spread:?}", watches.len());
        assert!(execs.iter().all(|end| *end >= TIMEOUT), "{execs:?}");
        let duration = restart.ended - restart.told;
        assert!(duration >= DELAY && duration <= DELAY + TIMEOUT + SLACK, "{duration:?}");
        watch_ends.extend(watches);
        exec_ends.extend(execs);
        durations.push(duration);
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = (served as f64 / seconds).round();
    report::write(
        "drain",
        &json!({
            "command": "PORTCULLIS_TEST_RESTARTS=20 cargo test --test it rolling",
            "restarts": restarts.len(),
            "clients that make one request after the other": 2 * requesters,
            "requests a second, three quarters of them writes": rate,
            "requests served": served,
            "requests failed": failures.len(),
            "watches open": WATCHES,
            "watches broken": 0,
            "execs open": EXECS,
            "times": {
                "a watch's end after the end of service": report::spread(&watch_ends),
                "an exec's end after the end of service": report::spread(&exec_ends),
                "from the signal to the exit": report::spread(&durations),
            },
        }),
    );
}

/// A gate that goes down in seconds.
pub(crate) fn settings() -> Settings {
    let limits = vec![("shutdownDelay", "1s"), ("watchDrainWindow", "3s"), ("drainTimeout", "5s")];
    Settings { log_level: "info", limits, ..Settings::default() }
}

/// A cluster with watches and commands that do not end by themselves.
fn serve(stub: &Stub) {
    stub.answer_with(|seen| {
        if !seen.values("upgrade").is_empty() {
            return Answer::http1(async |mut connection| {
                connection
                    .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
                    .await;
                connection.drain().await;
            });
        }
        if !seen.target.contains("watch") {
            return Reply::json(200, "{}").into();
        }
        Answer::http2(async |mut stream| {
            let response = http::Response::builder().status(200).header("content-type", "application/json");
            let response = response.body(()).unwrap();
            let Ok(mut sender) = stream.respond.send_response(response, false) else { return };
            send_data(&mut sender, b"{\"type\":\"BOOKMARK\",\"object\":{}}\n", false).await;
            let _ = std::future::poll_fn(|context| sender.poll_reset(context)).await;
        })
    });
}
