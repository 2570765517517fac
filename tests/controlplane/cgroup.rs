//! The control groups of one node. A run has a root of its own, so that two nodes on one machine do not tidy away
//! each other's pods.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::daemon::as_pid;
use crate::error::{Error, doing};

/// Makes the root called `name` in every hierarchy.
pub(crate) fn create(name: &str) -> Result<(), Error> {
    for hierarchy in hierarchies() {
        let path = hierarchy.join(name);
        if hierarchy.join("cgroup.controllers").exists() {
            hand_down_controllers(&hierarchy)?;
        }
        fs::create_dir(&path).map_err(doing(path.display()))?;
        // Version 1 gives a new group no processors, and refuses processes until it has some.
        for setting in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read_to_string(hierarchy.join(setting)) {
                let _ = fs::write(path.join(setting), value);
            }
        }
        if path.join("cgroup.controllers").exists() {
            hand_down_controllers(&path)?;
        }
    }
    Ok(())
}

/// Removes that root, after ending the processes in it.
pub(crate) fn remove(name: &str) {
    let deadline = Instant::now() + PATIENCE;
    for root in hierarchies().iter().map(|hierarchy| hierarchy.join(name)) {
        while root.exists() && Instant::now() < deadline {
            remove_below(&root);
            if root.exists() {
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

// Version 2: a group passes on only the controllers it is told to; the kubelet wants these. On a hybrid system the
// unified hierarchy has none, and nothing happens.
fn hand_down_controllers(group: &Path) -> Result<(), Error> {
    let available = fs::read_to_string(group.join("cgroup.controllers")).map_err(doing(group.display()))?;
    let control = group.join("cgroup.subtree_control");
    for controller in available.split_whitespace().filter(|controller| CONTROLLERS.contains(controller)) {
        let enable = format!("+{controller}");
        let mut written = fs::write(&control, &enable);
        if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::ResourceBusy) {
            evacuate(group).map_err(doing(group.display()))?;
            written = fs::write(&control, &enable);
        }
        written.map_err(doing(format!("hand {controller} down in {}", group.display())))?;
    }
    Ok(())
}

// Only the machine's root may both hold processes and pass controllers on. What a container sees as the root is none:
// its processes move one level down, as those of every container engine inside a container do.
fn evacuate(group: &Path) -> io::Result<()> {
    let refuge = group.join("init");
    if !refuge.exists() {
        fs::create_dir(&refuge)?;
    }
    for pid in fs::read_to_string(group.join("cgroup.procs"))?.lines() {
        // It may have ended meanwhile.
        let _ = fs::write(refuge.join("cgroup.procs"), pid);
    }
    Ok(())
}

fn remove_below(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        let _ = kill(as_pid(pid), Signal::SIGKILL);
    }
    let _ = fs::remove_dir(group);
}

fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut found = Vec::new();
    for mount in mounts.lines() {
        let mut fields = mount.split(' ').skip(1);
        let (Some(path), Some(kind)) = (fields.next(), fields.next()) else {
            continue;
        };
        if matches!(kind, "cgroup" | "cgroup2") && !found.iter().any(|known| known == Path::new(path)) {
            found.push(PathBuf::from(path));
        }
    }
    found
}

const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];
const PATIENCE: Duration = Duration::from_secs(5);
