//! Counts: each step runs in a process of its own, under callgrind, which counts while the step is repeated: on its thread
//! alone, and on that of the access log while it makes a line. What goes on beside it, before it and
//! after it is nobody's cost.

use std::collections::BTreeMap;
use std::io::sink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use portcullis::config::{Log, LogFormat};
use portcullis::telemetry::Telemetry;
use stats_alloc::Region;

use crate::steps::{House, Step};
use crate::{ALLOCATOR, STEP, served};

/// What one go of a step takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// `None` where they are not counted: of a whole request, as how often it waits is chance.
    pub(crate) instructions: Option<f64>,
    pub(crate) allocations: f64,
}

/// What is counted of a step.
struct Counted {
    name: &'static str,
    step: Step,
    /// Whether the access log's thread formats and writes a line for each; else there is no access log.
    has_lines: bool,
}

/// Those whose lines are counted, too.
const WITH_LINES: [Counted; 2] = [
    Counted { name: "record and its line", step: Step::Record, has_lines: true },
    Counted { name: "gate and its line", step: Step::Gate, has_lines: true },
];

/// How often a step is done: often enough for what is done once in a while (a cache is tidied up every 64 reads) to be in
/// each, seldom enough for a minute in all.
const TIMES: u32 = 1000;
/// What is counted, as callgrind names it: a step, time and again, and a line of the access log. Nothing within them may
/// match, or it would end the counting.
const COUNTED: [&str; 2] = ["*cost::count::counted_goes*", "*telemetry::line::append"];
/// Before anything is counted: caches are filled, and whatever is made once is.
const WARM_UP: u64 = 100;
/// For lines to be written.
const PATIENCE: Duration = Duration::from_mins(1);

/// Of valgrind, if it is there; else how to get it.
pub(crate) fn valgrind() -> Result<String, String> {
    version("valgrind").ok_or_else(|| "valgrind is missing: install the package of that name".to_owned())
}

/// Of the compiler.
pub(crate) fn rustc() -> String {
    version("rustc").unwrap_or_else(|| "unknown".to_owned())
}

fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Of all steps.
///
/// # Panics
/// When callgrind did not find what is to be counted.
pub(crate) fn all() -> BTreeMap<String, Cost> {
    let steps: BTreeMap<_, _> =
        counted().map(|counted| (counted.name.to_owned(), of(counted.name))).collect();
    for Counted { name, step, .. } in WITH_LINES {
        assert!(steps[name].instructions > steps[step.name()].instructions, "{name}: lines are not counted");
    }
    let [http1, http2] = served::allocations();
    let served = [("request over HTTP/1.1", http1), ("request over HTTP/2", http2)];
    let served =
        served.map(|(name, allocations)| (name.to_owned(), Cost { instructions: None, allocations }));
    steps.into_iter().chain(served).collect()
}

/// What a process under callgrind is: does what is counted so many times, and prints the allocations that they took.
pub(crate) fn repeat(name: &str, times: u64, directory: &Path) {
    let counted = counted().find(|counted| counted.name == name).unwrap();
    let log = Log { format: LogFormat::Json, level: "info".to_owned(), access: counted.has_lines };
    let telemetry = Telemetry::start(&log, 10_000, Box::new(sink())).unwrap();
    let house = House::new(directory, telemetry.clone());
    house.repeat(counted.step, WARM_UP);
    assert!(telemetry.flush(PATIENCE));
    let region = Region::new(ALLOCATOR);
    counted_goes(&house, counted.step, times);
    assert!(telemetry.flush(PATIENCE));
    println!("{}", region.change().allocations);
}

/// By this name callgrind knows when to count.
#[inline(never)]
fn counted_goes(house: &House, step: Step, times: u64) {
    house.repeat(step, times);
}

fn counted() -> impl Iterator<Item = Counted> {
    let without_lines = |step: Step| Counted { name: step.name(), step, has_lines: false };
    Step::ALL.into_iter().map(without_lines).chain(WITH_LINES)
}

/// Instructions and allocations of one go.
fn of(name: &str) -> Cost {
    let directory = Scratch::new();
    let counts = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--error-exitcode=99"])
        .args(COUNTED.map(|function| format!("--toggle-collect={function}")))
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe().unwrap())
        .args([STEP, name, &TIMES.to_string()])
        .arg(directory.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    let counted = std::fs::read_to_string(counts).unwrap();
    // One thread after the other, then all of them.
    let total =
        counted.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let instructions: u32 = total.unwrap().trim().parse().unwrap();
    assert!(instructions > TIMES, "{name}: callgrind does not find what is to be counted");
    let allocations: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    let each = |count: u32| f64::from(count) / f64::from(TIMES);
    Cost { instructions: Some(each(instructions)), allocations: each(allocations) }
}

/// A directory that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-cost-{}", std::process::id()));
        let _left_by_another = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}
