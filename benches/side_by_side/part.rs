//! Parts of a run that have a process of their own: they share a core with others, and their memory and time are theirs.

use std::process::{Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::process::OTHERS;
use crate::{fan_out, handshake_client, own_origin, relay, uses, watch_origin, watches};

/// What one does with the words that follow its own.
type Part = fn(&[String]);

/// Each by the word that makes this program it.
const PARTS: [(&str, Part); 7] = [
    (relay::COMMAND, relay::run),
    (own_origin::COMMAND, own_origin::run),
    (watch_origin::COMMAND, watch_origin::run),
    (watches::COMMAND, watches::run_client),
    (fan_out::COMMAND, fan_out::run_client),
    (handshake_client::COMMAND, handshake_client::run),
    (uses::COMMAND, uses::run),
];

/// Runs the part that `words` begin with, if they do.
pub(crate) fn run(words: &[String]) -> bool {
    let Some((name, rest)) = words.split_first() else { return false };
    let Some((_, part)) = PARTS.iter().find(|(command, _)| command == name) else { return false };
    part(rest);
    true
}

/// Runs a part on the core of origin and clients until it has an answer.
///
/// # Panics
/// When it fails.
pub(crate) fn ask<Answer: DeserializeOwned>(command: &str, question: &impl Serialize) -> Answer {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &OTHERS.to_string()]).arg(std::env::current_exe().unwrap());
    pinned.arg(command).arg(serde_json::to_string(question).unwrap());
    let output = pinned.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command}: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// In the process of the part that was asked: what `question` came to stands on its stdout.
pub(crate) fn answer<Question: DeserializeOwned, Answer: Serialize>(
    arguments: &[String],
    answer: impl AsyncFnOnce(Question) -> Answer,
) {
    let [question] = arguments else { panic!("{arguments:?}") };
    let question = serde_json::from_str(question).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("{}", serde_json::to_string(&runtime.block_on(answer(question))).unwrap());
}
