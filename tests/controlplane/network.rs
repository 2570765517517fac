//! The node's own machine, as far as the kernel goes: namespaces for its processes, mounts and network, and a cable
//! from there to us. All of it ends with one process, so a crash leaves nothing mounted and no route behind.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::daemon::{Daemon, run};
use crate::directory::RunDirectory;
use crate::error::{Error, doing};
use crate::events::Interrupt;

/// The namespaces, and the cable's two ends.
pub(crate) struct Network {
    keeper: Daemon,
    inside: u32,
    subnet: Subnet,
}

/// A /24: the cable uses its lower half, the pods the upper.
#[derive(Clone, Copy)]
struct Subnet(Ipv4Addr);

impl Network {
    /// Makes the namespaces and lays the cable through a subnet that no route of this machine touches.
    pub(crate) fn open(directory: &RunDirectory, interrupt: &Interrupt) -> Result<Self, Error> {
        let mut keeper = Daemon::start("namespaces", &keep_namespaces(), directory.path())?;
        directory.record(keeper.pid())?;
        let log = directory.file("namespaces.log");
        keeper.wait_ready(interrupt, Duration::from_secs(10), || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains(READY))
        })?;
        let inside = child_of(keeper.pid()).ok_or_else(|| keeper.failure("has no process inside"))?;
        // Two runs that look at the routes at once would take the same subnet.
        let lock = File::create(LOCK).map_err(doing(LOCK))?;
        lock.lock().map_err(doing(LOCK))?;
        let network = Self { keeper, inside, subnet: Subnet::unused()? };
        network.lay_cable()?;
        Ok(network)
    }

    /// Our end of the cable, which pods reach.
    pub(crate) fn host(&self) -> Ipv4Addr {
        self.subnet.address(1)
    }

    /// The node's end.
    pub(crate) fn node(&self) -> Ipv4Addr {
        self.subnet.address(10)
    }

    /// The pods' addresses.
    pub(crate) fn pods(&self) -> String {
        format!("{}/25", self.subnet.address(128))
    }

    /// A command that runs a program inside.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.inside)).args(["--net", "--mount", "--pid"]).arg(program);
        command
    }

    /// Ends everything inside, and with it the namespaces.
    pub(crate) fn close(&mut self) {
        self.keeper.kill();
    }

    fn lay_cable(&self) -> Result<(), Error> {
        let (host, node, pods) = (self.host(), self.node(), self.pods());
        let name = format!("pcl{:x}", self.keeper.pid());
        ip(&format!("link add {name} type veth peer name eth0 netns {}", self.inside))?;
        ip(&format!("address add {host}/25 dev {name}"))?;
        ip(&format!("link set {name} up"))?;
        // There is no default route: pods reach us and each other, and nothing of theirs can leave this machine.
        for line in ["link set lo up", &format!("address add {node}/25 dev eth0"), "link set eth0 up"] {
            run(self.command(Path::new("ip")).args(line.split(' ')))?;
        }
        ip(&format!("route add {pods} via {node} dev {name}"))
    }
}

impl Subnet {
    fn unused() -> Result<Self, Error> {
        let routes = run(Command::new("ip").args(["-4", "-oneline", "route", "show", "table", "all"]))?;
        let taken: Vec<(u32, u32)> = routes.lines().filter_map(range_of_route).collect();
        // The ranges kept for documentation first: nobody has a use for them. Then some of a private range.
        let documentation =
            [Ipv4Addr::new(198, 51, 100, 0), Ipv4Addr::new(203, 0, 113, 0), Ipv4Addr::new(192, 0, 2, 0)];
        let private = (0..=255).map(|third| Ipv4Addr::new(10, 213, third, 0));
        documentation
            .into_iter()
            .chain(private)
            .find(|subnet| {
                let first = subnet.to_bits();
                !taken.iter().any(|(from, to)| *from <= first + 255 && first <= *to)
            })
            .map(Self)
            .ok_or_else(|| Error::Missing("every subnet the node could have is in use".to_owned()))
    }

    fn address(self, last: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0.to_bits() + last)
    }
}

// What stays mounted over in there is written to by the node's programs wherever their configuration says to write.
fn keep_namespaces() -> Command {
    let script = format!(
        "set -e
        for place in /var/lib/cni /var/lib/kubelet /var/log/containers /run/containerd; do
            mkdir -p $place
            mount -t tmpfs none $place
        done
        echo 1 > /proc/sys/net/ipv4/ip_forward
        echo {READY}
        sleep infinity & wait"
    );
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        &script,
    ]);
    command
}

fn ip(line: &str) -> Result<(), Error> {
    run(Command::new("ip").args(line.split(' '))).map(drop)
}

// The first and the last address of a route's line, which may begin with a type: `broadcast 10.0.0.255 dev …`.
fn range_of_route(line: &str) -> Option<(u32, u32)> {
    let (address, length) = line.split(' ').take(2).find_map(|word| {
        let (address, length) = word.split_once('/').unwrap_or((word, "32"));
        Some((address.parse::<Ipv4Addr>().ok()?.to_bits(), length.parse::<u32>().ok()?))
    })?;
    let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
    Some((address, address | hosts))
}

fn child_of(parent: u32) -> Option<u32> {
    let parent = parent.to_string();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, fields) = line.rsplit_once(')')?;
        (fields.split_whitespace().nth(1)? == parent).then_some(pid)
    })
}

const READY: &str = "namespaces are ready";
const LOCK: &str = "/run/portcullis-cluster.lock";
