//! `controlplane`: a real Kubernetes cluster for the tests and for trying things out, for as long as this runs.
//!
//! By hand it stays up until Ctrl-C. With `--json` it serves a test: one line on standard output says where the
//! cluster is, each line on standard input is a command that gets one line of answer, and the end of standard input
//! (which the kernel brings about however the test ends) stops the cluster.

mod cgroup;
mod daemon;
mod directory;
mod error;
mod events;
mod flags;
mod image;
mod network;
mod node;
mod pki;
mod plane;
mod programs;
mod stack;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use error::Error;
use events::{Event, Events};
use stack::{Stack, Wanted};

fn main() -> ExitCode {
    match Arguments::parse().and_then(|arguments| supervise(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    wanted: Wanted,
    json: bool,
}

impl Arguments {
    fn parse() -> Result<Self, Error> {
        let mut parsed = Self { wanted: Wanted { node: true, directory: None }, json: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--no-node" => parsed.wanted.node = false,
                "--json" => parsed.json = true,
                "--dir" => {
                    let directory =
                        arguments.next().ok_or_else(|| Error::Usage("--dir needs a value".to_owned()))?;
                    parsed.wanted.directory = Some(directory.into());
                }
                other => return Err(Error::Usage(format!("unknown argument {other:?}"))),
            }
        }
        Ok(parsed)
    }
}

fn supervise(arguments: &Arguments) -> Result<(), Error> {
    let events = Events::listen(arguments.json)?;
    let mut stack = Stack::start(&arguments.wanted, events.interrupt())?;
    if arguments.json {
        answer(&stack.describe());
    } else {
        print_usage(&stack);
    }
    let mut reported = false;
    loop {
        match events.next(Duration::from_secs(1)) {
            Some(Event::Stop) => break,
            Some(Event::Line(line)) => answer(&match stack.obey(&line, events.interrupt()) {
                Ok(()) => json!({ "done": true }),
                Err(error) => json!({ "error": error.to_string() }),
            }),
            None => {}
        }
        // The rest stays up: whoever uses it sees best what that does.
        if let Some(failure) = stack.failure().filter(|_| !reported) {
            say(&failure.to_string());
            reported = true;
        }
    }
    say("stopping the cluster");
    stack.stop();
    Ok(())
}

/// Tells the person at the terminal, or whoever reads the test's output. Nobody may be left to read it.
pub(crate) fn say(text: &str) {
    let _ = writeln!(stderr(), "controlplane: {text}");
}

fn answer(value: &Value) {
    let _ = writeln!(stdout(), "{value}");
    let _ = stdout().flush();
}

fn print_usage(stack: &Stack) {
    let _ = writeln!(
        stdout(),
        "export KUBECONFIG={}\nalias kubectl={}\n\nThe cluster is up. Ctrl-C stops it and removes it.",
        stack.kubeconfig().display(),
        stack.kubectl().display(),
    );
}
