//! What the run is made on, and whether it is quiet enough to be worth anything.

use std::fs::read_to_string;
use std::thread::sleep;
use std::time::Duration;

/// What is taken from the cores by others in this time…
const WATCHED: Duration = Duration::from_secs(3);
/// …may be so much of them.
const MOST_BUSY: f64 = 0.08;

/// One line: date, processor, cores, kernel, memory.
pub(crate) fn describe() -> String {
    let field = |file: &str, name: &str| {
        let text = read_to_string(file).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().unwrap();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let memory = field("/proc/meminfo", "MemTotal");
    format!(
        "{}, {cores} cores of {}, Linux {}, {memory} of memory",
        jiff::Zoned::now().date(),
        field("/proc/cpuinfo", "model name"),
        kernel.trim()
    )
}

/// Whether the cores have nothing else to do; else who is at work.
pub(crate) fn is_idle() -> Result<(), String> {
    let (busy, all) = ticks();
    sleep(WATCHED);
    let (busy_later, all_later) = ticks();
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = (busy_later - busy) as f64 / (all_later - all).max(1) as f64;
    if share <= MOST_BUSY {
        return Ok(());
    }
    let output =
        std::process::Command::new("ps").args(["-eo", "pcpu,args", "--sort=-pcpu"]).output().unwrap();
    let list = String::from_utf8_lossy(&output.stdout);
    let top: Vec<_> = list.lines().take(4).map(|line| line.chars().take(100).collect::<String>()).collect();
    Err(format!("{:.0} % of the cores are taken\n{}", share * 100.0, top.join("\n")))
}

/// Lets us, and all that we start, open as many files as the system allows: a shell's thousand is what a shell needs.
pub(crate) fn allow_open_files() {
    let limits = read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let most = line.split_whitespace().nth(1).unwrap();
    let mut command = std::process::Command::new("prlimit");
    command.args(["--pid", &std::process::id().to_string(), &format!("--nofile={most}:{most}")]);
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Ticks of all cores since the start: those with work, and all.
fn ticks() -> (u64, u64) {
    let text = read_to_string("/proc/stat").unwrap();
    let line = text.lines().next().unwrap();
    let values: Vec<u64> = line.split_whitespace().skip(1).map(|value| value.parse().unwrap()).collect();
    let all = values.iter().take(8).sum();
    (all - values[3] - values[4], all)
}
