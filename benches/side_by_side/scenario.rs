//! What is asked of every proxy, in turn, round after round.

use std::time::Duration;

use crate::figures::Table;
use crate::process::Place;
use crate::{
    apiserver, cores, fan_out, flood, footprint, handshakes, overload, reload, requests, revocation, tokens,
    tunnel, watches,
};

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    pub(crate) warm_up: Duration,
    pub(crate) round: Duration,
    /// Everything once and small, to see that it runs.
    pub(crate) is_trial: bool,
}

impl Pace {
    pub(crate) fn new(is_trial: bool) -> Self {
        let seconds = Duration::from_secs;
        let (rounds, warm_up, round) =
            if is_trial { (1, seconds(1), seconds(1)) } else { (3, seconds(2), seconds(5)) };
        Self { rounds, warm_up, round, is_trial }
    }
}

/// What a scenario does: it is given its name, for its table.
type Run = dyn Fn(&str, &Place, Pace) -> Table;

/// One of the things that are measured.
pub(crate) struct Scenario {
    pub(crate) name: String,
    run: Box<Run>,
}

/// All there are.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = requests::all();
    all.extend(handshakes::all());
    all.extend(watches::all());
    all.extend(fan_out::all());
    all.extend(flood::all());
    all.extend(overload::all());
    all.extend(cores::all());
    all.extend(tunnel::all());
    all.extend(revocation::all());
    all.extend(reload::all());
    all.extend(tokens::all());
    all.extend(footprint::all());
    all.extend(apiserver::all());
    all
}

/// Where a scenario of this name stands among all; last if there is none any more.
pub(crate) fn place(name: &str) -> usize {
    all().iter().position(|scenario| scenario.name == name).unwrap_or(usize::MAX)
}

impl Scenario {
    /// Of this name; `run` gets it too, for its table.
    pub(crate) fn new(name: String, run: impl Fn(&str, &Place, Pace) -> Table + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// Whether one of the words, if there are any, is in its name.
    pub(crate) fn is_meant(&self, words: &[String]) -> bool {
        words.is_empty() || words.iter().any(|word| self.name.contains(word.as_str()))
    }

    pub(crate) fn run(&self, place: &Place, pace: Pace, machine: &str) -> Table {
        Table { machine: machine.to_owned(), ..(self.run)(&self.name, place, pace) }
    }
}
