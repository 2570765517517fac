//! The directory of one run, the record in it of what runs, and the removal of what a crashed run left behind.

use std::cell::RefCell;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, killpg};
use serde_json::{Value, json};

use crate::cgroup;
use crate::daemon::{as_pid, run};
use crate::error::{Error, doing};

/// A run's directory. Dropping it removes the run's cgroups, and the directory itself unless its place was chosen
/// by the caller.
pub(crate) struct RunDirectory {
    path: PathBuf,
    keep: bool,
    name: String,
    processes: RefCell<Vec<Process>>,
}

/// A process number alone says nothing: it may be another's by now. With the start time it is one process.
#[derive(Clone, PartialEq)]
struct Process {
    pid: u32,
    started: String,
}

impl RunDirectory {
    /// Cleans up after crashed runs and makes a directory, at `place` if that is given.
    pub(crate) fn create(place: Option<&Path>) -> Result<Self, Error> {
        sweep_all();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("portcullis-{}-{:05}", process::id(), now.subsec_micros() / 10);
        let path = match place {
            Some(place) => prepare(place)?,
            None => std::env::temp_dir().join(format!("{PREFIX}{}", name.trim_start_matches("portcullis-"))),
        };
        if place.is_none() {
            // It holds private keys.
            DirBuilder::new().mode(0o700).create(&path).map_err(doing(path.display()))?;
        }
        let directory = Self { path, keep: place.is_some(), name, processes: RefCell::default() };
        directory.save()?;
        Ok(directory)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, Error> {
        let path = self.file(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(doing(parent.display()))?;
        }
        fs::write(&path, content).map_err(doing(path.display()))?;
        Ok(path)
    }

    /// A name that no other run on this machine has. The node's cgroups are found under it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Records a process, so that the next run can end it if we cannot.
    pub(crate) fn record(&self, pid: u32) -> Result<(), Error> {
        self.processes.borrow_mut().extend(Process::of(pid));
        self.save()
    }

    fn save(&self) -> Result<(), Error> {
        let owner = Process::of(process::id());
        let record = json!({
            "name": self.name,
            "owner": owner.as_ref().map(Process::to_json),
            "processes": self.processes.borrow().iter().map(Process::to_json).collect::<Vec<_>>(),
        });
        self.write(RECORD, record.to_string()).map(drop)
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        cgroup::remove(&self.name);
        let removed =
            if self.keep { fs::remove_file(self.file(RECORD)) } else { fs::remove_dir_all(&self.path) };
        if let Err(error) = removed {
            crate::say(&format!("{} is left: {error}", self.path.display()));
        }
    }
}

impl Process {
    fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: start_time(pid)? })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let pid = u32::try_from(value.get("pid")?.as_u64()?).ok()?;
        Some(Self { pid, started: value.get("started")?.as_str()?.to_owned() })
    }

    fn to_json(&self) -> Value {
        json!({ "pid": self.pid, "started": self.started })
    }

    fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

fn sweep_all() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && sweep(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

// Ends what a run left behind if its owner is dead, and says whether it was.
fn sweep(path: &Path) -> bool {
    // Anyone can make a directory of that name and write any process number into it.
    let ours = fs::symlink_metadata(path)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw());
    if !ours {
        return false;
    }
    let text = fs::read(path.join(RECORD)).unwrap_or_default();
    let Ok(record) = serde_json::from_slice::<Value>(&text) else {
        return false;
    };
    if record.get("owner").and_then(Process::from_json).is_none_or(|owner| owner.is_alive()) {
        return false;
    }
    let processes = record.get("processes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for process in processes.iter().filter_map(Process::from_json).filter(Process::is_alive) {
        let _ = killpg(as_pid(process.pid), Signal::SIGKILL);
    }
    if let Some(name) =
        record.get("name").and_then(Value::as_str).filter(|name| name.starts_with("portcullis-"))
    {
        cgroup::remove(name);
    }
    true
}

// A place the caller chose may hold an earlier run of ours, but nothing else.
fn prepare(place: &Path) -> Result<PathBuf, Error> {
    fs::create_dir_all(place).map_err(doing(place.display()))?;
    let place = place.canonicalize().map_err(doing(place.display()))?;
    let empty = fs::read_dir(&place).map_err(doing(place.display()))?.next().is_none();
    let marker = place.join(MARKER);
    if !empty && !marker.exists() {
        return Err(Error::Missing(format!("{} is neither empty nor of an earlier run", place.display())));
    }
    if !empty && place.join(RECORD).exists() && !sweep(&place) {
        return Err(Error::Missing(format!("a cluster runs in {}", place.display())));
    }
    fs::remove_dir_all(&place).map_err(doing(place.display()))?;
    DirBuilder::new().mode(0o700).create(&place).map_err(doing(place.display()))?;
    fs::write(&marker, "").map_err(doing(marker.display()))?;
    Ok(place)
}

// Field 22 of the kernel's line, counted after the name, which may hold spaces; elsewhere `ps` knows.
fn start_time(pid: u32) -> Option<String> {
    if !cfg!(target_os = "linux") {
        let started = run(Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()])).ok()?;
        return Some(started).filter(|started| !started.is_empty());
    }
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = line.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    // A zombie has ended; it only waits for its parent to hear of it.
    if state == "Z" { None } else { fields.nth(18).map(str::to_owned) }
}

const PREFIX: &str = "portcullis-cluster-";
const RECORD: &str = "run.json";
const MARKER: &str = "cluster-of-portcullis";
