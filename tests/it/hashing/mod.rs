//! The switch from keys in clear to hashed keys, on a store of a hundred thousand tokens: killed at any point it has
//! happened to all of them or to none, clients notice nothing, and afterwards no key is in any file.

mod clear;
mod search;

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::runtime::Builder;

use crate::support::command_line::CommandLine;
use crate::support::gate::Settings;
use crate::support::rig::Rig;
use clear::{ClearStore, State};
use search::Needles;

const KILLS: usize = 50;

/// Gates that are killed beside each other, each with a store of its own.
const LANES: usize = 3;

/// Up to which part of a whole switch the kills go: it may take longer the next time.
const SPREAD: f64 = 1.2;

/// Tokens that are tried after each kill; at the end it is all of them.
const SAMPLE: usize = 200;

const FEATURE: &str = "/v3/features/token-hashing";

#[tokio::test(flavor = "multi_thread")]
async fn the_switch_to_hashed_keys_survives_kills_and_leaves_no_key_behind() {
    let start = Instant::now();
    let (mut rig, store) = ClearStore::prepare().await;
    eprintln!("{:?}: {} tokens are stored in clear", start.elapsed(), store.tokens.len());

    let whole = switch(&rig, &store).await;
    eprintln!("{:?}: a whole switch took {whole:?}", start.elapsed());
    let needles = Arc::new(Needles::of(store.tokens.iter().map(|token| token.key.as_str())));
    nothing_is_left(&rig, &store, &needles).await;
    eprintln!("{:?}: no key is left in a file", start.elapsed());

    // Threads of their own, as each blocks its own for a while when it reads whole files.
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (store, needles) = (store.clone(), Arc::clone(&needles));
            std::thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(kill_some(lane, store, &needles))
            })
        })
        .collect();
    let states: Vec<State> = lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect();
    let hashed = states.iter().filter(|state| **state == State::Hashed).count();
    eprintln!("{:?}: {} kills, {hashed} after the point of no return", start.elapsed(), states.len());
    assert_eq!(states.len(), KILLS);
    assert!((1..KILLS).contains(&hashed), "all kills were on one side of the switch");

    store.all_are_good(&rig.gate).await;
    eprintln!("{:?}: all tokens are good after the switch", start.elapsed());
    off_is_refused(&mut rig, &store).await;
}

/// Switches on by the command line, and says how long that took.
async fn switch(rig: &Rig, store: &ClearStore) -> Duration {
    assert_eq!(store.state(&rig.gate), State::Clear);
    store.some_are_good(&rig.gate, SAMPLE).await;
    let start = Instant::now();
    let administrator = CommandLine::administrator(&rig.gate);
    let outcome = tokio::task::spawn_blocking(move || {
        administrator.succeed(&["feature", "enable", "token-hashing", "--yes"], "")
    });
    let outcome = outcome.await.unwrap();
    let took = start.elapsed();
    eprint!("{}", outcome.stderr);
    let backup = backup(rig, &store.administrator).await;
    assert!(outcome.stderr.contains(&backup), "the backup is named: {}", outcome.stderr);
    took
}

/// No key is in the data directory. The backup has them all, and is outside.
async fn nothing_is_left(rig: &Rig, store: &ClearStore, needles: &Needles) {
    assert_eq!(store.state(&rig.gate), State::Hashed);
    assert_eq!(needles.found_below(&rig.gate.data_directory()), Vec::<String>::new());
    let backup = backup(rig, &store.administrator).await;
    assert!(!std::path::Path::new(&backup).starts_with(rig.gate.data_directory()), "{backup}");
    let bytes = std::fs::read(&backup).unwrap();
    let kept = needles.count(&bytes);
    assert!(kept >= store.tokens.len(), "the backup has {kept} of the keys");
    std::fs::remove_file(backup).unwrap();
}

/// Kills the gate in the middle of switches, at points that are spread over a whole one.
async fn kill_some(lane: usize, store: ClearStore, needles: &Needles) -> Vec<State> {
    let mut rig = Rig::with(&["h2", "http/1.1"], &quiet()).await;
    let whole = whole_switch(&mut rig, &store).await;
    let mut states = vec![State::Hashed];
    for number in (lane..KILLS).step_by(LANES) {
        if states.last() == Some(&State::Hashed) {
            begin_anew(&mut rig, &store).await;
        }
        let point = f64::from(u32::try_from(number).unwrap()) + f64::from(clear::random()) / 2_f64.powi(32);
        let point = whole.mul_f64(SPREAD * point / f64::from(u32::try_from(KILLS).unwrap()));
        switch_on(&rig, &store.administrator).await;
        tokio::time::sleep(point).await;
        rig.gate.signal(Signal::SIGKILL);
        assert_eq!(rig.gate.exit_code().await, None);
        rig.gate.restart().await;
        store.some_are_good(&rig.gate, SAMPLE).await;
        let state = store.state(&rig.gate);
        if state == State::Hashed {
            until_on(&rig, &store.administrator).await;
            assert_eq!(needles.found_below(&rig.gate.data_directory()), Vec::<String>::new(), "{point:?}");
        }
        states.push(state);
    }
    // Nothing in clear may be there when the gate goes: it looks for secrets in its files.
    rig.gate.signal(Signal::SIGKILL);
    rig.gate.exit_code().await;
    clear::remove_from(&rig.gate);
    states.split_off(1)
}

/// The time of a switch that nobody disturbs, beside those of the other lanes.
async fn whole_switch(rig: &mut Rig, store: &ClearStore) -> Duration {
    begin_anew(rig, store).await;
    let start = Instant::now();
    switch_on(rig, &store.administrator).await;
    until_on(rig, &store.administrator).await;
    start.elapsed()
}

/// The gate runs on the store of before the switch.
async fn begin_anew(rig: &mut Rig, store: &ClearStore) {
    rig.gate.signal(Signal::SIGKILL);
    rig.gate.exit_code().await;
    store.put_into(&rig.gate);
    rig.gate.restart().await;
}

async fn switch_on(rig: &Rig, administrator: &str) {
    let answer = rig.api("PUT", FEATURE, administrator, &json!({ "value": true })).await;
    assert!(matches!(answer.status, 200 | 202), "{}", answer.text());
}

/// What was begun before a kill is finished after it.
async fn until_on(rig: &Rig, administrator: &str) {
    rig.gate
        .wait_until("done with the switch", async || {
            let feature = rig.api("GET", FEATURE, administrator, &Value::Null).await.json();
            feature["status"]["state"] == "on"
        })
        .await;
}

/// Where the server has put the backup.
async fn backup(rig: &Rig, administrator: &str) -> String {
    let feature = rig.api("GET", FEATURE, administrator, &Value::Null).await.json();
    feature["status"]["backup"].as_str().unwrap().to_owned()
}

/// By the API, by the command line, and by a start with the configuration of before.
async fn off_is_refused(rig: &mut Rig, store: &ClearStore) {
    let answer = rig.api("PUT", FEATURE, &store.administrator, &json!({ "value": false })).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let administrator = CommandLine::administrator(&rig.gate);
    let outcome = administrator.run(&["feature", "disable", "token-hashing"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("(422 "), "{}", outcome.stderr);
    assert_eq!(store.state(&rig.gate), State::Hashed);

    rig.gate.signal(Signal::SIGTERM);
    assert_eq!(rig.gate.exit_code().await, Some(0));
    rig.gate.configure(&in_clear());
    let data = rig.gate.data_directory();
    let config = rig.gate.directory().join("config.yaml");
    let paths = [data.to_str().unwrap(), config.to_str().unwrap()];
    let kubeconfig = rig.gate.directory().join("kubeconfig");
    let serve =
        ["serve", "--data-dir", paths[0], "--config", paths[1], "--kubeconfig", kubeconfig.to_str().unwrap()];
    let refused = CommandLine::new().run(&[&serve[..], &["--listen", "127.0.0.1:0"]].concat());
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("hashing"), "{}", refused.stderr);
}

fn quiet() -> Settings {
    Settings { log_level: "warn", ..Settings::default() }
}

fn in_clear() -> Settings {
    Settings { keys: vec![("tokenHashing", "false")], ..quiet() }
}
