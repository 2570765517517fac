//! Counts: each step runs in a process of its own, under callgrind, some times and twice as many times. The difference
//! is the step alone, without the start of the program.

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

const TIMES: u32 = 400;
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
pub(crate) fn all() -> BTreeMap<String, Cost> {
    let steps = counted().map(|counted| (counted.name.to_owned(), of(counted.name)));
    let [http1, http2] = served::allocations();
    let served = [("request over HTTP/1.1", http1), ("request over HTTP/2", http2)];
    let served =
        served.map(|(name, allocations)| (name.to_owned(), Cost { instructions: None, allocations }));
    steps.chain(served).collect()
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
    house.repeat(counted.step, times);
    assert!(telemetry.flush(PATIENCE));
    println!("{}", region.change().allocations);
}

fn counted() -> impl Iterator<Item = Counted> {
    let without_lines = |step: Step| Counted { name: step.name(), step, has_lines: false };
    Step::ALL.into_iter().map(without_lines).chain(WITH_LINES)
}

fn of(name: &str) -> Cost {
    let (few, many) = (run(name, TIMES), run(name, 2 * TIMES));
    let each = |few: u64, many: u64| {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let difference = many.saturating_sub(few) as f64;
        difference / f64::from(TIMES)
    };
    Cost { instructions: Some(each(few.0, many.0)), allocations: each(few.1, many.1) }
}

/// Instructions and allocations of so many goes.
fn run(name: &str, times: u32) -> (u64, u64) {
    let directory = Scratch::new();
    let counts = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--error-exitcode=99"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe().unwrap())
        .args([STEP, name, &times.to_string()])
        .arg(directory.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    let counted = std::fs::read_to_string(counts).unwrap();
    // One thread after the other, then all of them.
    let total =
        counted.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let allocations = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    (total.unwrap().trim().parse().unwrap(), allocations)
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
